"""The door: more than can be answered in time is turned away at once, so that the rest is answered.

Without it every request that is let in slows all others down, until none is answered before its
caller has given up, and it stays so after the load has gone. What counts is how late the event
loop runs: waiting for providers costs nothing, and thousands may wait; a loop that runs late has
more to compute than it can. Then reads are let in only while few are under way. Writes have a
bound of their own, so that no storm of dashboards keeps an administrator out.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

#: How often the loop's lateness is measured, in seconds.
_TICK_S = 0.025


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Bounds of what is under way at once.

    Attributes:
        reads: reads under way, however idle the process.
        reads_when_late: the same while the loop runs late.
        writes: writes under way.
        late_s: from here on the loop counts as late, in seconds.
        waited_s: a request that has waited longer than this to be looked at is turned away.
        retry_after_s: told to who is turned away.
    """

    reads: int = 2_000
    reads_when_late: int = 24
    writes: int = 200
    late_s: float = 0.1
    waited_s: float = 0.4
    retry_after_s: int = 1


class Admission:
    """Counts what is under way, and says whether one more may come in.

    Args:
        limits: of what may be under way.
        on_refusal: told of everyone who is turned away.
    """

    def __init__(
        self,
        limits: AdmissionLimits | None = None,
        on_refusal: Callable[[], object] = lambda: None,
    ) -> None:
        self.limits = limits or AdmissionLimits()
        self.reads = 0
        self.writes = 0
        self._on_refusal = on_refusal
        self._late_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due_s = 0.0

    def admits(self, *, write: bool, received_s: float | None) -> bool:
        """Whether a request may come in now.

        Args:
            write: whether it may be a write; one that only looks like it counts as one.
            received_s: when it was received, by the loop's clock; None: nobody noted it.
        """
        limits = self.limits
        if write:
            admitted = self.writes < limits.writes
        else:
            is_late = self._late_s > limits.late_s
            admitted = self.reads < (limits.reads_when_late if is_late else limits.reads)
            if admitted and received_s is not None and self._loop is not None:
                admitted = self._loop.time() - received_s < limits.waited_s
        if not admitted:
            self._on_refusal()
        return admitted

    def enter(self, *, write: bool) -> None:
        """Counts one in; the first one starts the measuring."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._measure()
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
        """Notes how much later than asked the loop has come round; half of it is history."""
        assert self._loop is not None
        now_s = self._loop.time()
        if self._timer is not None:
            late_s = max(0.0, now_s - self._due_s)
            self._late_s = max(late_s, self._late_s / 2)
        self._due_s = now_s + _TICK_S
        self._timer = self._loop.call_at(self._due_s, self._measure)
