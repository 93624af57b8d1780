"""Shed load: reject requests at once when the process cannot respond to all of them in time.

Without load shedding every accepted request slows down the others, until each of them outlasts its
caller's timeout; the backlog persists after the load has ended. The criterion is the process's
load, not the number of requests: thousands may wait for providers at little cost. While the process
computes all the time or runs its timers late, only a few concurrent reads are allowed.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

#: Interval of load measurements, in seconds, and the weight of the newest one in the average.
_TICK_S = 0.025
_NEWEST_WEIGHT = 0.1

#: Below this load, without a request in progress, nothing is measured until the next one.
_IDLE_LOAD = 0.02


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """Limits of concurrent requests.

    Attributes:
        reads: the maximum number of concurrent reads.
        reads_when_busy: the same while the process is busy.
        writes: the maximum number of concurrent writes.
        busy: the load, from 0 to 1, above which the process counts as busy.
        waited_s: the maximum time in seconds that a read may wait for the process's attention.
        retry_after_s: the value of Retry-After in the response to a rejected request.
    """

    reads: int = 2_000
    reads_when_busy: int = 32
    # Writes have a limit of their own, so that many dashboards cannot lock out an administrator.
    writes: int = 200
    busy: float = 0.75
    waited_s: float = 0.4
    retry_after_s: int = 1


class LoadShedder:
    """Counts concurrent requests and decides whether another one is allowed.

    Args:
        limits: the limits of concurrent requests.
        on_rejection: called for every rejected request.
        monotonic_s: returns monotonic time in seconds.
        cpu_s: returns the CPU time of the process in seconds.
    """

    def __init__(
        self,
        limits: LoadLimits | None = None,
        on_rejection: Callable[[], object] = lambda: None,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
        cpu_s: Callable[[], float] = time.process_time,
    ) -> None:
        self.limits = limits or LoadLimits()
        self.reads = 0
        self.writes = 0
        self._on_rejection = on_rejection
        self._monotonic_s = monotonic_s
        self._cpu_s = cpu_s
        self._load = 0.0
        self._measured_s = (0.0, 0.0)
        self._receiving_since_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_busy(self) -> bool:
        """Whether the process computes all the time, so that it may shed load."""
        return self._load > self.limits.busy

    def allows(self, *, write: bool, waited_s: float) -> bool:
        """Return whether another request is allowed now.

        Args:
            write: whether the request may be a write.
            waited_s: how long other requests delayed the handling of this one, in seconds; 0 if
                unknown.
        """
        limits = self.limits
        if write:
            allowed = self.writes < limits.writes
        else:
            allowed = self.has_room_for_read() and waited_s < limits.waited_s
        if not allowed:
            self._on_rejection()
        return allowed

    def has_room_for_read(self) -> bool:
        """Whether fewer reads run than are allowed now."""
        limits = self.limits
        return self.reads < (limits.reads_when_busy if self.is_busy else limits.reads)

    def is_late(self) -> bool:
        """Whether requests have been answered for too long since the event loop received any.

        A request that is received after them has waited for as long.
        """
        now_s = self._monotonic_s()
        if self._receiving_since_s is None:
            self._receiving_since_s = now_s
            # Runs when all that is ready has been received.
            asyncio.get_running_loop().call_soon(self._end_receiving)
        return now_s - self._receiving_since_s > self.limits.waited_s

    def _end_receiving(self) -> None:
        self._receiving_since_s = None

    def start_measuring(self) -> None:
        """Start the measurements of the load, unless they are under way."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._measured_s = self._monotonic_s(), self._cpu_s()
            self._timer = self._loop.call_later(_TICK_S, self._update_load)

    def enter(self, *, write: bool) -> None:
        """Count a request that was allowed; one that meets an idle process starts measurements."""
        self.start_measuring()
        if write:
            self.writes += 1
        else:
            self.reads += 1

    def leave(self, *, write: bool) -> None:
        """Count a request that has ended."""
        if write:
            self.writes -= 1
        else:
            self.reads -= 1

    def close(self) -> None:
        """Stop the measurements."""
        if self._timer is not None:
            self._timer.cancel()

    def _update_load(self) -> None:
        """Update the load: a moving average of the share of time in which the process was busy."""
        assert self._loop is not None
        last_s, last_cpu_s = self._measured_s
        self._measured_s = now_s, now_cpu_s = self._monotonic_s(), self._cpu_s()
        passed_s = max(now_s - last_s, 1e-6)
        # On a shared machine an overloaded process may get little CPU time. Then the delay of this
        # tick shows the load, so the larger of both counts.
        busy = min(1.0, max(now_cpu_s - last_cpu_s, passed_s - _TICK_S) / passed_s)
        # A late tick covers several intervals, and weighs as much as they would.
        old_weight = (1 - _NEWEST_WEIGHT) ** (passed_s / _TICK_S)
        self._load = old_weight * self._load + (1 - old_weight) * busy
        if self._load < _IDLE_LOAD and not self.reads and not self.writes:
            self._loop = None
            return
        self._timer = self._loop.call_later(_TICK_S, self._update_load)
