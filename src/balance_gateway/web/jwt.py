"""Authenticate callers by the JWTs of an issuer, verified with the issuer's published keys.

joserfc does the cryptography: it is the successor of authlib's ``jose`` module, which its own
authors have deprecated in joserfc's favour. The rules are in this module:

* The algorithms are RS256, PS256, ES256 and EdDSA, and no other.
* The key is selected by ``kid`` from the configured JWKS. ``jku``, ``x5u``, ``jwk`` and ``x5c``
  are ignored; ``crit`` and ``b64`` are rejected.
* The payload is parsed only after its signature is verified.
* Required claims: ``iss`` and ``aud`` as configured, ``exp``, ``iat``, ``sub`` and ``tenant``.
  Optional claims: ``nbf``, and scopes in ``scope`` (a string, separated by spaces) or ``scopes`` (a
  list of strings).
* Every invalid token gets the same response. Neither the response nor the log contains any part of
  the token.
"""

import hashlib
import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode

from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.calendar_days import Clock, system_clock
from balance_gateway.domain.errors import Unauthenticated
from balance_gateway.web.auth import INVALID_CREDENTIAL
from balance_gateway.web.jwks import IssuerKeys, Jwks
from balance_gateway.web.request_parsing import BadRequest, parse_json

logger = logging.getLogger(__name__)

TOKEN_BYTES_MAX = 8192
#: Maximum difference between the issuer's clock and the gateway's.
LEEWAY_S = 30.0
#: Maximum number of cached tokens; the least recently used is evicted first.
VERIFIED_MAX = 4096
#: Maximum length of ``sub`` and ``tenant``.
NAME_CHARACTERS_MAX = 255

#: The last second of the year 9999; a later time is most likely in milliseconds.
_LAST_S = 253_402_300_799
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
_SCOPES = {scope.value: scope for scope in Scope}


class _InvalidToken(Exception):
    """The token is rejected; the message is for the debug log and quotes nothing of the token."""


@dataclass(frozen=True, slots=True)
class _Token:
    """A well-formed token with an unverified signature and an unparsed payload."""

    kid: str
    algorithm: str
    signed: bytes
    payload: bytes
    signature: bytes


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
        clock: the current time, compared with the token's times.
    """

    def __init__(
        self, *, issuer: str, audience: str, jwks: Jwks, clock: Clock = system_clock
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._jwks = jwks
        self._clock = clock
        self._verified: OrderedDict[bytes, _VerifiedToken] = OrderedDict()

    async def authenticate(self, token: str) -> Principal:
        """Return the principal of a token.

        Raises:
            Unauthenticated: the token is invalid, or its key is unavailable.
        """
        try:
            return await self._authenticate(token)
        except _InvalidToken as invalid:
            logger.debug("jwt.refused", extra={"reason": str(invalid)})
        raise Unauthenticated(INVALID_CREDENTIAL)

    async def _authenticate(self, token: str) -> Principal:
        if len(token) > TOKEN_BYTES_MAX or not token.isascii():
            raise _InvalidToken("token is too long or not ASCII")
        digest = hashlib.sha256(token.encode("ascii")).digest()
        cached = self._verified.get(digest)
        if cached is not None:
            self._verified.move_to_end(digest)
            keys = await self._jwks.keys(cached.kid)
            if keys is cached.keys and self._clock().timestamp() < cached.expires_s:
                return cached.principal
            # Other tasks may have removed it during the wait for the keys.
            self._verified.pop(digest, None)
        parsed = _parse_token(token)
        verified = self._verify(parsed, await self._jwks.keys(parsed.kid))
        self._verified[digest] = verified
        if len(self._verified) > VERIFIED_MAX:
            self._verified.popitem(last=False)
        return verified.principal

    def _verify(self, token: _Token, keys: IssuerKeys) -> _VerifiedToken:
        """Verify a token's signature, then its claims."""
        if not _is_signed(token, keys):
            raise _InvalidToken("no key for kid and alg, or an invalid signature")
        claims = _parse_object(token.payload, "payload")
        if claims.get("iss") != self._issuer:
            raise _InvalidToken("iss is not the configured issuer")
        if not _is_audience(self._audience, claims.get("aud")):
            raise _InvalidToken("aud is not the configured audience")
        now_s = self._clock().timestamp()
        expires_s = _read_time(claims, "exp") + LEEWAY_S
        if now_s >= expires_s:
            raise _InvalidToken("exp is in the past")
        if _read_time(claims, "iat") > now_s + LEEWAY_S:
            raise _InvalidToken("iat is in the future")
        if "nbf" in claims and _read_time(claims, "nbf") > now_s + LEEWAY_S:
            raise _InvalidToken("nbf is in the future")
        principal = Principal(
            _read_name(claims, "sub"), _read_name(claims, "tenant"), _read_scopes(claims)
        )
        return _VerifiedToken(principal, expires_s, token.kid, keys)


def _parse_token(token: str) -> _Token:
    """Split a token in compact serialization into its parts and validate its header."""
    signed, _, signature = token.rpartition(".")
    header_part, dot, payload = signed.partition(".")
    if not dot or "." in payload:
        raise _InvalidToken("token does not have three parts")
    header = _parse_object(_decode_part(header_part), "header")
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if "crit" in header or "b64" in header:
        raise _InvalidToken("crit and b64 are not supported")
    if not isinstance(algorithm, str) or not isinstance(kid, str) or not kid:
        raise _InvalidToken("alg or kid is missing or not a string")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise _InvalidToken("typ does not identify an access token")
    return _Token(kid, algorithm, signed.encode(), _decode_part(payload), _decode_part(signature))


def _is_signed(token: _Token, keys: IssuerKeys) -> bool:
    key = keys.by_kid_and_algorithm.get((token.kid, token.algorithm))
    if key is None:
        return False
    model = JWSRegistry.algorithms[token.algorithm]
    try:
        model.check_key(key)
        return model.verify(token.signed, token.signature, key)
    except (JoseError, ValueError):
        return False


def _decode_part(part: str) -> bytes:
    """Decode base64url in its canonical form: no padding, no other alphabet, no spare bits."""
    try:
        return urlsafe_b64decode(part.encode())
    except ValueError:
        raise _InvalidToken("a part is not base64url") from None


def _parse_object(text: bytes, what: str) -> dict[str, Any]:
    try:
        parsed = parse_json(text, what)
    except BadRequest:
        parsed = None
    if not isinstance(parsed, dict):
        raise _InvalidToken(f"{what} is not a JSON object, or an ambiguous one")
    return parsed


def _is_audience(audience: str, claim: object) -> bool:
    if isinstance(claim, list):
        return audience in claim and all(isinstance(each, str) for each in claim)
    return claim == audience


def _read_time(claims: dict[str, Any], name: str) -> float:
    """Return a claim with a Unix time in seconds, which must be a JSON number before year 10000."""
    value: Any = claims.get(name)
    # A bool is an int in Python, and not a time.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= _LAST_S:
        raise _InvalidToken(f"{name} is missing or not a time")
    return float(value)


def _read_name(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= NAME_CHARACTERS_MAX:
        raise _InvalidToken(f"{name} is missing, empty, too long or not a string")
    if not value.isprintable() or value.isspace():
        raise _InvalidToken(f"{name} has unprintable characters")
    return value


def _read_scopes(claims: dict[str, Any]) -> frozenset[Scope]:
    """Return the known scopes; unknown ones are ignored.

    A token without any known scope is valid: its requests are refused with the missing scope.
    """
    if "scope" in claims:
        text = claims["scope"]
        names = text.split(" ") if isinstance(text, str) else None
    else:
        names = claims.get("scopes", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _InvalidToken("scope is not a string, or scopes not a list of strings")
    return frozenset(_SCOPES[name] for name in names if name in _SCOPES)
