"""Defines the authenticated caller and its scopes."""

import enum
from dataclasses import dataclass, field
from datetime import datetime

from balance_gateway.domain.errors import Forbidden


class Scope(enum.Enum):
    """A permission of a credential."""

    BALANCES_READ = "balances:read"
    BALANCES_WRITE = "balances:write"
    ACCOUNTS_ADMIN = "accounts:admin"
    AUDIT_READ = "audit:read"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller.

    Attributes:
        name: the API key's name or the token's subject; recorded in the audit log.
        tenant: the company of the caller. The caller sees only accounts of this tenant.
        scopes: the caller's permissions.
        expires_at: when the token expires, leeway not included; None for an API key. It decides
            nothing here, so callers that differ in it alone are equal.
    """

    name: str
    tenant: str
    scopes: frozenset[Scope]
    expires_at: datetime | None = field(default=None, compare=False)

    def require(self, scope: Scope) -> None:
        """Check that the caller has a scope.

        Raises:
            Forbidden: the caller lacks the scope.
        """
        if scope not in self.scopes:
            raise Forbidden(f"This credential lacks the scope {scope.value}.")
