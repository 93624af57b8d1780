"""Who is asking: from the Authorization header to a Principal.

There are no cookies and no ambient credentials: a browser never adds this header by itself, and
another origin cannot add it without a preflight that only ``cors_origins`` answers. That is what
keeps cross-site requests out, GET included.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.errors import Unauthenticated

HEADER_BYTES_MAX = 8192

#: The one answer to every credential that is not taken, whatever is wrong with it.
NOT_KNOWN = "This credential is not known, or no longer good."

_BEARER = re.compile(rb"(?i:bearer) +([A-Za-z0-9._~+/=:@-]+) *")


class Authenticator(Protocol):
    """Tells who is asking."""

    async def authenticate(self, token: str) -> Principal:
        """The caller whose bearer token it is.

        Raises:
            Unauthenticated: it is nobody's, or no longer good.
        """
        ...


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that a caller may hold.

    Attributes:
        name: for the audit log.
        key_sha256: the SHA-256 of the key's UTF-8 bytes; the key itself is not kept.
        tenant: whose accounts it opens.
        scopes: what it may be used for.
    """

    name: str
    key_sha256: bytes = field(repr=False)
    tenant: str
    scopes: frozenset[Scope]


class ApiKeys:
    """The configured API keys.

    They are looked up by their hashes: how long that takes says nothing of a key, because nobody
    can choose what a guess is hashed to.
    """

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._principals = {
            key.key_sha256: Principal(key.name, key.tenant, frozenset(key.scopes)) for key in keys
        }

    async def authenticate(self, token: str) -> Principal:
        """The principal of a key.

        Raises:
            Unauthenticated: no such key is configured.
        """
        found = self._principals.get(hashlib.sha256(token.encode()).digest())
        if found is None:
            raise Unauthenticated(NOT_KNOWN)
        return found


class Authenticators:
    """API keys, and beside them the tokens of an issuer.

    Args:
        keys: the API keys.
        tokens: judges what has the form of a JWT: two dots.
    """

    def __init__(self, keys: Authenticator, tokens: Authenticator) -> None:
        self._keys = keys
        self._tokens = tokens

    async def authenticate(self, token: str) -> Principal:
        """The principal of a token or a key. A key may have two dots too, and stays good.

        Raises:
            Unauthenticated: it is neither.
        """
        if token.count(".") == 2:
            try:
                return await self._tokens.authenticate(token)
            except Unauthenticated:
                pass
        return await self._keys.authenticate(token)


def bearer_token(authorization: bytes | None) -> str:
    """The bearer token of an Authorization header; of several, joined by commas, none is taken.

    Raises:
        Unauthenticated: there is none, more than one, or one that is malformed or too long.
    """
    if authorization is None:
        raise Unauthenticated("A credential is needed: send Authorization: Bearer <key>.")
    if len(authorization) > HEADER_BYTES_MAX:
        raise Unauthenticated(f"Authorization is longer than {HEADER_BYTES_MAX} bytes.")
    match = _BEARER.fullmatch(authorization)
    if match is None:
        raise Unauthenticated("Authorization has to read: Bearer <key>, once.")
    return match[1].decode("ascii")
