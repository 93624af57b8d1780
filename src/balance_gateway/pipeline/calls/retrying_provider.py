"""Reads that are tried again: after quick failures, within the deadline, and within a budget.

A write is never tried again here: a PUT repeated after an unclear failure can land after somebody
else's newer one. A read that ran into its timeout is not tried again either: whoever waits has
waited long enough, and a provider that hangs is not helped by more calls.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    OpeningBalance,
)
from balance_gateway.domain.errors import (
    CircuitOpen,
    GatewayError,
    ProviderRateLimited,
    ProviderUnavailable,
    ProviderUntrusted,
)
from balance_gateway.pipeline.calls.provider_decorator import ProviderDecorator
from balance_gateway.ports.call_context import (
    current_call,
)
from balance_gateway.ports.providers import (
    BalanceProvider,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

ATTEMPTS_MAX = 3
FIRST_PAUSE_S = 0.1
PAUSE_MAX_S = 2.0

#: Retries may add this part to the calls that are made, and this many a second.
BUDGET_PART = 0.2
BUDGET_PER_S = 1.0
_BUDGET_MAX = 10.0


class RetryBudget:
    """Keeps retries a small part of all calls, so that an outage is not met with a storm."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._credit = _BUDGET_MAX
        self._at_s = monotonic()

    def earn(self) -> None:
        """Counts a first attempt."""
        now_s = self._monotonic()
        earned = BUDGET_PART + (now_s - self._at_s) * BUDGET_PER_S
        self._credit = min(_BUDGET_MAX, self._credit + earned)
        self._at_s = now_s

    def spend(self) -> bool:
        """Whether a retry may be made; counts it."""
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True


class RetryingProvider(ProviderDecorator):
    """A provider whose reads are tried again; a ``BalanceProvider``.

    Args:
        provider: the provider.
        budget: of retries, one a connector.
    """

    def __init__(self, provider: BalanceProvider, budget: RetryBudget | None = None) -> None:
        super().__init__(provider)
        self._budget = budget or RetryBudget()

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """As the provider answers, at the last attempt."""
        return await self._tried(lambda: self._provider.balances(queries))

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """As the provider answers, at the last attempt."""
        return await self._tried(lambda: self._provider.opening_balance(account))

    async def normal_balance(self, account: Account) -> Side:
        """As the provider answers, at the last attempt."""
        return await self._tried(lambda: self._provider.normal_balance(account))

    async def _tried(self, attempt: Callable[[], Awaitable[T]]) -> T:
        self._budget.earn()
        for number in range(1, ATTEMPTS_MAX + 1):
            try:
                return await attempt()
            except (CircuitOpen, ProviderUntrusted):
                # The breaker's pause is not waited for, and a certificate stays what it is.
                raise
            except (ProviderUnavailable, ProviderRateLimited) as error:
                pause_s = _pause_s(number, error)
                if number == ATTEMPTS_MAX or pause_s > _longest_pause_s(error):
                    raise
                if not self._budget.spend():
                    raise
                facts = {"connector": self.connector, "attempt": number, "code": error.code}
                logger.debug("provider.tried_again", extra={**facts, "pause_s": pause_s})
            await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")


def _longest_pause_s(error: GatewayError) -> float:
    """How long is waited for another attempt.

    What the provider asks for is waited for, for as long as the caller has patience; who has an
    older value to fall back on has none.
    """
    if error.retry_after_s is None:
        return PAUSE_MAX_S
    patience = current_call().max_wait_s
    return patience if isinstance(error, ProviderRateLimited) else min(patience, PAUSE_MAX_S)


def _pause_s(number: int, error: GatewayError) -> float:
    """The provider's own wish, or full jitter below a doubling bound."""
    if error.retry_after_s is not None:
        return error.retry_after_s
    bound_s = min(PAUSE_MAX_S, FIRST_PAUSE_S * 2 ** (number - 1))
    return random.uniform(0.0, bound_s)  # noqa: S311
