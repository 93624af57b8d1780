"""Retries reads after quick failures, within the caller's deadline and a retry budget.

Writes are never retried: a PUT that is repeated after an unclear failure can overwrite a newer
value of another caller. A read that ran into its timeout is not retried either, because its caller
has used up its wait, and more calls do not help a provider that hangs.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    OpeningBalance,
    OpeningBalanceWrite,
)
from balance_gateway.domain.errors import (
    BudgetSpent,
    CircuitOpen,
    GatewayError,
    ProviderRateLimited,
    ProviderUnavailable,
    ProviderUntrusted,
)
from balance_gateway.pipeline.calls.provider_decorator import ProviderDecorator
from balance_gateway.ports.begun_balances import BalanceBeginner, BegunBalance
from balance_gateway.ports.call_context import account_ids, current_call
from balance_gateway.ports.providers import BalanceProvider

logger = logging.getLogger(__name__)

T = TypeVar("T")

ATTEMPTS_MAX = 3
FIRST_PAUSE_S = 0.1
PAUSE_MAX_S = 2.0

#: Retries that each first attempt and each second add to the budget.
RETRIES_PER_CALL = 0.2
RETRIES_PER_S = 1.0
_RETRIES_MAX = 10.0


class RetryBudget:
    """Limits retries to a small part of all calls, so that an outage causes no retry storm."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._credit = _RETRIES_MAX
        self._at_s = monotonic()

    def earn(self) -> None:
        """Count a first attempt."""
        now_s = self._monotonic()
        earned = RETRIES_PER_CALL + (now_s - self._at_s) * RETRIES_PER_S
        self._credit = min(_RETRIES_MAX, self._credit + earned)
        self._at_s = now_s

    def spend(self) -> bool:
        """Count a retry and return True, or return False when the budget is exhausted."""
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True


class RetryingProvider(ProviderDecorator):
    """Retries the reads of a provider; a ``BalanceProvider``.

    Args:
        provider: The provider.
        budget: The retry budget of the connector; None for a new one.
    """

    def __init__(self, provider: BalanceProvider, budget: RetryBudget | None = None) -> None:
        super().__init__(provider)
        self._budget = budget or RetryBudget()
        # Only used by those who know that the provider is one.
        self._beginner = cast("BalanceBeginner", provider)

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """Return the provider's balances, or raise the error of the last attempt."""
        ids = tuple(query.account.id for query in queries)
        return await self._retry(ids, lambda: self._provider.balances(queries))

    def begin_balance(
        self, query: BalanceQuery, within_s: float, on_end: Callable[[Any], None]
    ) -> BegunBalance | None:
        """Begin the first attempt, at a provider that is a ``BalanceBeginner``."""
        return self._beginner.begin_balance(query, within_s, on_end)

    def take_balance(self, query: BalanceQuery, begun: Any) -> BalanceFigures | None:
        """Return the figures of a first attempt that has ended as usual; None for any other."""
        figures = self._beginner.take_balance(query, begun)
        if figures is not None:
            self._budget.earn()
        return figures

    async def finish_balance(
        self, query: BalanceQuery, begun: Any
    ) -> Sequence[BalanceFigures | GatewayError]:
        """Return the balance, or raise the error of the last attempt."""
        firsts = [begun]

        def attempt() -> Awaitable[Sequence[BalanceFigures | GatewayError]]:
            if firsts:
                return self._beginner.finish_balance(query, firsts.pop())
            return self._provider.balances([query])

        return await self._retry((query.account.id,), attempt)

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """Return the provider's opening balance, or raise the error of the last attempt."""
        return await self._retry((account.id,), lambda: self._provider.opening_balance(account))

    async def normal_balance(self, account: Account) -> Side:
        """Return the account's normal side, or raise the error of the last attempt."""
        return await self._retry((account.id,), lambda: self._provider.normal_balance(account))

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Set the opening balance, once."""
        outer = account_ids.set((write.account.id,))
        try:
            return await self._provider.set_opening_balance(write)
        finally:
            account_ids.reset(outer)

    async def run_call(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make one call of a listing, with the retries of a read; a ``RunCall``."""
        return await self._attempt_repeatedly(call)

    async def _retry(self, ids: tuple[str, ...], attempt: Callable[[], Awaitable[T]]) -> T:
        # For the log lines of the attempts.
        outer = account_ids.set(ids)
        try:
            return await self._attempt_repeatedly(attempt)
        finally:
            account_ids.reset(outer)

    async def _attempt_repeatedly(self, attempt: Callable[[], Awaitable[T]]) -> T:
        self._budget.earn()
        for number in range(1, ATTEMPTS_MAX + 1):
            try:
                return await attempt()
            except (CircuitOpen, BudgetSpent, ProviderUntrusted):
                # The breaker's pause is too long to wait for, the budget was waited for already,
                # and a certificate does not change.
                raise
            except (ProviderUnavailable, ProviderRateLimited) as error:
                pause_s = _compute_pause_s(number, error)
                if number == ATTEMPTS_MAX or pause_s > _compute_pause_max_s(error):
                    raise
                if not self._budget.spend():
                    raise
                facts = {"connector": self.connector, "attempt": number, "code": error.code}
                logger.debug("provider.tried_again", extra={**facts, "pause_s": pause_s})
            await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")


def _compute_pause_max_s(error: GatewayError) -> float:
    """Return the longest pause before another attempt."""
    if error.retry_after_s is None:
        return PAUSE_MAX_S
    # 0 for a read that can fall back on an older value: it does not wait for the provider.
    call = current_call()
    if isinstance(error, ProviderRateLimited):
        return min(call.max_wait_s, call.max_budget_wait_s)
    return min(call.max_wait_s, PAUSE_MAX_S)


def _compute_pause_s(number: int, error: GatewayError) -> float:
    """Return the provider's own wait, or full jitter below a bound that doubles per attempt."""
    if error.retry_after_s is not None:
        return error.retry_after_s
    bound_s = min(PAUSE_MAX_S, FIRST_PAUSE_S * 2 ** (number - 1))
    return random.uniform(0.0, bound_s)  # noqa: S311
