"""Reports calls of a provider without HTTP, the embedded ledger, to the health tracker.

Providers over HTTP are tracked per exchange, by the client that sends the exchanges.
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
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.ports.stored_balances_reader import StoredBalancesReader

T = TypeVar("T")


class HealthTrackedProvider(ProviderDecorator):
    """Reports the success or failure of every call to the tracker; a ``BalanceProvider``."""

    def __init__(self, provider: BalanceProvider, tracker: HealthTracker) -> None:
        super().__init__(provider)
        self._tracker = tracker
        # Checked once: a check of a protocol takes longer than the read.
        self._stored_reader = provider if isinstance(provider, StoredBalancesReader) else None

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """Return the provider's response and record the outcome."""
        return await self._track(self._provider.balances(queries))

    def read_balances_now(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError] | None:
        """Return the provider's response and record a success; it must be such a reader."""
        assert self._stored_reader is not None
        response = self._stored_reader.read_balances_now(queries)
        if response is not None:
            self._tracker.record_success(self.connector)
        return response

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """Return the provider's response and record the outcome."""
        return await self._track(self._provider.opening_balance(account))

    async def opening_balances(
        self, accounts: Sequence[Account]
    ) -> Sequence[OpeningBalance | GatewayError | None]:
        """Return the provider's response and record the outcome."""
        return await self._track(super().opening_balances(accounts))

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Return the provider's response and record the outcome."""
        return await self._track(self._provider.set_opening_balance(write))

    async def probe(self) -> None:
        """Probe the provider and record the outcome."""
        await self._track(self._provider.probe())

    async def _track(self, call: Awaitable[T]) -> T:
        # Other errors refuse the request's content: they show nothing about the provider's health.
        try:
            response = await call
        except ProviderUnavailable as error:
            self._tracker.record_failure(self.connector, error.code)
            raise
        self._tracker.record_success(self.connector)
        return response
