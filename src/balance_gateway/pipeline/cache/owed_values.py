"""Remembers the values that this process has shown and that are not in the shared cache.

A value is shown without being stored while a write is in flight, in a quarantine, and when Redis
does not answer. The shared cache may still have an older one, which must not be shown afterwards:
stored values are ignored until one of a later read is stored.
"""

import time
from collections.abc import Callable


class OwedValues:
    """The values that are not in the shared cache, by value key.

    Args:
        monotonic: returns seconds that never go back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._begun = 0
        # By value key: how many reads had begun when it was shown, and until when it is owed.
        self._owed: dict[str, tuple[int, float]] = {}

    def begin_read(self) -> int:
        """Return the number of reads that have begun, with this one."""
        self._begun += 1
        return self._begun

    def add(self, key: str, lifetime_s: float) -> None:
        """Note a value that is shown now, without having been stored.

        Args:
            key: the value key.
            lifetime_s: for how many seconds the shared cache can have an older value; above 0.
        """
        now_s = self._monotonic()
        # The order is that of time, so that what has expired is first; this one has not.
        self._owed.pop(key, None)
        self._owed[key] = self._begun, now_s + lifetime_s
        while self._owed[first := next(iter(self._owed))][1] <= now_s:
            del self._owed[first]

    def settle(self, key: str, began: int) -> None:
        """Note that a value was stored.

        Args:
            key: the value key.
            began: when its read began, as returned by ``begin_read``.
        """
        owed = self._owed.get(key)
        if owed is not None and owed[0] < began:
            del self._owed[key]

    def __contains__(self, key: str) -> bool:
        return key in self._owed

    def __len__(self) -> int:
        return len(self._owed)
