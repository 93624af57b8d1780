"""A provider with something around it: what a wrapper does not change is the provider's own."""

from collections.abc import Hashable, Sequence

from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    OpeningBalance,
    OpeningBalanceWrite,
)
from balance_gateway.domain.errors import GatewayError
from balance_gateway.ports.providers import (
    BalanceProvider,
)


class ProviderDecorator:
    """Passes everything on; a ``BalanceProvider``."""

    def __init__(self, provider: BalanceProvider) -> None:
        self._provider = provider
        self.kind = provider.kind
        self.connector = provider.connector
        self.capabilities = provider.capabilities

    def balance_group(self, query: BalanceQuery) -> Hashable:
        """As the provider groups."""
        return self._provider.balance_group(query)

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """As the provider answers."""
        return await self._provider.balances(queries)

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """As the provider answers."""
        return await self._provider.opening_balance(account)

    async def normal_balance(self, account: Account) -> Side:
        """As the provider answers."""
        return await self._provider.normal_balance(account)

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """As the provider answers."""
        return await self._provider.set_opening_balance(write)

    async def probe(self) -> None:
        """As the provider answers."""
        await self._provider.probe()

    async def aclose(self) -> None:
        """Closes the provider."""
        await self._provider.aclose()
