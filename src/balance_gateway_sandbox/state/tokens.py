"""Issue access tokens and authenticate callers."""

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
    """The authenticated sender of a request.

    Attributes:
        scopes: The scopes of the token (Asset); empty elsewhere.
        business_id: The only business an Asset token may access. None means all of the tenant's.
    """

    credential: Credential
    scopes: frozenset[str] = frozenset()
    business_id: str | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """An access token issued by Asset's or Layer's token endpoint."""

    text: str
    caller: Caller
    expires_at: datetime


class TokenStore:
    """The issued access tokens, at most `TOKENS_MAX`. The oldest are discarded first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._issued: dict[str, Token] = {}
        self._count = 0

    def issue(self, caller: Caller, lifetime_s: int) -> Token:
        """Issue a new token that is valid for `lifetime_s` seconds of the sandbox's clock."""
        self._count += 1
        name = caller.credential.name
        text = f"{name}-token-{self._count}-{derive_number(name, self._count) % 2**64:016x}"
        token = Token(text, caller, self._clock.now() + timedelta(seconds=lifetime_s))
        self._issued[text] = token
        while len(self._issued) > TOKENS_MAX:
            del self._issued[next(iter(self._issued))]
        return token

    def find(self, text: str) -> Token | None:
        """Return the token with this text, or None if it is unknown, revoked or expired."""
        token = self._issued.get(text)
        return token if token is not None and self._clock.now() < token.expires_at else None

    def revoke_all(self) -> int:
        """Revoke every token and return their number."""
        count = len(self._issued)
        self._issued.clear()
        return count


def authenticate(
    provider: Provider, authorization: str, known: Catalogue, tokens: TokenStore
) -> Caller | None:
    """Return the caller identified by an Authorization header, or None.

    Light: "Basic authentication header of the form **Basic** **<api_key>**" — the key itself, not
    base64 — or a bearer token. Asset and Layer: bearer tokens of their own token endpoints.
    Undocumented: the scheme's case; only `Basic` and `Bearer` as printed are accepted.
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
