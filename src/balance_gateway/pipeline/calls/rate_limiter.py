"""Limits a connector's calls per minute and follows the rate limit headers of its provider."""

import asyncio
import copy
import math
import time
from collections.abc import Callable, Mapping

from balance_gateway.domain.errors import BudgetSpent, CircuitOpen
from balance_gateway.pipeline.calls.caller_shares import CallerShares
from balance_gateway.pipeline.calls.sliding_window import ARRIVES_WITHIN_S, SlidingWindow
from balance_gateway.ports.call_context import CallContext, Priority, current_call
from balance_gateway.transport.rate_headers import reported_budget, reset_in_s, retry_after_s

#: The part of the budget that reads leave to writes.
WRITE_RESERVE = 0.25

#: The part of the readers' budget that background refreshes leave to foreground reads.
FOREGROUND_RESERVE = 0.3

#: Two reset times that differ by less, in seconds, belong to the same window of the provider.
_SAME_WINDOW_S = 0.75

#: Another limit than the configured one that resets within so many seconds counts as one per
#: second.
_SECONDS_WINDOW_MAX_S = 2.0


class RateLimiter:
    """The call budget of one connector.

    Args:
        per_minute: The configured limit or the provider's documented one; None when neither
            exists, so that only the provider's headers limit calls.
        window: Counts the calls.
        write_reserve: The part of the budget that reads leave to writes.
        monotonic: Returns the time of a monotonic clock, in seconds.
        wall_s: Returns the seconds since 1970, for headers that name an instant.
    """

    def __init__(
        self,
        per_minute: int | None,
        window: SlidingWindow,
        *,
        write_reserve: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self.per_minute = per_minute
        self._window = window
        self._write_reserve = write_reserve
        self._shares = CallerShares(monotonic)
        self._monotonic = monotonic
        self._wall_s = wall_s
        self._blocked_until_s = 0.0
        self._is_down = False
        # The provider's own count, from its rate limit headers; None before the first one.
        self._reported_remaining: int | None = None
        self._reported_until_s = 0.0
        self._reported_limit = 0
        self._is_reported_per_second = False
        self._changes = 0
        self._zero_s = wall_s() - monotonic()

    def copy_with_limit(self, per_minute: int) -> "RateLimiter":
        """Return a limiter with another limit that goes on counting in the same window."""
        limiter = copy.copy(self)
        limiter.per_minute = per_minute
        return limiter

    @property
    def changes(self) -> int:
        """A number that rises with every event that can change what is left of the budget."""
        return self._changes + self._window.changes

    def _record_change(self) -> None:
        self._changes += 1
        # When the monotonic clock was zero, in seconds since 1970. It is computed at events only,
        # so that between two of them ``refills_at_s`` is the same to the last digit.
        self._zero_s = self._wall_s() - self._monotonic()

    async def acquire(self) -> float:
        """Count one call, after waiting for the budget if necessary.

        Returns:
            The monotonic time at which the call was counted, for ``record_end``.

        Raises:
            BudgetSpent: The wait would exceed the caller's maximum.
            CircuitOpen: The provider responded 503 with a ``Retry-After`` that is not over yet.
        """
        give_up_s = self.compute_give_up_s()
        while (wait_s := await self.try_acquire()) > 0:
            await self.wait(wait_s, give_up_s)
        return self._monotonic()

    def now_s(self) -> float:
        """Return the monotonic time, in seconds."""
        return self._monotonic()

    def compute_give_up_s(self) -> float:
        """Return the monotonic time until which the current call may wait for the budget."""
        call = current_call()
        return self._monotonic() + min(call.max_wait_s, call.max_budget_wait_s)

    async def wait(self, wait_s: float, give_up_s: float) -> None:
        """Wait before another ``try_acquire``.

        Args:
            wait_s: The seconds that ``try_acquire`` returned.
            give_up_s: See ``compute_give_up_s``.

        Raises:
            BudgetSpent: The wait would end after ``give_up_s``.
            CircuitOpen: The provider responded 503 with a ``Retry-After`` that is not over yet.
        """
        if self._is_down and self._monotonic() < self._blocked_until_s:
            retry_s = math.ceil(wait_s)
            message = f"The provider is unavailable (Retry-After: {retry_s} s)."
            raise CircuitOpen(message, retry_after_s=retry_s)
        if wait_s > give_up_s - self._monotonic():
            raise BudgetSpent(
                "The budget of calls to the provider is exhausted.",
                retry_after_s=math.ceil(wait_s),
            )
        await asyncio.sleep(wait_s)

    async def try_acquire(self) -> float:
        """Count the call and return 0.0, or return the seconds until the next attempt."""
        now_s = self._monotonic()
        call = current_call()
        reserve = self._compute_reserve(call.priority)
        limit = self._compute_limit(reserve)
        if (wait_s := self._compute_wait_s(call, limit, now_s)) > 0:
            return wait_s
        reported_until_s = self._reported_until_s
        # Counted before the first await, so that concurrent calls do not share the last one.
        if not self._acquire_reported(now_s, reserve):
            return reported_until_s - now_s
        if limit is None:
            return 0.0
        wait_s = await self._window.acquire(limit)
        if wait_s > 0:
            self._restore_reported(reported_until_s)
        else:
            self._shares.record(call)
            self._record_change()
        return wait_s

    def try_acquire_now(self) -> bool:
        """Count the call and return True; False if it has to wait, be it for other replicas."""
        now_s = self._monotonic()
        call = current_call()
        reserve = self._compute_reserve(call.priority)
        limit = self._compute_limit(reserve)
        if self._compute_wait_s(call, limit, now_s) > 0:
            return False
        reported_until_s = self._reported_until_s
        if not self._acquire_reported(now_s, reserve):
            return False
        if limit is None:
            return True
        if not self._window.acquire_now(limit):
            self._restore_reported(reported_until_s)
            return False
        self._shares.record(call)
        self._record_change()
        return True

    def _compute_limit(self, reserve: float) -> int | None:
        """Return the calls a minute that leave a reserve to others; None without a limit."""
        return None if self.per_minute is None else self.per_minute - int(self.per_minute * reserve)

    def _compute_wait_s(self, call: CallContext, limit: int | None, now_s: float) -> float:
        """Return the seconds for which calls are blocked, or the caller's share is used up."""
        if now_s < self._blocked_until_s:
            return self._blocked_until_s - now_s
        if limit is not None and call.priority is not Priority.WRITE:
            left = limit - self._window.count_used()
            if left > 0:
                return self._shares.compute_wait_s(call, left)
        return 0.0

    def _compute_reserve(self, priority: Priority) -> float:
        """Return the part of the budget that a call leaves to more important ones."""
        if priority is Priority.WRITE:
            return 0.0
        if priority is Priority.FOREGROUND:
            return self._write_reserve
        return self._write_reserve + (1.0 - self._write_reserve) * FOREGROUND_RESERVE

    def _acquire_reported(self, now_s: float, reserve: float) -> bool:
        """Count a call against the provider's reported remainder; False when that is exhausted."""
        if self._reported_remaining is None or now_s >= self._reported_until_s:
            return True
        if self._reported_remaining <= int(self._reported_limit * reserve):
            return False
        self._reported_remaining -= 1
        self._record_change()
        return True

    def _restore_reported(self, reported_until_s: float) -> None:
        """Undo ``_acquire_reported``, unless the provider has started a new window since."""
        if self._reported_remaining is not None and self._reported_until_s == reported_until_s:
            self._reported_remaining += 1
            self._record_change()

    def record_end(self, acquired_s: float) -> None:
        """Record the end of a call that was counted at the monotonic time ``acquired_s``."""
        age_s = self._monotonic() - acquired_s
        if age_s > ARRIVES_WITHIN_S and self.per_minute is not None:
            self._window.recount_late_call(age_s)
            self._record_change()

    def observe(self, status: int | None, headers: Mapping[str, str]) -> None:
        """Apply the rate limit headers of a response.

        Args:
            status: The response's status; None without a response.
            headers: The response's headers, by lower-case name.
        """
        now_s, wall_s = self._monotonic(), self._wall_s()
        if status in (429, 503):
            self._observe_refusal(status, headers, wall_s)
            return
        budget = reported_budget(headers, wall_s)
        if budget is None:
            return
        # The limit of the provider's own window, which may last a second or an hour.
        self._reported_limit = budget.limit or self.per_minute or 0
        # A limit that is not reported, or another one than per minute, may be one per second.
        self._is_reported_per_second = (
            self.per_minute is not None
            and budget.limit != self.per_minute
            and budget.reset_s <= _SECONDS_WINDOW_MAX_S
        )
        self._update_reported(budget.remaining, now_s + budget.reset_s)

    def _observe_refusal(self, status: int, headers: Mapping[str, str], wall_s: float) -> None:
        wait_s = retry_after_s(headers, wall_s)
        if status == 429 and wait_s is None:
            wait_s = reset_in_s(headers, wall_s)
        if wait_s is None:
            # Without a header the circuit breaker finds out how long a 503 lasts.
            wait_s = 1.0 if status == 429 else 0.0
        until_s = self._monotonic() + wait_s
        if until_s > self._blocked_until_s and wait_s > 0:
            self._blocked_until_s, self._is_down = until_s, status == 503
            self._window.block(wait_s)
            self._record_change()

    def _update_reported(self, remaining: int, until_s: float) -> None:
        """Store the provider's count; within one of its windows the count only decreases."""
        is_open = self._monotonic() < self._reported_until_s
        # Reset times come in whole seconds, and some windows last one second.
        same_window = is_open and abs(until_s - self._reported_until_s) < _SAME_WINDOW_S
        if same_window and self._reported_remaining is not None:
            # Responses can arrive out of order: an older one must not give calls back.
            remaining = min(remaining, self._reported_remaining)
        self._reported_remaining, self._reported_until_s = remaining, until_s
        self._record_change()

    def refills_in_s(self) -> float | None:
        """Return the seconds until the budget is full again; None when it is full or unlimited."""
        left_s = self._full_from_s() - self._monotonic()
        return left_s if left_s > 0 else None

    def refills_at_s(self) -> float | None:
        """Return when the budget is full again, in seconds since 1970; see ``refills_in_s``."""
        full_from_s = self._full_from_s()
        return full_from_s + self._zero_s if full_from_s > self._monotonic() else None

    def _full_from_s(self) -> float:
        """Return the monotonic time from which the budget is full again."""
        full_from_s = max(self._blocked_until_s, self._reported_until_s)
        if self.per_minute is not None:
            full_from_s = max(full_from_s, self._window.empty_from_s())
        return full_from_s

    def unchanged_for_s(self) -> float:
        """Return the seconds for which time alone does not change the budget; inf: for ever."""
        now_s = self._monotonic()
        if now_s < self._blocked_until_s:
            return self._blocked_until_s - now_s
        until_s = self._reported_until_s if now_s < self._reported_until_s else math.inf
        if self.per_minute is not None:
            until_s = min(until_s, self._window.next_expiry_s())
        return until_s - now_s

    def remaining(self) -> int | None:
        """Return the calls left, from this process's view; None without a known limit.

        They are calls of the minute: what a provider reports of a window of a second counts only
        when that is exhausted.
        """
        now_s = self._monotonic()
        if now_s < self._blocked_until_s:
            return 0
        left: list[int] = []
        if self._reported_remaining is not None and now_s < self._reported_until_s:
            reported = max(0, self._reported_remaining)
            if reported == 0 or not self._is_reported_per_second:
                left.append(reported)
        if self.per_minute is not None:
            left.append(max(0, self.per_minute - self._window.count_used()))
        return min(left, default=None)
