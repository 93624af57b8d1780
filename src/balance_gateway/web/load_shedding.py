"""The door: more than can be answered in time is turned away at once, so that the rest is answered.

Without it every request that is let in slows all others down, until none is answered before its
caller has given up, and it stays so after the load has gone. What counts is how busy the process
is: waiting for providers costs nothing, and thousands may wait; a process that computes all the
time, or comes late to all it does, has more to do than it can. Then reads are let in only while
few are under way. Writes have a bound of their own, so that no storm of dashboards keeps an
administrator out.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

#: How often it is measured how busy the process is, in seconds, and how much the newest counts.
_TICK_S = 0.025
_NEWEST = 0.1


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """Bounds of what is under way at once.

    Attributes:
        reads: reads under way, however idle the process.
        reads_when_busy: the same while the process is busy.
        writes: writes under way.
        busy: from this part of its time on the process counts as busy.
        waited_s: a request that has waited longer than this to be looked at is turned away.
        retry_after_s: told to who is turned away.
    """

    reads: int = 2_000
    reads_when_busy: int = 32
    writes: int = 200
    busy: float = 0.75
    waited_s: float = 0.4
    retry_after_s: int = 1


class LoadShedder:
    """Counts what is under way, and says whether one more may come in.

    Args:
        limits: of what may be under way.
        on_refusal: told of everyone who is turned away.
        monotonic: tells seconds that never go back.
        computed: tells the seconds that the process has spent computing.
    """

    def __init__(
        self,
        limits: LoadLimits | None = None,
        on_refusal: Callable[[], object] = lambda: None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        computed: Callable[[], float] = time.process_time,
    ) -> None:
        self.limits = limits or LoadLimits()
        self.reads = 0
        self.writes = 0
        self._on_refusal = on_refusal
        self._monotonic = monotonic
        self._computed = computed
        self._busy = 0.0
        self._measured_s = (0.0, 0.0)
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def admits(self, *, write: bool, waited_s: float) -> bool:
        """Whether a request may come in now.

        Args:
            write: whether it may be a write; one that only looks like it counts as one.
            waited_s: how long it waited to be looked at, because of others; 0: nobody knows.
        """
        limits = self.limits
        if write:
            admitted = self.writes < limits.writes
        else:
            is_busy = self._busy > limits.busy
            admitted = self.reads < (limits.reads_when_busy if is_busy else limits.reads)
            admitted = admitted and waited_s < limits.waited_s
        if not admitted:
            self._on_refusal()
        return admitted

    def enter(self, *, write: bool) -> None:
        """Counts one in; the first one starts the measuring."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._measured_s = self._monotonic(), self._computed()
            self._timer = self._loop.call_later(_TICK_S, self._measure)
        if write:
            self.writes += 1
        else:
            self.reads += 1

    def leave(self, *, write: bool) -> None:
        """Counts one out."""
        if write:
            self.writes -= 1
        else:
            self.reads -= 1

    def close(self) -> None:
        """Ends the measuring."""
        if self._timer is not None:
            self._timer.cancel()

    def _measure(self) -> None:
        """Notes which part of the time since the last look was not spent waiting.

        That is what the process has computed, or how late this tick has come, if that is more: on
        a machine that it shares the process may get little of a processor and still have too much
        to do. A tick that comes late was long, and counts for as many as it took.
        """
        assert self._loop is not None
        then_s, computed_s = self._measured_s
        self._measured_s = now_s, now_computed_s = self._monotonic(), self._computed()
        passed_s = max(now_s - then_s, 1e-6)
        used = min(1.0, max(now_computed_s - computed_s, passed_s - _TICK_S) / passed_s)
        remembered = (1 - _NEWEST) ** (passed_s / _TICK_S)
        self._busy = remembered * self._busy + (1 - remembered) * used
        self._timer = self._loop.call_later(_TICK_S, self._measure)
