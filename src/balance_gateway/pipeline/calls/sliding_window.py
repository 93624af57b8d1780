"""Counts the calls of the last minute, in this process or for all replicas.

A sliding window is used instead of a token bucket: a bucket of 300 that refills at 300 a minute
lets 600 calls through in its first minute, and a smaller bucket cannot serve a dashboard of fifty
accounts at once.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

# One second longer than the provider's minute, because the provider counts a call on arrival.
WINDOW_S = 61.0

#: A call that took longer, in seconds, may have arrived later than the window allows for; it
#: counts from its response.
ARRIVES_WITHIN_S = 1.0


class SlidingWindow(Protocol):
    """Counts the calls of the last minute, in this process or for all replicas."""

    @property
    def changes(self) -> int:
        """A number that rises whenever this process's count changes, except by time alone."""
        ...

    async def acquire(self, limit: int) -> float:
        """Count one call if fewer than ``limit`` were made in the last minute.

        Returns:
            0.0 when the call was counted, otherwise the seconds until the next one may be.
        """
        ...

    def acquire_now(self, limit: int) -> bool:
        """Count one call if that needs no wait, neither for room nor for other replicas."""
        ...

    def block(self, seconds: float) -> None:
        """Block the calls of the other replicas, if there are any, for so long."""
        ...

    def recount_late_call(self, age_s: float) -> None:
        """Count a call from now on that was counted when it was sent, ``age_s`` seconds ago."""
        ...

    def count_used(self) -> int:
        """Return the calls of the last minute that this process made."""
        ...

    def next_expiry_s(self) -> float:
        """Return the monotonic time at which the count falls next; inf when it is zero."""
        ...

    def empty_from_s(self) -> float:
        """Return the monotonic time from which none of this process's calls counts any more."""
        ...


class MemorySlidingWindow:
    """Counts the calls of this process.

    Args:
        monotonic: Returns the time of a monotonic clock, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._calls: deque[float] = deque()
        self.changes = 0

    async def acquire(self, limit: int) -> float:
        """Count one call if the window has room; see ``SlidingWindow``."""
        wait_s = self.wait_s(limit)
        if wait_s == 0.0:
            self._calls.append(self._monotonic())
            self.changes += 1
        return wait_s

    def acquire_now(self, limit: int) -> bool:
        """Count one call if the window has room; see ``SlidingWindow``."""
        now_s = self._monotonic()
        self._drop_expired(now_s)
        if len(self._calls) >= limit:
            return False
        self._calls.append(now_s)
        self.changes += 1
        return True

    def wait_s(self, limit: int) -> float:
        """Return the seconds until one more call may be counted; 0.0: now."""
        now_s = self._monotonic()
        self._drop_expired(now_s)
        if len(self._calls) < limit:
            return 0.0
        # Greater than 0.0, which would mean that there is room: expired calls were removed above.
        return _expiry_s(self._calls[len(self._calls) - limit]) - now_s

    def _drop_expired(self, now_s: float) -> None:
        while self._calls and _expiry_s(self._calls[0]) <= now_s:
            self._calls.popleft()

    def block(self, seconds: float) -> None:
        """Do nothing: there are no other replicas."""

    def recount_late_call(self, age_s: float) -> None:
        """Count a call from now on, in place of the oldest one while the call itself counts."""
        # The oldest is at least as old as the late call, so the count is never too low.
        if self._calls and age_s < WINDOW_S:
            self._calls.popleft()
        self._calls.append(self._monotonic())
        self.changes += 1

    def count_used(self) -> int:
        """Return the calls of the last minute."""
        self._drop_expired(self._monotonic())
        return len(self._calls)

    def next_expiry_s(self) -> float:
        """Return the monotonic time at which the oldest call no longer counts."""
        self._drop_expired(self._monotonic())
        return _expiry_s(self._calls[0]) if self._calls else math.inf

    def empty_from_s(self) -> float:
        """Return the monotonic time at which the newest call no longer counts."""
        return _expiry_s(self._calls[-1]) if self._calls else 0.0


def _expiry_s(call_s: float) -> float:
    """Return the time from which a call no longer counts."""
    # The only place that computes it: a differently ordered sum may be rounded differently.
    return call_s + WINDOW_S


class SharedCallCounter(Protocol):
    """Counts the calls of all replicas in one store, which may be unavailable."""

    async def acquire(self, limit: int) -> float | None:
        """Count one call if fewer than ``limit`` were made in the last minute.

        Returns:
            0.0 when the call was counted, otherwise the seconds until the next one may be; None
            when the store is unavailable.
        """
        ...

    async def block(self, seconds: float) -> None:
        """Block the calls of all replicas for so long, if the store is available."""
        ...

    async def recount_late_call(self, age_s: float) -> None:
        """Count a call from now on, if the store is available; see ``SlidingWindow``."""
        ...


class SharedSlidingWindow:
    """Counts the calls of all replicas, and this process's alone while the store is unavailable.

    Args:
        shared: Counts the calls of all replicas.
        local: Counts this process's calls at all times, so that the count continues when the
            store becomes unavailable or loses its data.
    """

    def __init__(self, shared: SharedCallCounter, local: MemorySlidingWindow) -> None:
        self._shared = shared
        self._local = local
        self._pending_updates: set[asyncio.Task[None]] = set()

    @property
    def changes(self) -> int:
        """A number that rises whenever this process's count changes, except by time alone."""
        return self._local.changes

    async def acquire(self, limit: int) -> float:
        """Count one call if both windows have room; see ``SlidingWindow``."""
        # The local window first: a refused call must not be counted in the shared one.
        wait_s = self._local.wait_s(limit)
        if wait_s == 0.0:
            wait_s = await self._shared.acquire(limit) or 0.0
        return wait_s or await self._local.acquire(limit)

    def acquire_now(self, limit: int) -> bool:  # noqa: ARG002
        """Return False: the other replicas' calls are not known without waiting."""
        return False

    def block(self, seconds: float) -> None:
        """Block the other replicas' calls, in a background task."""
        self._update_shared(self._shared.block(seconds))

    def recount_late_call(self, age_s: float) -> None:
        """Count a late call from now on: locally at once, for all in a background task."""
        self._local.recount_late_call(age_s)
        self._update_shared(self._shared.recount_late_call(age_s))

    def _update_shared(self, update: Coroutine[Any, Any, None]) -> None:
        # The set keeps the task alive: the event loop holds only a weak reference.
        task = asyncio.get_running_loop().create_task(update)
        self._pending_updates.add(task)
        task.add_done_callback(self._pending_updates.discard)

    def count_used(self) -> int:
        """Return the calls of the last minute that this process made."""
        return self._local.count_used()

    def next_expiry_s(self) -> float:
        """Return the monotonic time at which the count falls next; inf when it is zero."""
        return self._local.next_expiry_s()

    def empty_from_s(self) -> float:
        """Return the monotonic time from which none of this process's calls counts any more."""
        return self._local.empty_from_s()
