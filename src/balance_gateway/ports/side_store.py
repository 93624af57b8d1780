"""Defines the memory of normal sides that were read from providers."""

from typing import Protocol

from balance_gateway.domain.accounts import Account, Side


class SideStore(Protocol):
    """Remembers normal sides by remote account, beyond the life of a process.

    No method raises: a side that cannot be stored or found is not remembered.
    """

    async def find_side(self, account: Account) -> Side | None:
        """Return the side that was read last from the provider; None without one."""
        ...

    async def remember_side(self, account: Account, side: Side) -> None:
        """Store the side that the provider reports for the account."""
        ...
