"""The base class of providers that add behaviour to another provider."""

from collections.abc import Coroutine, Hashable, Sequence
from typing import Any

from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    OpeningBalance,
    OpeningBalanceWrite,
)
from balance_gateway.domain.errors import GatewayError
from balance_gateway.ports.opening_balances_reader import OpeningBalancesReader
from balance_gateway.ports.providers import BalanceProvider


class ProviderDecorator:
    """Delegates every call to the wrapped provider; a ``BalanceProvider``.

    Subclasses override the calls that they change.
    """

    def __init__(self, provider: BalanceProvider) -> None:
        self._provider = provider
        self.kind = provider.kind
        self.connector = provider.connector
        self.capabilities = provider.capabilities

    def balance_group(self, query: BalanceQuery) -> Hashable:
        """Return the wrapped provider's group for the query."""
        return self._provider.balance_group(query)

    # A plain function, because a coroutine around the provider's would cost time in every call.
    def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Coroutine[Any, Any, Sequence[BalanceFigures | GatewayError]]:
        """Return the wrapped provider's balances."""
        return self._provider.balances(queries)

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """Return the wrapped provider's opening balance."""
        return await self._provider.opening_balance(account)

    # As above.
    def opening_balances(
        self, accounts: Sequence[Account]
    ) -> Coroutine[Any, Any, Sequence[OpeningBalance | GatewayError | None]]:
        """Return the wrapped provider's opening balances; it must be a reader of several."""
        assert isinstance(self._provider, OpeningBalancesReader)
        return self._provider.opening_balances(accounts)

    async def normal_balance(self, account: Account) -> Side:
        """Return the account's normal side as the wrapped provider reports it."""
        return await self._provider.normal_balance(account)

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Set the opening balance at the wrapped provider."""
        return await self._provider.set_opening_balance(write)

    async def probe(self) -> None:
        """Probe the wrapped provider."""
        await self._provider.probe()

    async def aclose(self) -> None:
        """Close the wrapped provider."""
        await self._provider.aclose()
