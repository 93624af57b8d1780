"""A circuit breaker: fails calls to a failing provider at once and probes it after a pause.

::

    closed ──(failures in a row, or half of the last calls)──▶ open ──(pause is over)──▶ half open
      ▲                                                          ▲                          │
      └────────────────────── the probe succeeds ────────────────┴── the probe fails ───────┘

Failures are exchanges without a response and responses with a status of 5xx. Refused requests, an
exhausted rate limit and callers that disconnect do not count. The outcome of a call that started
before the last change of state has no effect.
"""

import enum
import math
import random
import time
from collections import deque
from collections.abc import Callable

from balance_gateway.domain.errors import CircuitOpen

FAILURES_IN_ROW = 5
RECENT_CALLS = 20
RECENT_FAILURES = 10
PAUSE_S = 1.0
PAUSE_MAX_S = 30.0


class BreakerState(enum.Enum):
    """Whether calls are let through."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class CircuitBreaker:
    """The circuit breaker of one connector.

    Args:
        monotonic: Returns the time of a monotonic clock, in seconds.
        wall_s: Returns the seconds since 1970, for the instants that callers are shown.
        jitter: Returns a factor from 0.5 to 1 for each pause, so that replicas do not probe at the
            same moment.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.0),  # noqa: S311
    ) -> None:
        self._monotonic = monotonic
        self._wall_s = wall_s
        self._jitter = jitter
        self._recent: deque[bool] = deque(maxlen=RECENT_CALLS)
        self._failures_in_row = 0
        self._pause_s = PAUSE_S
        self._open_until_s: float | None = None
        self._probing_until_s = 0.0
        # Counts changes of state: an outcome counts only in the generation it started in.
        self._generation = 0
        #: Rises with every event that can change the state.
        self.changes = 0
        #: When calls began to be refused, in seconds since 1970; None while closed.
        self.down_since_s: float | None = None
        #: When the next call is let through as a probe, in seconds since 1970; None while closed.
        self.retry_at_s: float | None = None

    @property
    def is_closed(self) -> bool:
        """Whether every call is let through."""
        return self._open_until_s is None

    @property
    def state(self) -> BreakerState:
        """The state that a call would meet now."""
        if self._open_until_s is None:
            return BreakerState.CLOSED
        if self._monotonic() < self._open_until_s:
            return BreakerState.OPEN
        return BreakerState.HALF_OPEN

    def enter(self) -> int:
        """Let a call through.

        Returns:
            The breaker's generation, for ``recheck`` and ``record_outcome``.

        Raises:
            CircuitOpen: The breaker is open, or another call is probing.
        """
        if self._open_until_s is None:
            return self._generation
        now_s = self._monotonic()
        wait_s = max(self._open_until_s, self._probing_until_s) - now_s
        if wait_s > 0:
            raise _circuit_open(wait_s)
        # One probe at a time. If its outcome is never recorded, another may try after a pause.
        self._probing_until_s = now_s + PAUSE_MAX_S
        self.changes += 1
        return self._generation

    def recheck(self, generation: int) -> None:
        """Refuse a call that was let through and has waited since, if the breaker has opened.

        Raises:
            CircuitOpen: The breaker has opened since ``generation``.
        """
        if generation != self._generation and self._open_until_s is not None:
            raise _circuit_open(max(1.0, self._open_until_s - self._monotonic()))

    def record_outcome(self, generation: int, *, healthy: bool | None) -> None:
        """Record the outcome of a call.

        Args:
            generation: The generation that ``enter`` returned for the call.
            healthy: Whether the provider is healthy; None when the call does not show it, for
                example because the caller disconnected.
        """
        if generation != self._generation:
            return
        if self._open_until_s is not None:
            self._probing_until_s = 0.0
            self.changes += 1
            if healthy is not None:
                self._finish_probe(healthy=healthy)
            return
        if healthy is None:
            return
        self.changes += 1
        self._recent.append(healthy)
        self._failures_in_row = 0 if healthy else self._failures_in_row + 1
        failures = len(self._recent) - sum(self._recent)
        if self._failures_in_row >= FAILURES_IN_ROW or failures >= RECENT_FAILURES:
            self._open()

    def _finish_probe(self, *, healthy: bool) -> None:
        if not healthy:
            self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S)
            self._open()
            return
        self._open_until_s = self.down_since_s = self.retry_at_s = None
        self._pause_s = PAUSE_S
        # Failures from before the pause must not open the breaker again.
        self._recent.clear()
        self._failures_in_row = 0
        self._generation += 1

    def _open(self) -> None:
        pause_s, wall_s = self._pause_s * self._jitter(), self._wall_s()
        self._open_until_s = self._monotonic() + pause_s
        self.retry_at_s = wall_s + pause_s
        if self.down_since_s is None:
            self.down_since_s = wall_s
        self._generation += 1


def _circuit_open(wait_s: float) -> CircuitOpen:
    message = "The provider keeps failing; calls to it are paused."
    return CircuitOpen(message, retry_after_s=math.ceil(wait_s))
