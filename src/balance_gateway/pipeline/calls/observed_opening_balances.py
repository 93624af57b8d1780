"""Reports every opening balance that is read from a provider, so that it can settle writes."""

from collections.abc import Sequence

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import GatewayError
from balance_gateway.pipeline.calls.provider_decorator import ProviderDecorator
from balance_gateway.ports.opening_balance_observer import OpeningBalanceObserver
from balance_gateway.ports.providers import BalanceProvider


class ObservedOpeningBalances(ProviderDecorator):
    """Reports reads of opening balances; a ``BalanceProvider``.

    It is below the cache, so that cached reads are not slowed.

    Args:
        provider: The provider that is read.
        observer: Receives what was read.
        clock: Returns the current time.
    """

    def __init__(
        self, provider: BalanceProvider, observer: OpeningBalanceObserver, clock: Clock
    ) -> None:
        super().__init__(provider)
        self._observer = observer
        self._clock = clock

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """Return the wrapped provider's opening balance, and report it."""
        began_at = self._clock()
        found = await self._provider.opening_balance(account)
        self._observer.observe(account, found, began_at)
        return found

    async def opening_balances(
        self, accounts: Sequence[Account]
    ) -> Sequence[OpeningBalance | GatewayError | None]:
        """Return the wrapped provider's opening balances, and report each that was read."""
        began_at = self._clock()
        found = await super().opening_balances(accounts)
        for account, one in zip(accounts, found, strict=True):
            if not isinstance(one, GatewayError):
                self._observer.observe(account, one, began_at)
        return found
