"""A connector's budget of calls: never more than so many in any minute, and what providers say."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping

from balance_gateway.domain.errors import BudgetSpent, CircuitOpen
from balance_gateway.pipeline.calls.sliding_window import ARRIVES_WITHIN_S, SlidingWindow
from balance_gateway.ports.call_context import (
    Priority,
    current_call,
)
from balance_gateway.transport.rate_headers import (
    number_of,
    reset_in_s,
    retry_after_s,
)

#: A refresh ahead of expiry leaves this part of the budget to reads that somebody waits for.
BACKGROUND_LEAVES = 0.3

#: A header that blocks a whole connector is believed for so long, in seconds.
_BELIEVED_S = 3600.0


class RateLimiter:
    """The budget of one connector.

    Args:
        per_minute: configured, or the provider's documented limit; None: none is known, and only
            what the provider says counts.
        window: where calls are counted.
        monotonic: tells seconds that never go back.
        wall_s: tells seconds since 1970, for headers that name an instant.
    """

    def __init__(
        self,
        per_minute: int | None,
        window: SlidingWindow,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self.per_minute = per_minute
        self._window = window
        self._monotonic = monotonic
        self._wall_s = wall_s
        self._blocked_until_s = 0.0
        self._is_down = False
        self._told_remaining: int | None = None
        self._told_until_s = 0.0
        self._told_limit = 0

    async def take(self) -> float:
        """Waits for a call's place in the budget.

        Returns:
            When it was counted, for ``ended``.

        Raises:
            BudgetSpent: it would take longer than the caller has patience for.
            ProviderPaused: the provider is down and said for how long; that is not waited for.
        """
        give_up_s = self._monotonic() + current_call().max_wait_s
        while (wait_s := await self._try()) > 0:
            if self._is_down and self._monotonic() < self._blocked_until_s:
                message = "The provider is out of service and has said for how long."
                raise CircuitOpen(message, retry_after_s=math.ceil(wait_s))
            left_s = give_up_s - self._monotonic()
            if wait_s > left_s:
                raise BudgetSpent(
                    "The budget of calls to the provider is spent.",
                    retry_after_s=math.ceil(wait_s),
                )
            await asyncio.sleep(wait_s)
        return self._monotonic()

    async def _try(self) -> float:
        """0.0 if the call was counted, or else the seconds until it is worth another try."""
        now_s = self._monotonic()
        if now_s < self._blocked_until_s:
            return self._blocked_until_s - now_s
        leaves = BACKGROUND_LEAVES if current_call().priority is Priority.BACKGROUND else 0.0
        told_until_s = self._told_until_s
        if not self._take_told(now_s, leaves):
            return told_until_s - now_s
        if self.per_minute is None:
            return 0.0
        wait_s = await self._window.take(self.per_minute - int(self.per_minute * leaves))
        if wait_s > 0:
            self._give_back_told(told_until_s)
        return wait_s

    def _take_told(self, now_s: float, leaves: float) -> bool:
        """Counts a call against what the provider told it has left; False: that is spent.

        Counted before anything is waited for, so that calls that go at once do not share one.
        """
        if self._told_remaining is None or now_s >= self._told_until_s:
            return True
        if self._told_remaining <= int(self._told_limit * leaves):
            return False
        self._told_remaining -= 1
        return True

    def _give_back_told(self, told_until_s: float) -> None:
        if self._told_remaining is not None and self._told_until_s == told_until_s:
            self._told_remaining += 1

    def ended(self, taken_s: float) -> None:
        """Takes note that a call has ended that was counted at a time of the monotonic clock."""
        if self._monotonic() - taken_s > ARRIVES_WITHIN_S and self.per_minute is not None:
            self._window.answered_late()

    def observe(self, status: int | None, headers: Mapping[str, str]) -> None:
        """Takes in what an answer says of the provider's own count, and of waiting."""
        now_s, wall_s = self._monotonic(), self._wall_s()
        if status in (429, 503):
            self._observe_refusal(status, headers, wall_s)
            return
        remaining = number_of(headers.get("x-ratelimit-remaining"))
        if remaining is None:
            return
        until_s = reset_in_s(headers, wall_s)
        if until_s is not None and until_s > 0:
            # Of the provider's own window, which may be a second or an hour long.
            limit = number_of(headers.get("x-ratelimit-limit"))
            self._told_limit = int(limit or self.per_minute or 0)
            self._note(int(remaining), now_s + min(until_s, _BELIEVED_S))

    def _observe_refusal(self, status: int, headers: Mapping[str, str], wall_s: float) -> None:
        wait_s = retry_after_s(headers, wall_s)
        if status == 429 and wait_s is None:
            wait_s = reset_in_s(headers, wall_s)
        if wait_s is None:
            # How long a 503 lasts that does not say so is for the breaker to find out.
            wait_s = 1.0 if status == 429 else 0.0
        wait_s = min(wait_s, _BELIEVED_S)
        until_s = self._monotonic() + wait_s
        if until_s > self._blocked_until_s and wait_s > 0:
            self._blocked_until_s, self._is_down = until_s, status == 503
            self._window.block(wait_s)

    def _note(self, remaining: int, until_s: float) -> None:
        """Within one of the provider's windows its count only falls, and answers overtake."""
        is_open = self._monotonic() < self._told_until_s
        # Resets are told in whole seconds, and some windows are a second long.
        same_window = is_open and abs(until_s - self._told_until_s) < 0.75
        if same_window and self._told_remaining is not None:
            remaining = min(remaining, self._told_remaining)
        self._told_remaining, self._told_until_s = remaining, until_s

    def refills_in_s(self) -> float | None:
        """Seconds until the budget is whole again; None when it is, or none is known."""
        until_s = max(self._blocked_until_s, self._told_until_s)
        left_s = until_s - self._monotonic()
        if self.per_minute is not None:
            left_s = max(left_s, self._window.empty_in_s())
        return left_s if left_s > 0 else None

    def remaining(self) -> int | None:
        """Calls left now as far as this process knows; None where no limit is known."""
        now_s = self._monotonic()
        if now_s < self._blocked_until_s:
            return 0
        left: list[int] = []
        if self._told_remaining is not None and now_s < self._told_until_s:
            left.append(max(0, self._told_remaining))
        if self.per_minute is not None:
            left.append(max(0, self.per_minute - self._window.used()))
        return min(left, default=None)
