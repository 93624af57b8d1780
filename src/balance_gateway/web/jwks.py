"""Fetch and cache the issuer's public keys from its JWKS URL.

The keys are first fetched for the first token, so that an unavailable issuer does not prevent a
start. While in use they are refreshed in the background; while the issuer is unavailable they are
used for up to a day. A token with an unknown key id triggers a fetch, so that a new key is found
soon, but at most every ten seconds, so that made-up key ids cannot flood the issuer.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key
from joserfc.jws import JWSRegistry
from joserfc.util import base64_to_int

from balance_gateway import __version__
from balance_gateway.transport import (
    Bounds,
    Network,
    Timeouts,
    TransportError,
    build_transport,
    parse_url,
)
from balance_gateway.web.request_parsing import BadRequest, parse_json

logger = logging.getLogger(__name__)

#: Age from which keys are refreshed in the background.
REFRESH_AFTER_S = 480.0
#: Age from which keys are used only after an attempt to refresh them.
LIFETIME_S = 600.0
#: Age from which keys are not used at all, even while the issuer is unavailable.
STALE_S = 86_400.0
#: Minimum time between two requests to the issuer.
FETCH_INTERVAL_S = 10.0
#: Total time limit of a request to the issuer.
TIMEOUT_S = 5.0
DOCUMENT_BYTES_MAX = 262_144
_HEADERS = (
    (b"Accept", b"application/jwk-set+json, application/json"),
    (b"Accept-Encoding", b"gzip, deflate"),
    (b"User-Agent", f"balance-gateway/{__version__}".encode()),
)

RSA_BITS_MIN = 2048
RSA_BITS_MAX = 8192

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

#: The accepted algorithms. EdDSA is Ed25519 by its name before RFC 9864; joserfc's own EdDSA also
#: accepts Ed448, and warns of the name at each use.
ALGORITHMS = {
    **{name: JWSRegistry.algorithms[name] for name in ("RS256", "PS256", "ES256")},
    "EdDSA": JWSRegistry.algorithms["Ed25519"],
}


class JwksError(Exception):
    """The issuer's key set cannot be fetched or parsed; the message is for the log."""


@dataclass(frozen=True, slots=True, eq=False)
class IssuerKeys:
    """A version of the issuer's keys; changed keys are a new object.

    Attributes:
        by_kid_and_algorithm: the keys. A key is listed only for the algorithms that its type and
            its declared purpose allow, so that it cannot be used with another one. Not a KeySet,
            which does not regard the type when keys share an id.
        kids: all key ids.
        fingerprint: identifies the set; equal for equal keys.
    """

    by_kid_and_algorithm: Mapping[tuple[str, str], Key]
    kids: frozenset[str]
    fingerprint: frozenset[tuple[str, str, str]]


NO_KEYS = IssuerKeys({}, frozenset(), frozenset())


class Jwks:
    """The keys at a JWKS URL. Constructing it opens no connection.

    Args:
        url: an https URL, or an http URL on loopback.
        monotonic_s: returns monotonic time in seconds, for the keys' age.
        network: how connections are made; None for direct ones to public servers.
        allow_plain_http: whether the URL may be http beyond loopback.

    Raises:
        ValueError: the URL is neither, or contains a user.
    """

    def __init__(
        self,
        url: str,
        monotonic_s: Callable[[], float] = time.monotonic,
        *,
        network: Network | None = None,
        allow_plain_http: bool = False,
    ) -> None:
        parts = urlsplit(url)
        is_local = parts.scheme == "http" and (allow_plain_http or parts.hostname in _LOOPBACK)
        if not is_local and (parts.scheme != "https" or not parts.hostname):
            raise ValueError("jwks_url must be https, or http on loopback")
        self._url = parse_url(url)
        self._monotonic_s = monotonic_s
        bounds = Bounds(body_bytes_max=DOCUMENT_BYTES_MAX)
        self._transport = build_transport("pooled", network, bounds=bounds)
        self._timeouts = Timeouts(*[TIMEOUT_S] * len(Timeouts._fields))
        self._keys = NO_KEYS
        self._fetched_s = float("-inf")
        self._next_fetch_s = float("-inf")
        self._failed = False
        self._fetch_task: asyncio.Task[None] | None = None
        self._closed = False

    async def keys(self, kid: str) -> IssuerKeys:
        """Return the current keys, fetched again if they are too old or lack this key id."""
        now_s = self._monotonic_s()
        age_s = now_s - self._fetched_s
        is_unknown = kid not in self._keys.kids
        if is_unknown or age_s >= REFRESH_AFTER_S:
            fetch = self._start_fetch(now_s)
            # After a failed fetch only tokens with an unknown key wait: the others need not be
            # delayed by an unavailable issuer.
            if fetch and (is_unknown or (age_s >= LIFETIME_S and not self._failed)):
                await asyncio.wait([fetch])
        is_usable = self._monotonic_s() - self._fetched_s < STALE_S
        return self._keys if is_usable else NO_KEYS

    async def aclose(self) -> None:
        """Cancel a running fetch, and start none from now on."""
        self._closed = True
        if self._fetch_task is not None:
            self._fetch_task.cancel()
            await asyncio.wait([self._fetch_task])
        await self._transport.aclose()

    def _start_fetch(self, now_s: float) -> asyncio.Task[None] | None:
        """Return the running fetch or a new one; None if the last one began too recently."""
        if self._fetch_task is not None and not self._fetch_task.done():
            return self._fetch_task
        if self._closed or now_s < self._next_fetch_s:
            return None
        self._next_fetch_s = now_s + FETCH_INTERVAL_S
        self._fetch_task = asyncio.create_task(self._fetch(now_s))
        return self._fetch_task

    async def _fetch(self, started_s: float) -> None:
        try:
            response = await self._transport.exchange(
                self._url.origin, "GET", self._url.target, _HEADERS, timeouts=self._timeouts
            )
            if response.status != 200:
                raise JwksError(f"HTTP {response.status}")
            keys = parse_key_set(response.body)
        except (TransportError, JwksError) as error:
            # Only the first of several failures is logged.
            if not self._failed:
                reason = str(error) if isinstance(error, JwksError) else type(error).__name__
                logger.warning("jwks.fetch_failed", extra={"reason": reason})
            self._failed = True
            return
        if self._failed:
            logger.info("jwks.fetch_recovered")
        self._failed = False
        self._fetched_s = started_s
        # Equal keys stay the same object, so that verified tokens stay cached.
        if keys.fingerprint != self._keys.fingerprint:
            self._keys = keys


def parse_key_set(document: bytes) -> IssuerKeys:
    """Parse a JWKS document; keys that are malformed or cannot verify tokens are left out.

    Raises:
        JwksError: the document is not a JWKS document.
    """
    try:
        parsed = parse_json(document, "the document")
    except BadRequest as bad:
        raise JwksError(bad.message) from None
    members = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(members, list):
        raise JwksError("the document has no list 'keys'")
    keys: dict[tuple[str, str], Key] = {}
    for jwk in members:
        kid = jwk.get("kid") if isinstance(jwk, dict) else None
        if not isinstance(kid, str) or not kid or (key := _import_public_key(jwk)) is None:
            continue
        for name, algorithm in ALGORITHMS.items():
            is_allowed = jwk.get("alg", name) == name
            if is_allowed and JWSRegistry.filter_algorithms(key, [algorithm.name]):
                keys.setdefault((kid, name), key)
    return IssuerKeys(
        keys,
        frozenset(kid for kid, _ in keys),
        frozenset((kid, algorithm, key.thumbprint()) for (kid, algorithm), key in keys.items()),
    )


def _import_public_key(jwk: Mapping[str, Any]) -> Key | None:
    """Import a JWK; None if it is malformed, private, of a refused size or not for verifying.

    Not by KeySet.import_key_set, which fails if one key of the set is malformed.
    """
    key_type = JWKRegistry.key_types.get(str(jwk.get("kty")))
    if key_type is None or "d" in jwk or not _is_for_verifying(jwk):
        return None
    try:
        # joserfc only warns of a short RSA key, and has no maximum.
        if jwk["kty"] == "RSA" and not _has_allowed_size(str(jwk["n"])):
            return None
        # Only these members are read, so that no other one changes how the key is imported.
        required = [name for name, member in key_type.value_registry.items() if member.required]
        return key_type.import_key({name: jwk[name] for name in ("kty", *required)})
    except (JoseError, KeyError, ValueError):
        return None


def _is_for_verifying(jwk: Mapping[str, Any]) -> bool:
    # joserfc takes an empty use for an absent one, and refuses key_ops with an unknown operation.
    operations = jwk.get("key_ops", ["verify"])
    is_listed = isinstance(operations, list) and "verify" in operations
    return is_listed and jwk.get("use", "sig") == "sig"


def _has_allowed_size(modulus: str) -> bool:
    return RSA_BITS_MIN <= base64_to_int(modulus).bit_length() <= RSA_BITS_MAX
