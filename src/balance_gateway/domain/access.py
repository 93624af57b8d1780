"""Who is asking, and what they may do."""

import enum
from dataclasses import dataclass

from balance_gateway.domain.errors import Forbidden


class Scope(enum.Enum):
    """What a credential may be used for."""

    BALANCES_READ = "balances:read"
    BALANCES_WRITE = "balances:write"
    ACCOUNTS_ADMIN = "accounts:admin"
    AUDIT_READ = "audit:read"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller.

    Attributes:
        name: the key's name, or the token's subject; shown in the audit log.
        tenant: the only company whose accounts the caller can see.
        scopes: what the caller may do.
    """

    name: str
    tenant: str
    scopes: frozenset[Scope]

    def require(self, scope: Scope) -> None:
        """Raises Forbidden when the caller lacks the scope."""
        if scope not in self.scopes:
            raise Forbidden(f"This credential lacks the scope {scope.value}.")
