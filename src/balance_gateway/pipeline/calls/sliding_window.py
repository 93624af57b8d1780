"""The calls of the last minute, counted in this process or for all replicas.

A sliding window rather than a bucket that refills: a bucket of 300 that refills at 300 a minute
lets 600 calls through in its first minute, and a smaller bucket cannot answer a dashboard of
fifty accounts at once. The window is kept a second longer than the provider's minute, because the
provider counts a call when it arrives; one that was answered later than that counts from its
answer.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

WINDOW_S = 61.0

#: A call that took longer may have arrived later than the window allows for.
ARRIVES_WITHIN_S = 1.0


class SlidingWindow(Protocol):
    """Counts calls of the last minute, in this process or for all replicas."""

    async def take(self, limit: int) -> float:
        """Counts one call if fewer than ``limit`` were made in the last minute.

        Returns:
            0.0 if it was counted, or else the seconds until one may be.
        """
        ...

    def block(self, seconds: float) -> None:
        """Tells the other replicas, if there are any, not to call for so long."""
        ...

    def answered_late(self) -> None:
        """Counts a call from now on that was counted when it was sent, long ago."""
        ...

    def used(self) -> int:
        """Calls of the last minute that this process knows of."""
        ...

    def empty_in_s(self) -> float:
        """Seconds until no call that this process knows of counts any more."""
        ...


class MemorySlidingWindow:
    """The calls of this process.

    Args:
        monotonic: tells seconds that never go back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._calls: deque[float] = deque()

    async def take(self, limit: int) -> float:
        """Counts one call if the window has room."""
        wait_s = self.wait_s(limit)
        if wait_s == 0.0:
            self._calls.append(self._monotonic())
        return wait_s

    def wait_s(self, limit: int) -> float:
        """Seconds until one more call may be counted; 0.0: now."""
        now_s = self._monotonic()
        while self._calls and _left_s(self._calls[0], now_s) <= 0:
            self._calls.popleft()
        if len(self._calls) < limit:
            return 0.0
        # More than 0.0, which would say that there is room: what has no time left is gone.
        return _left_s(self._calls[len(self._calls) - limit], now_s)

    def block(self, seconds: float) -> None:
        """Nobody else has to be told."""

    def answered_late(self) -> None:
        """Counts a call anew, in place of the oldest: that one is no younger than it was."""
        if self._calls:
            self._calls.popleft()
        self._calls.append(self._monotonic())

    def used(self) -> int:
        """Calls of the last minute."""
        now_s = self._monotonic()
        return sum(_left_s(call_s, now_s) > 0 for call_s in self._calls)

    def empty_in_s(self) -> float:
        """Seconds until the newest call counts no more."""
        return max(0.0, _left_s(self._calls[-1], self._monotonic())) if self._calls else 0.0


def _left_s(call_s: float, now_s: float) -> float:
    """For how long a call still counts. The one place that says so: sums of floats are rounded."""
    return call_s + WINDOW_S - now_s


class SharedCounter(Protocol):
    """Where replicas count the calls of all; it may be out of reach."""

    async def take(self, limit: int) -> float | None:
        """Counts a call: 0.0, or the seconds until one may be; None: out of reach."""
        ...

    async def block(self, seconds: float) -> None:
        """Lets no replica call for so long, if the place can be reached."""
        ...

    async def answered_late(self) -> None:
        """Counts a call anew, in place of the oldest, if the place can be reached."""
        ...


class SharedSlidingWindow:
    """The calls of all replicas, counted in one place; while that is out of reach, this process's.

    Args:
        place: counts the calls of all.
        alone: counts this process's calls all the while: a place that was lost, or has lost what
            it had counted, must not let this process begin its minute anew.
    """

    def __init__(self, place: SharedCounter, alone: MemorySlidingWindow) -> None:
        self._place = place
        self._alone = alone
        self._telling: set[asyncio.Task[None]] = set()

    async def take(self, limit: int) -> float:
        """Counts one call if the window has room, here and there."""
        wait_s = self._alone.wait_s(limit)
        if wait_s == 0.0:
            wait_s = await self._place.take(limit) or 0.0
        return wait_s or await self._alone.take(limit)

    def block(self, seconds: float) -> None:
        """Tells the other replicas, as soon as may be."""
        self._tell(self._place.block(seconds))

    def answered_late(self) -> None:
        """Counts a call anew, here at once and there as soon as may be."""
        self._alone.answered_late()
        self._tell(self._place.answered_late())

    def _tell(self, telling: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(telling)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def used(self) -> int:
        """Calls of the last minute, as far as this process has made them."""
        return self._alone.used()

    def empty_in_s(self) -> float:
        """Seconds until no call of this process counts any more."""
        return self._alone.empty_in_s()
