"""Bearer tokens of an issuer: JWTs, verified with its published keys.

joserfc does the cryptography: it is the successor of authlib's ``jose`` module, which its own
authors have deprecated in joserfc's favour. What decides is here, so that it can be read in one
place: RS256, PS256, ES256 and EdDSA and no other algorithm; the key only by ``kid`` and only from
the configured JWKS (``jku``, ``x5u``, ``jwk`` and ``x5c`` are not looked at, ``crit`` is refused);
nothing of the payload is read before its signature holds. Whatever is wrong with a token, the
answer is the same, and neither answer nor log repeats a piece of it.

A token has to say ``iss`` and ``aud`` as configured, ``exp``, ``iat``, ``sub`` and ``tenant``; it
may say ``nbf``, and its scopes in ``scope`` (a text, separated by spaces) or ``scopes`` (a list).
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
from balance_gateway.web.auth import NOT_KNOWN
from balance_gateway.web.jwks import IssuerKeys, Jwks
from balance_gateway.web.request_parsing import BadRequest, parse_json

logger = logging.getLogger(__name__)

TOKEN_BYTES_MAX = 8192
#: How far the issuer's clock and ours may be apart.
LEEWAY_S = 30.0
#: Verified tokens that are kept; the least used go first.
VERIFIED_MAX = 4096
#: Longest ``sub`` and ``tenant``, in characters.
NAME_CHARACTERS_MAX = 255

#: The last second of the year 9999; a later one is no date, but most likely milliseconds.
_LAST_S = 253_402_300_799
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
_SCOPES = {scope.value: scope for scope in Scope}


class _Refused(Exception):
    """The token is not taken; the message, of our own words only, is for the debug log."""


@dataclass(frozen=True, slots=True)
class _Token:
    """A token that is well formed; its payload is not read yet."""

    kid: str
    algorithm: str
    signed: bytes
    payload: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class _Verified:
    """Whose token it is, until when, and the keys that showed it."""

    principal: Principal
    until_s: float
    kid: str
    keys: IssuerKeys


class JwtAuthenticator:
    """Tells who is asking by a JWT.

    Verified tokens are kept by their SHA-256 until they expire, so that a token that is used again
    costs a hash and no signature. They hold only as long as the issuer's keys stay the same.

    Args:
        issuer: what ``iss`` has to be.
        audience: what ``aud`` has to be, or to have in its list.
        jwks: the issuer's keys.
        clock: for the token's times.
    """

    def __init__(
        self, *, issuer: str, audience: str, jwks: Jwks, clock: Clock = system_clock
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._jwks = jwks
        self._clock = clock
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    async def authenticate(self, token: str) -> Principal:
        """The principal of a token.

        Raises:
            Unauthenticated: anything is wrong with it, or there is no key to know.
        """
        try:
            return await self._principal(token)
        except _Refused as refused:
            logger.debug("jwt.refused", extra={"reason": str(refused)})
        raise Unauthenticated(NOT_KNOWN)

    async def _principal(self, token: str) -> Principal:
        if len(token) > TOKEN_BYTES_MAX or not token.isascii():
            raise _Refused("too long, or not ASCII")
        digest = hashlib.sha256(token.encode("ascii")).digest()
        known = self._verified.get(digest)
        if known is not None:
            self._verified.move_to_end(digest)
            keys = await self._jwks.keys(known.kid)
            if keys is known.keys and self._clock().timestamp() < known.until_s:
                return known.principal
            self._verified.pop(digest, None)
        parsed = _parsed(token)
        verified = self._judged(parsed, await self._jwks.keys(parsed.kid))
        self._verified[digest] = verified
        if len(self._verified) > VERIFIED_MAX:
            self._verified.popitem(last=False)
        return verified.principal

    def _judged(self, token: _Token, keys: IssuerKeys) -> _Verified:
        """What a token says, its signature and its claims checked."""
        if not _is_signed(token, keys):
            raise _Refused("no key for kid and alg, or a wrong signature")
        claims = _json(token.payload, "payload")
        if claims.get("iss") != self._issuer:
            raise _Refused("iss")
        if not _is_for(self._audience, claims.get("aud")):
            raise _Refused("aud")
        now_s = self._clock().timestamp()
        until_s = _seconds(claims, "exp") + LEEWAY_S
        if now_s >= until_s:
            raise _Refused("exp is past")
        if _seconds(claims, "iat") > now_s + LEEWAY_S:
            raise _Refused("iat is to come")
        if "nbf" in claims and _seconds(claims, "nbf") > now_s + LEEWAY_S:
            raise _Refused("nbf is to come")
        principal = Principal(_name(claims, "sub"), _name(claims, "tenant"), _scopes(claims))
        return _Verified(principal, until_s, token.kid, keys)


def _parsed(token: str) -> _Token:
    """The parts of a token in the compact form, its header checked."""
    signed, _, signature = token.rpartition(".")
    header_part, dot, payload = signed.partition(".")
    if not dot or "." in payload:
        raise _Refused("not three parts")
    header = _json(_decoded(header_part), "header")
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if "crit" in header or "b64" in header:
        raise _Refused("crit or b64")
    if not isinstance(algorithm, str) or not isinstance(kid, str) or not kid:
        raise _Refused("alg or kid")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise _Refused("typ")
    return _Token(kid, algorithm, signed.encode(), _decoded(payload), _decoded(signature))


def _is_signed(token: _Token, keys: IssuerKeys) -> bool:
    key = keys.by_use.get((token.kid, token.algorithm))
    if key is None:
        return False
    model = JWSRegistry.algorithms[token.algorithm]
    try:
        model.check_key(key)
        return model.verify(token.signed, token.signature, key)
    except (JoseError, ValueError):
        return False


def _decoded(part: str) -> bytes:
    """Base64url in its one right form: no padding, no other alphabet, no spare bits."""
    try:
        return urlsafe_b64decode(part.encode())
    except ValueError:
        raise _Refused("not base64url") from None


def _json(text: bytes, what: str) -> dict[str, Any]:
    try:
        parsed = parse_json(text, what)
    except BadRequest:
        parsed = None
    if not isinstance(parsed, dict):
        raise _Refused(f"the {what} is no JSON object, or not clearly one")
    return parsed


def _is_for(audience: str, claim: object) -> bool:
    if isinstance(claim, list):
        return audience in claim and all(isinstance(each, str) for each in claim)
    return claim == audience


def _seconds(claims: dict[str, Any], name: str) -> float:
    """A time: a JSON number within the calendar, and nothing that merely looks like one."""
    value: Any = claims.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= _LAST_S:
        raise _Refused(f"{name} is missing, or no time")
    return float(value)


def _name(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= NAME_CHARACTERS_MAX:
        raise _Refused(f"{name} is missing, empty or too long")
    if not value.isprintable() or value.isspace():
        raise _Refused(f"{name} has characters that cannot be shown")
    return value


def _scopes(claims: dict[str, Any]) -> frozenset[Scope]:
    """The scopes that we know; a token with none of them may ask and is told what it lacks."""
    if "scope" in claims:
        text = claims["scope"]
        names = text.split(" ") if isinstance(text, str) else None
    else:
        names = claims.get("scopes", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _Refused("scope is no text, or scopes no list of texts")
    return frozenset(_SCOPES[name] for name in names if name in _SCOPES)
