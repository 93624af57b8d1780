"""A connector's budget of calls: never more than so many in any minute, and what providers say.

A sliding window rather than a bucket that refills: a bucket of 300 that refills at 300 a minute
lets 600 calls through in its first minute, and a smaller bucket cannot answer a dashboard of
fifty accounts at once. The window is kept a second longer than the provider's minute, because
calls do not arrive as evenly as they are sent.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from balance_gateway.domain.errors import ProviderRateLimited
from balance_gateway.pipeline.priority import Urgency, patience_s, urgency

WINDOW_S = 61.0

#: A refresh ahead of expiry leaves this part of the budget to reads that somebody waits for.
BACKGROUND_LEAVES = 0.3

#: Longest wait that a provider's header is believed, in seconds.
_BELIEVED_S = 3600.0


class Window(Protocol):
    """Counts calls of the last minute, in this process or for all replicas."""

    async def take(self, limit: int) -> float:
        """Counts one call if fewer than ``limit`` were made in the last minute.

        Returns:
            0.0 if it was counted, or else the seconds until one may be.
        """
        ...

    def used(self) -> int:
        """Calls of the last minute that this process knows of."""
        ...


class MemoryWindow:
    """The calls of this process.

    Args:
        monotonic: tells seconds that never go back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._calls: deque[float] = deque()

    async def take(self, limit: int) -> float:
        """Counts one call if the window has room."""
        now_s = self._monotonic()
        while self._calls and _left_s(self._calls[0], now_s) <= 0:
            self._calls.popleft()
        if len(self._calls) < limit:
            self._calls.append(now_s)
            return 0.0
        # More than 0.0, which would say that the call was counted: what has no time left is gone.
        return _left_s(self._calls[len(self._calls) - limit], now_s)

    def used(self) -> int:
        """Calls of the last minute."""
        now_s = self._monotonic()
        return sum(_left_s(call_s, now_s) > 0 for call_s in self._calls)


def _left_s(call_s: float, now_s: float) -> float:
    """For how long a call still counts. The one place that says so: sums of floats are rounded."""
    return call_s + WINDOW_S - now_s


class SharedWindow:
    """The calls of all replicas, counted in one place; while that is out of reach, this process's.

    Args:
        take: counts a call in that place: 0.0, or the seconds until one may be; None: it is out
            of reach.
        alone: counts this process's calls all the while, so that an outage finds them counted.
    """

    def __init__(self, take: Callable[[int], Awaitable[float | None]], alone: MemoryWindow) -> None:
        self._take = take
        self._alone = alone

    async def take(self, limit: int) -> float:
        """Counts one call if the window has room."""
        wait_s = await self._take(limit)
        if wait_s is None:
            return await self._alone.take(limit)
        if wait_s == 0.0:
            await self._alone.take(limit)
        return wait_s

    def used(self) -> int:
        """Calls of the last minute, as far as this process has made them."""
        return self._alone.used()


class Budget:
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
        window: Window,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self.per_minute = per_minute
        self._window = window
        self._monotonic = monotonic
        self._wall_s = wall_s
        self._blocked_until_s = 0.0
        self._told_remaining: int | None = None
        self._told_until_s = 0.0
        self._told_limit = 0

    async def take(self) -> None:
        """Waits for a call's place in the budget.

        Raises:
            ProviderRateLimited: it would take longer than the caller has patience for.
        """
        give_up_s = self._monotonic() + patience_s.get()
        while (wait_s := await self._try()) > 0:
            left_s = give_up_s - self._monotonic()
            if wait_s > left_s:
                raise ProviderRateLimited(
                    "The budget of calls to the provider is spent.",
                    retry_after_s=math.ceil(wait_s),
                )
            await asyncio.sleep(wait_s)

    async def _try(self) -> float:
        """0.0 if the call was counted, or else the seconds until it is worth another try."""
        now_s = self._monotonic()
        if now_s < self._blocked_until_s:
            return self._blocked_until_s - now_s
        background = urgency.get() is Urgency.BACKGROUND
        told = self._told_remaining if now_s < self._told_until_s else None
        leaves = BACKGROUND_LEAVES if background else 0.0
        if told is not None and told <= int(self._told_limit * leaves):
            return self._told_until_s - now_s
        if self.per_minute is not None:
            limit = self.per_minute - int(self.per_minute * leaves)
            wait_s = await self._window.take(limit)
            if wait_s > 0:
                return wait_s
        if told is not None:
            self._told_remaining = told - 1
        return 0.0

    def observe(self, status: int | None, headers: Mapping[str, str]) -> None:
        """Takes in what an answer says of the provider's own count."""
        now_s = self._monotonic()
        if status == 429:
            wait_s = _number(headers.get("retry-after"))
            if wait_s is None:
                wait_s = self._until(headers.get("x-ratelimit-reset"))
            self._block(now_s + (1.0 if wait_s is None else min(wait_s, _BELIEVED_S)))
            return
        remaining = _number(headers.get("x-ratelimit-remaining"))
        if remaining is None:
            return
        until_s = self._until(headers.get("x-ratelimit-reset"))
        if until_s is not None and until_s > 0:
            # Of the provider's own window, which may be a second or an hour long.
            limit = _number(headers.get("x-ratelimit-limit"))
            self._told_limit = int(limit or self.per_minute or 0)
            self._note(int(remaining), now_s + until_s)

    def _note(self, remaining: int, until_s: float) -> None:
        """Within one of the provider's windows its count only falls, and answers overtake."""
        is_open = self._monotonic() < self._told_until_s
        # Resets are told in whole seconds, and some windows are a second long.
        same_window = is_open and abs(until_s - self._told_until_s) < 0.75
        if same_window and self._told_remaining is not None:
            remaining = min(remaining, self._told_remaining)
        self._told_remaining, self._told_until_s = remaining, until_s

    def _block(self, until_s: float) -> None:
        self._blocked_until_s = max(self._blocked_until_s, until_s)

    def _until(self, text: str | None) -> float | None:
        """Seconds until the instant, or of the duration, that a reset header names."""
        number = _number(text)
        if number is None:
            return None
        seconds = number - self._wall_s() if number > 10**9 else number
        return min(max(0.0, seconds), _BELIEVED_S)

    def refills_in_s(self) -> float | None:
        """Seconds until the provider's own window starts anew; None when it has not told."""
        left_s = max(self._blocked_until_s, self._told_until_s) - self._monotonic()
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


def _number(text: str | None) -> float | None:
    """A number of seconds or calls; anything else that a header may hold counts as absent."""
    if text is None or not text.isascii() or len(text) > 20:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
