"""Authenticate requests: turn an Authorization header into a Principal.

Bearer tokens are the only credentials; there are no cookies. This also protects against cross-site
requests, GET included: a browser never adds this header on its own, and a page of another origin
can add it only after a preflight, which succeeds for ``cors_origins`` alone.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.errors import Unauthenticated

HEADER_BYTES_MAX = 8192

#: The same message for every rejected credential, so that it does not reveal the reason.
INVALID_CREDENTIAL = "The credential is unknown or expired; send a valid API key or token."

_BEARER = re.compile(rb"(?i:bearer) +([A-Za-z0-9._~+/=:@-]+) *")


class Authenticator(Protocol):
    """Verifies bearer tokens."""

    async def authenticate(self, token: str) -> Principal:
        """Return the caller that the bearer token belongs to.

        Raises:
            Unauthenticated: the token is unknown or expired.
        """
        ...

    def find(self, token: str) -> Principal | None:
        """Return the caller if the token is valid and that is known without waiting."""
        ...


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A configured API key.

    Attributes:
        name: the caller's name in the audit log.
        key_sha256: SHA-256 of the key's UTF-8 bytes; the key itself is not stored.
        tenant: the tenant that the caller may access.
        scopes: the permissions of the caller.
    """

    name: str
    key_sha256: bytes = field(repr=False)
    tenant: str
    scopes: frozenset[Scope]


class ApiKeys:
    """Authenticates callers by the configured API keys.

    Args:
        keys: the configured keys.
    """

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        # A lookup by hash leaks nothing about a key through its duration: a caller cannot choose
        # the hash of a guess.
        self._principals = {
            key.key_sha256: Principal(key.name, key.tenant, frozenset(key.scopes)) for key in keys
        }

    async def authenticate(self, token: str) -> Principal:
        """Return the principal of an API key.

        Raises:
            Unauthenticated: the key is not configured.
        """
        principal = self.find(token)
        if principal is None:
            raise Unauthenticated(INVALID_CREDENTIAL)
        return principal

    def find(self, token: str) -> Principal | None:
        """Return the principal of an API key; None if it is not configured."""
        return self._principals.get(hashlib.sha256(token.encode()).digest())


class KeyOrTokenAuthenticator:
    """Authenticates callers by API keys and by the tokens of an issuer.

    Args:
        keys: verifies API keys.
        tokens: verifies credentials in the form of a JWT, which has two dots.
    """

    def __init__(self, keys: Authenticator, tokens: Authenticator) -> None:
        self._keys = keys
        self._tokens = tokens

    async def authenticate(self, token: str) -> Principal:
        """Return the principal of a token or an API key.

        Raises:
            Unauthenticated: the credential is neither a valid token nor a configured key.
        """
        if token.count(".") == 2:
            try:
                return await self._tokens.authenticate(token)
            except Unauthenticated:
                pass  # An API key may contain two dots as well.
        return await self._keys.authenticate(token)

    def find(self, token: str) -> Principal | None:
        """Return the principal of an API key; None for what looks like a token."""
        return None if token.count(".") == 2 else self._keys.find(token)


def parse_bearer_token(authorization: bytes | None) -> str:
    """Return the bearer token of an Authorization header.

    Args:
        authorization: the header's value; None without the header. The values of repeated headers
            are joined by commas, which no valid value contains.

    Raises:
        Unauthenticated: the header is missing, repeated, malformed or too long.
    """
    if authorization is None:
        raise Unauthenticated("Authorization is missing; send 'Authorization: Bearer <key>'.")
    if len(authorization) > HEADER_BYTES_MAX:
        raise Unauthenticated(
            f"Authorization is longer than {HEADER_BYTES_MAX} bytes; send one API key or token."
        )
    match = _BEARER.fullmatch(authorization)
    if match is None:
        raise Unauthenticated("Authorization must be 'Bearer <key>', sent once.")
    return match[1].decode("ascii")
