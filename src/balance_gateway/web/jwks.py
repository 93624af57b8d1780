"""The issuer's public keys: fetched from its JWKS URL, kept, and fetched again in good time.

Nothing is fetched before the first token, so an issuer that is down never stops a start. Keys are
renewed in the background while they are used, and used for a day longer when the issuer is down.
A token with a key id that is not known makes us look again, at most once in ten seconds: that is
how a new key is found soon, and why made-up ids are no way to flood the issuer.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import base64_to_int

from balance_gateway.transport import Bounds, HttptoolsTransport
from balance_gateway.web.request_parsing import BadRequest, parse_json

logger = logging.getLogger(__name__)

#: Keys younger than this are used as they are; from then on they are renewed in the background.
RENEWED_AFTER_S = 480.0
#: Keys older than this are used only after a renewal was tried.
LIFETIME_S = 600.0
#: Keys older than this are not used at all, even while the issuer is down.
STALE_S = 86_400.0
#: Least time between two requests to the issuer.
PAUSE_S = 10.0
#: For one request to the issuer, all of it.
TIMEOUT_S = 5.0
DOCUMENT_BYTES_MAX = 262_144

RSA_BITS_MIN = 2048
RSA_BITS_MAX = 8192

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

PublicKey = RSAKey | ECKey | OKPKey


class JwksError(Exception):
    """The issuer's document cannot be had or read; the message is for the log."""


@dataclass(frozen=True, slots=True, eq=False)
class IssuerKeys:
    """One version of the issuer's keys; a change of keys is another object.

    Attributes:
        by_use: the key of a key id and an algorithm. A key is only under algorithms that fit its
            type and what it says it is for, so no other use can be looked up.
        kids: every key id.
        fingerprint: equal for equal keys.
    """

    by_use: Mapping[tuple[str, str], PublicKey]
    kids: frozenset[str]
    fingerprint: frozenset[tuple[str, str, str]]


NO_KEYS = IssuerKeys({}, frozenset(), frozenset())


class Jwks:
    """The keys behind one JWKS URL.

    Args:
        url: https, or http on this machine.
        monotonic: seconds that never go back, for the keys' age.
    """

    def __init__(self, url: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Connects to nothing yet. Raises ValueError when the URL is neither."""
        parts = urlsplit(url)
        is_local = parts.scheme == "http" and parts.hostname in _LOOPBACK
        if not is_local and (parts.scheme != "https" or not parts.hostname):
            raise ValueError("a JWKS URL has to be https, or http on this machine")
        self._url = url
        self._monotonic = monotonic
        bounds = Bounds(body_bytes_max=DOCUMENT_BYTES_MAX)
        self._http = httpx.AsyncClient(
            transport=HttptoolsTransport(bounds=bounds, total_s=TIMEOUT_S),
            headers={"accept": "application/jwk-set+json, application/json"},
            timeout=TIMEOUT_S,
            follow_redirects=False,
            trust_env=False,
        )
        self._keys = NO_KEYS
        self._fetched_s = float("-inf")
        self._next_s = float("-inf")
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None
        self._closed = False

    async def keys(self, kid: str) -> IssuerKeys:
        """The keys that hold now, looked up again when they are too old or do not have this id."""
        now_s = self._monotonic()
        age_s = now_s - self._fetched_s
        is_unknown = kid not in self._keys.kids
        if is_unknown or age_s >= RENEWED_AFTER_S:
            fetching = self._fetch_unless_too_soon(now_s)
            # With the issuer known to be down, only tokens that could not be judged wait for it.
            if fetching and (is_unknown or (age_s >= LIFETIME_S and not self._failed)):
                await asyncio.wait([fetching])
        is_usable = self._monotonic() - self._fetched_s < STALE_S
        return self._keys if is_usable else NO_KEYS

    async def aclose(self) -> None:
        """Ends what is under way; nothing is fetched from then on."""
        self._closed = True
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        await self._http.aclose()

    def _fetch_unless_too_soon(self, now_s: float) -> asyncio.Task[None] | None:
        """The fetch under way, or a new one; None when the last one began a moment ago."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        if self._closed or now_s < self._next_s:
            return None
        self._next_s = now_s + PAUSE_S
        self._fetching = asyncio.create_task(self._fetch(now_s))
        return self._fetching

    async def _fetch(self, began_s: float) -> None:
        try:
            response = await self._http.get(self._url)
            if response.status_code != 200:
                raise JwksError(f"HTTP {response.status_code}")
            keys = parse_key_set(response.content)
        except (httpx.HTTPError, JwksError) as error:
            if not self._failed:
                reason = str(error) if isinstance(error, JwksError) else type(error).__name__
                logger.warning("jwks.fetch_failed", extra={"reason": reason})
            self._failed = True
            return
        if self._failed:
            logger.info("jwks.fetch_recovered")
        self._failed = False
        self._fetched_s = began_s
        if keys.fingerprint != self._keys.fingerprint:
            self._keys = keys


def parse_key_set(document: bytes) -> IssuerKeys:
    """The keys of a JWKS document that can verify; others, and malformed ones, are left out.

    Raises:
        JwksError: it is no JWKS document.
    """
    try:
        parsed = parse_json(document, "the document")
    except BadRequest as bad:
        raise JwksError(bad.message) from None
    members = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(members, list):
        raise JwksError("the document has no list of keys")
    by_use: dict[tuple[str, str], PublicKey] = {}
    for jwk in members:
        kid = jwk.get("kid") if isinstance(jwk, dict) else None
        if not isinstance(kid, str) or not kid or (key := _public_key(jwk)) is None:
            continue
        for algorithm in _algorithms(jwk):
            by_use.setdefault((kid, algorithm), key)
    return IssuerKeys(
        by_use,
        frozenset(kid for kid, _ in by_use),
        frozenset((kid, algorithm, key.thumbprint()) for (kid, algorithm), key in by_use.items()),
    )


def _public_key(jwk: Mapping[str, Any]) -> PublicKey | None:
    """The key, if it is a good public one; of its members only the numbers are read."""
    if "d" in jwk or not _is_to_verify(jwk):
        return None
    names = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y"), "OKP": ("kty", "crv", "x")}
    kty = jwk.get("kty")
    wanted = names.get(kty, ()) if isinstance(kty, str) else ()
    numbers: dict[str, Any] = {name: jwk[name] for name in wanted if isinstance(jwk.get(name), str)}
    if not numbers or len(numbers) < len(wanted):
        return None
    try:
        if kty == "RSA":
            return RSAKey.import_key(numbers) if _is_sane_rsa(numbers["n"]) else None
        if kty == "EC":
            return ECKey.import_key(numbers) if numbers["crv"] == "P-256" else None
        return OKPKey.import_key(numbers) if numbers["crv"] == "Ed25519" else None
    except (JoseError, ValueError):
        return None


def _is_to_verify(jwk: Mapping[str, Any]) -> bool:
    operations = jwk.get("key_ops", ["verify"])
    return (
        jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    )


def _is_sane_rsa(modulus: str) -> bool:
    longest = RSA_BITS_MAX // 6 + 2  # characters of base64
    if len(modulus) > longest:
        return False
    return RSA_BITS_MIN <= base64_to_int(modulus).bit_length() <= RSA_BITS_MAX


def _algorithms(jwk: Mapping[str, Any]) -> tuple[str, ...]:
    """What tokens may be signed with by this key: by its type, and by its own ``alg``."""
    fitting = {"RSA": ("RS256", "PS256"), "EC": ("ES256",), "OKP": ("EdDSA",)}[jwk["kty"]]
    return tuple(name for name in fitting if jwk.get("alg", name) == name)
