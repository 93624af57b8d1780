"""Access tokens and who is calling: header `Authorization` to credential and scopes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from balance_gateway_sandbox.state.catalogue import Catalogue, Credential
from balance_gateway_sandbox.state.clock import Clock
from balance_gateway_sandbox.state.company import Provider
from balance_gateway_sandbox.state.identifiers import derive_number

TOKENS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from.

    Attributes:
        scopes: What the token may do (Asset); empty elsewhere.
        business_id: The only business an Asset token is for; None for all of the tenant's.
    """

    credential: Credential
    scopes: frozenset[str] = frozenset()
    business_id: str | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """An access token given out by Asset's or Layer's token endpoint."""

    text: str
    caller: Caller
    expires_at: datetime


class TokenStore:
    """The access tokens given out, at most `TOKENS_MAX`; the oldest go first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._issued: dict[str, Token] = {}
        self._count = 0

    def issue(self, caller: Caller, lifetime_s: int) -> Token:
        """Give out a new token that lasts `lifetime_s` seconds of the sandbox's clock."""
        self._count += 1
        name = caller.credential.name
        text = f"{name}-token-{self._count}-{derive_number(name, self._count) % 2**64:016x}"
        token = Token(text, caller, self._clock.now() + timedelta(seconds=lifetime_s))
        self._issued[text] = token
        while len(self._issued) > TOKENS_MAX:
            del self._issued[next(iter(self._issued))]
        return token

    def find(self, text: str) -> Token | None:
        """The token with this text; None when it was never given out, is revoked or is expired."""
        token = self._issued.get(text)
        return token if token is not None and self._clock.now() < token.expires_at else None

    def revoke_all(self) -> int:
        """Make every token invalid; returns how many there were."""
        count = len(self._issued)
        self._issued.clear()
        return count


def authenticate(
    provider: Provider, authorization: str, known: Catalogue, tokens: TokenStore
) -> Caller | None:
    """Who sends this Authorization header, or None.

    Light: "Basic authentication header of the form **Basic** **<api_key>**" — the key itself, not
    base64 — or a bearer token. Asset and Layer: bearer tokens of their own token endpoints.
    Undocumented: the scheme's case; only `Basic` and `Bearer` as printed are taken.
    """
    scheme, _, secret = authorization.partition(" ")
    if provider == "light":
        for credential in known.credentials:
            expected = {"Basic": credential.api_key, "Bearer": credential.access_token}.get(scheme)
            if expected is not None and secret == expected:
                return Caller(credential)
        return None
    token = tokens.find(secret) if scheme == "Bearer" else None
    if token is None or token.caller.credential.provider != provider:
        return None
    return token.caller
