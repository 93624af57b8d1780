"""Tells the watch how a provider that is reached without HTTP is doing: the embedded ledger.

The others are watched exchange by exchange, by whatever sends them.
"""

from collections.abc import Awaitable, Sequence
from typing import TypeVar

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    OpeningBalance,
    OpeningBalanceWrite,
)
from balance_gateway.domain.errors import GatewayError, ProviderUnavailable
from balance_gateway.pipeline.calls.health_tracker import HealthTracker
from balance_gateway.pipeline.calls.provider_decorator import ProviderDecorator
from balance_gateway.ports.providers import (
    BalanceProvider,
)

T = TypeVar("T")


class HealthTrackedProvider(ProviderDecorator):
    """A provider whose answers are told to the watch; a ``BalanceProvider``."""

    def __init__(self, provider: BalanceProvider, watch: HealthTracker) -> None:
        super().__init__(provider)
        self._watch = watch

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """As the provider answers."""
        return await self._watched(self._provider.balances(queries))

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """As the provider answers."""
        return await self._watched(self._provider.opening_balance(account))

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """As the provider answers."""
        return await self._watched(self._provider.set_opening_balance(write))

    async def probe(self) -> None:
        """As the provider answers."""
        await self._watched(self._provider.probe())

    async def _watched(self, asked: Awaitable[T]) -> T:
        """The answer. What is refused for what was asked says nothing of the provider."""
        try:
            answer = await asked
        except ProviderUnavailable as error:
            self._watch.record_failure(self.connector, error.code)
            raise
        self._watch.record_success(self.connector)
        return answer
