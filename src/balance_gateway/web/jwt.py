"""Authenticate callers by the JWTs of an issuer, verified with the issuer's published keys.

joserfc parses and verifies tokens and checks the registered claims: it is the successor of
authlib's ``jose`` module, which its own authors have deprecated in joserfc's favour. The rules:

* The algorithms are RS256, PS256, ES256 and EdDSA, and no other.
* The key is selected by ``kid`` from the configured JWKS. ``jku``, ``x5u``, ``jwk`` and ``x5c``
  are ignored; ``crit`` and ``b64`` are rejected.
* The payload is parsed only after its signature is verified.
* Required claims: ``iss`` and ``aud`` as configured, ``exp``, ``iat``, ``sub`` and the tenant.
  Optional claims: ``nbf``, and scopes as a string, separated by spaces, or a list of strings.
* Every invalid token gets the same response. Neither the response nor the log contains any part of
  the token; the log has the reason.
"""

import hashlib
import logging
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from joserfc.errors import BadSignatureError, DecodeError, InvalidClaimError, JoseError
from joserfc.jws import CompactSignature, JWSRegistry, extract_compact, validate_compact
from joserfc.jwt import JWTClaimsRegistry
from joserfc.registry import HeaderParameter
from joserfc.util import urlsafe_b64decode

from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.calendar_days import Clock, system_clock
from balance_gateway.domain.errors import Unauthenticated
from balance_gateway.web.auth import INVALID_CREDENTIAL
from balance_gateway.web.jwks import ALGORITHMS, IssuerKeys, Jwks
from balance_gateway.web.occasional_log import OccasionalLog
from balance_gateway.web.request_parsing import BadRequest, parse_json

logger = logging.getLogger(__name__)

#: The claims in which issuers put scopes. The first that a token has counts alone: the others may
#: say what the user may do, and not what this client was granted.
SCOPE_CLAIMS = ("scope", "scopes", "scp", "permissions")

TOKEN_BYTES_MAX = 8192
#: Maximum difference between the issuer's clock and the gateway's.
LEEWAY_S = 30
#: Maximum number of cached tokens; the least recently used is evicted first.
VERIFIED_MAX = 4096
#: Maximum length of ``sub`` and ``tenant``.
NAME_CHARACTERS_MAX = 255

#: The last second of the year 9999; a later time is most likely in milliseconds.
_LAST_S = 253_402_300_799
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})


def _check_type(value: object) -> None:
    if str(value).lower() not in _TYPES:
        raise ValueError("must be the type of an access token")


_HEADER = {
    "alg": HeaderParameter("Algorithm", "str", required=True),
    "kid": HeaderParameter("Key ID", "str", required=True),
    "typ": HeaderParameter("Type", _check_type),
    "crit": HeaderParameter("Critical", "none"),
    "b64": HeaderParameter("Unencoded payload", "none"),
}


class _TokenRegistry(JWSRegistry):
    """The accepted algorithms and header parameters.

    joserfc's own rules would refuse a malformed ``jku`` or ``x5c``, which are ignored here, headers
    over 512 bytes and signatures by keys over 6144 bits.
    """

    algorithms = ALGORITHMS
    default_header_registry = _HEADER
    max_header_length = max_payload_length = max_signature_length = TOKEN_BYTES_MAX


_REGISTRY = _TokenRegistry(algorithms=ALGORITHMS, strict_check_header=False)


@dataclass(frozen=True, slots=True)
class _VerifiedToken:
    """The result of a verification.

    Attributes:
        principal: the caller.
        expires_s: Unix time from which the token is invalid, leeway included.
        kid: the id of the key that verified the token.
        keys: the version of the issuer's keys that was used.
    """

    principal: Principal
    expires_s: float
    kid: str
    keys: IssuerKeys


class JwtAuthenticator:
    """Authenticates callers by JWTs.

    Verified tokens are cached by their SHA-256 until they expire, so that a repeated token costs a
    hash and no signature verification. A change of the issuer's keys invalidates them.

    Args:
        issuer: the required value of ``iss``.
        audience: the required value of ``aud``, or of one item of its list.
        jwks: the issuer's keys.
        tenant_claim: the name of the claim with the tenant.
        scope_claim: the name of the claim with the scopes; empty: the first of ``SCOPE_CLAIMS``
            that a token has.
        clock: the current time, compared with the token's times.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        jwks: Jwks,
        tenant_claim: str = "tenant",
        scope_claim: str = "",
        clock: Clock = system_clock,
    ) -> None:
        self._jwks = jwks
        self._clock = clock
        self._tenant_claim = tenant_claim
        self._scope_claims = (scope_claim,) if scope_claim else SCOPE_CLAIMS
        self._log = OccasionalLog(logger)
        self._claims = JWTClaimsRegistry(
            # joserfc declares whole seconds, but compares any number.
            now=lambda: clock().timestamp(),  # type: ignore[arg-type,return-value]
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            iat={"essential": True},
            nbf={},
        )
        self._verified: OrderedDict[bytes, _VerifiedToken] = OrderedDict()

    def find(self, _token: str) -> Principal | None:
        """Return None: the issuer's keys may have to be fetched."""
        return None

    async def authenticate(self, token: str) -> Principal:
        """Return the principal of a token.

        Raises:
            Unauthenticated: the token is invalid, or its key is unavailable.
        """
        try:
            return await self._authenticate(token)
        except JoseError as error:
            # Only the error's code and the claim's name: joserfc's messages quote the token.
            reason = f"{error.error} {getattr(error, 'claim', '')}".rstrip()
            self._log.warn("jwt.refused", reason=reason)
        raise Unauthenticated(INVALID_CREDENTIAL)

    async def _authenticate(self, token: str) -> Principal:
        if len(token) > TOKEN_BYTES_MAX or not token.isascii():
            raise DecodeError("token is too long or not ASCII")
        encoded = token.encode("ascii")
        digest = hashlib.sha256(encoded).digest()
        cached = self._verified.get(digest)
        if cached is not None:
            self._verified.move_to_end(digest)
            keys = await self._jwks.keys(cached.kid)
            if keys is cached.keys and self._clock().timestamp() < cached.expires_s:
                return cached.principal
            # Other tasks may have removed it during the wait for the keys.
            self._verified.pop(digest, None)
        parsed = _parse_token(encoded)
        verified = self._verify(parsed, await self._jwks.keys(parsed.headers()["kid"]))
        self._verified[digest] = verified
        if len(self._verified) > VERIFIED_MAX:
            self._verified.popitem(last=False)
        return verified.principal

    def _verify(self, token: CompactSignature, keys: IssuerKeys) -> _VerifiedToken:
        """Verify a token's signature, then its claims."""
        kid = token.headers()["kid"]
        # Without a key joserfc raises MissingKeyError.
        key = keys.by_kid_and_algorithm.get((kid, token.headers()["alg"]))
        if not validate_compact(token, key, registry=_REGISTRY):
            raise BadSignatureError
        claims = _parse_part(token.segments["payload"])
        # Only these: joserfc would also refuse a ``jti`` that is a number.
        checked = {name: claims[name] for name in self._claims.options if name in claims}
        self._claims.validate(checked)
        for name in ("exp", "iat", "nbf"):
            # joserfc accepts any number as a time.
            if not 0 <= claims.get(name, 0) <= _LAST_S:
                raise InvalidClaimError(name)
        principal = Principal(
            _read_name(claims, "sub"),
            _read_name(claims, self._tenant_claim),
            self._read_scopes(claims),
            datetime.fromtimestamp(float(claims["exp"]), UTC),
        )
        return _VerifiedToken(principal, float(claims["exp"]) + LEEWAY_S, kid, keys)

    def _read_scopes(self, claims: dict[str, Any]) -> frozenset[Scope]:
        """Return the known scopes; unknown ones are ignored.

        A token without any known scope is valid: its requests are refused with the missing scope.
        """
        name = next((name for name in self._scope_claims if name in claims), None)
        scopes = frozenset[Scope]() if name is None else _parse_scopes(name, claims[name])
        if not scopes:
            looked_at = name or ", ".join(self._scope_claims)
            self._log.warn("jwt.without_scopes", claim=looked_at)
        return scopes


def _parse_token(token: bytes) -> CompactSignature:
    """Split a token in compact serialization into its parts and validate its header."""
    # joserfc accepts duplicate members, NaN and UTF-16 in a header, and fails with other exceptions
    # if it is nested deeply or no object: so it is first parsed here.
    _parse_part(token.partition(b".")[0])
    parsed = extract_compact(token, registry=_REGISTRY)
    _REGISTRY.check_header(parsed.headers())
    if not parsed.headers()["kid"]:
        raise DecodeError("kid is empty")
    return parsed


def _parse_part(part: bytes) -> dict[str, Any]:
    """Parse the header or the payload, which must be an unambiguous JSON object."""
    try:
        parsed = parse_json(urlsafe_b64decode(part), "part")
    except (BadRequest, ValueError):
        parsed = None
    if not isinstance(parsed, dict):
        raise DecodeError("header or payload is not a JSON object, or an ambiguous one")
    return parsed


def _read_name(claims: dict[str, Any], name: str) -> str:
    """Return a claim with a name, which joserfc would accept with any content, or as a list."""
    value: Any = claims.get(name)
    is_name = isinstance(value, str) and value.isprintable() and value.strip()
    if not is_name or len(value) > NAME_CHARACTERS_MAX:
        raise InvalidClaimError(name)
    return str(value)


def _parse_scopes(name: str, value: Any) -> frozenset[Scope]:
    names = value.split(" ") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise InvalidClaimError(name)
    return frozenset(scope for scope in Scope if scope.value in names)
