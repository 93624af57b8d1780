"""Remember how old the oldest value was that a reader got, by connector."""

import time
from collections.abc import Callable

#: Length of one period; an age counts for the rest of its period and for the next one.
_PERIOD_S = 60.0


class ValueAges:
    """The largest age of the values that were returned within the last one to two minutes.

    Args:
        monotonic_s: returns monotonic time in seconds.
    """

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._period = 0
        self._ages: dict[str, float] = {}
        self._ages_before: dict[str, float] = {}

    def note(self, connector: str, age_s: float) -> None:
        """Note that a value of this age, in seconds, was returned."""
        self._change_period()
        if age_s > self._ages.get(connector, 0.0):
            self._ages[connector] = age_s

    def read_largest_s(self, connector: str) -> float:
        """Return the largest age in seconds; 0 if there was no value, or all were new."""
        self._change_period()
        return max(self._ages.get(connector, 0.0), self._ages_before.get(connector, 0.0))

    def _change_period(self) -> None:
        period = int(self._monotonic_s() / _PERIOD_S)
        if period != self._period:
            self._ages_before = self._ages if period == self._period + 1 else {}
            self._ages = {}
            self._period = period
