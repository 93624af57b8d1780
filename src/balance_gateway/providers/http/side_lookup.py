"""Decide an account's normal side: configured, read from the provider, or remembered.

No adapter has a side of its own to fall back on: a wrong side turns money owed into money held.
"""

from collections.abc import Awaitable, Callable

from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.errors import (
    GatewayError,
    ProviderCredentialsRejected,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
    SideUnknown,
)
from balance_gateway.ports.side_store import SideStore

#: Failures that say nothing about the side: the provider could not be asked.
_NOT_ASKED = (
    ProviderUnavailable,
    ProviderTimeout,
    ProviderRateLimited,
    ProviderCredentialsRejected,
)


class SideLookup:
    """Decides the normal sides of a connector's accounts.

    Args:
        store: Remembers the sides that were read; None remembers nothing.
    """

    def __init__(self, store: SideStore | None) -> None:
        self._store = store
        self._stored: dict[str, tuple[Account, Side]] = {}

    async def get_side(self, account: Account, learn: Callable[[], Awaitable[Side | None]]) -> Side:
        """Return the account's normal side.

        Args:
            account: The account.
            learn: Reads the side from the provider; returns None if the provider does not offer
                it, and raises ``SideUnknown`` if its response leaves the side open.

        Raises:
            SideUnknown: The side is neither configured nor learned nor remembered.
            GatewayError: The provider cannot be asked, and nothing is remembered.
        """
        if account.normal_balance is not None:
            return account.normal_balance
        failure: GatewayError
        try:
            side = await learn()
        except _NOT_ASKED as error:
            failure = error
        else:
            if side is not None:
                await self.remember(account, side)
                return side
            failure = build_side_unknown(account, "the provider does not report it")
        remembered = None if self._store is None else await self._store.find_side(account)
        if remembered is None:
            raise failure
        return remembered

    async def remember(self, account: Account, side: Side) -> None:
        """Store a side that was read from the provider, once for as long as it stays the same."""
        # A reload can give the id to another account.
        if self._store is not None and self._stored.get(account.id) != (account, side):
            await self._store.remember_side(account, side)
            self._stored[account.id] = account, side


def require_configured_side(account: Account) -> Side:
    """Return the account's configured side, for a provider that knows no sides.

    Raises:
        SideUnknown: No side is configured.
    """
    if account.normal_balance is None:
        raise build_side_unknown(account, "the provider has none")
    return account.normal_balance


def build_side_unknown(account: Account, reason: str) -> SideUnknown:
    """Build the error of an account without a known normal side; ``reason`` says why."""
    message = (
        f"The account's normal side is not known: {reason}. Set the account's normal_balance to"
        " debit or credit."
    )
    return SideUnknown(message, account_id=account.id, provider=account.provider.name)
