"""A circuit breaker: while a provider is down, calls to it fail at once, and one probes.

::

    closed ──(failures in a row, or half of the last calls)──▶ open ──(pause is over)──▶ half open
      ▲                                                          ▲                          │
      └────────────────────── the probe succeeds ────────────────┴── the probe fails ───────┘

Only what says something about the provider's health counts: no answer, and answers of 5xx. That
it refuses what we ask for, that its rate limit is spent, and that a caller went away do not. An
answer to a call from before the last change of state no longer changes it.
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
    """The breaker of one connector.

    Args:
        monotonic: tells seconds that never go back.
        jitter: a number from 0.5 to 1, so that replicas do not probe all at once.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.0),  # noqa: S311
    ) -> None:
        self._monotonic = monotonic
        self._jitter = jitter
        self._recent: deque[bool] = deque(maxlen=RECENT_CALLS)
        self._failures_in_row = 0
        self._pause_s = PAUSE_S
        self._open_until_s: float | None = None
        self._probing_until_s = 0.0
        self._generation = 0

    @property
    def is_closed(self) -> bool:
        """Whether every call is let through."""
        return self._open_until_s is None

    @property
    def state(self) -> BreakerState:
        """What would become of a call now."""
        if self._open_until_s is None:
            return BreakerState.CLOSED
        if self._monotonic() < self._open_until_s:
            return BreakerState.OPEN
        return BreakerState.HALF_OPEN

    def enter(self) -> int:
        """Lets a call through; the number it returns goes back in with the outcome.

        Raises:
            ProviderPaused: the breaker is open, or another call is probing.
        """
        if self._open_until_s is None:
            return self._generation
        now_s = self._monotonic()
        wait_s = max(self._open_until_s, self._probing_until_s) - now_s
        if wait_s > 0:
            raise _paused(wait_s)
        # One probe at a time; if nothing is ever heard of it, another may try after a pause.
        self._probing_until_s = now_s + PAUSE_MAX_S
        return self._generation

    def confirm(self, generation: int) -> None:
        """Stops a call that was let through and has waited since.

        Raises:
            ProviderPaused: meanwhile the breaker has opened.
        """
        if generation != self._generation and self._open_until_s is not None:
            raise _paused(max(1.0, self._open_until_s - self._monotonic()))

    def leave(self, generation: int, *, healthy: bool | None) -> None:
        """Takes in a call's outcome. None: it says nothing, as when the caller went away."""
        if generation != self._generation:
            return
        if self._open_until_s is not None:
            self._probing_until_s = 0.0
            if healthy is not None:
                self._judge_probe(healthy=healthy)
            return
        if healthy is None:
            return
        self._recent.append(healthy)
        self._failures_in_row = 0 if healthy else self._failures_in_row + 1
        failures = len(self._recent) - sum(self._recent)
        if self._failures_in_row >= FAILURES_IN_ROW or failures >= RECENT_FAILURES:
            self._open()

    def _judge_probe(self, *, healthy: bool) -> None:
        if not healthy:
            self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S)
            self._open()
            return
        self._open_until_s = None
        self._pause_s = PAUSE_S
        self._recent.clear()
        self._failures_in_row = 0
        self._generation += 1

    def _open(self) -> None:
        self._open_until_s = self._monotonic() + self._pause_s * self._jitter()
        self._generation += 1


def _paused(wait_s: float) -> CircuitOpen:
    message = "The provider keeps failing and is given a pause."
    return CircuitOpen(message, retry_after_s=math.ceil(wait_s))
