"""Log what any caller can cause as often as it likes: once in a while, with the number of cases."""

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

#: Shortest time between two lines with the same event and facts, in seconds.
INTERVAL_S = 60.0
#: Maximum number of different lines that are counted; others are not logged.
LINES_MAX = 200


@dataclass(slots=True)
class _Line:
    next_s: float
    count: int = 0


class OccasionalLog:
    """Logs warnings, each at most once per ``INTERVAL_S``.

    Args:
        logger: where the lines go.
        monotonic_s: returns monotonic time in seconds.
    """

    def __init__(
        self, logger: logging.Logger, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._monotonic_s = monotonic_s
        self._lines: dict[Hashable, _Line] = {}

    def warn(self, event: str, **facts: str) -> None:
        """Log a case, or count it for the next line with the same event and facts.

        Args:
            event: the name of the event.
            facts: what the line says besides ``count``, the number of cases since the last one.
        """
        now_s = self._monotonic_s()
        key = (event, *facts.items())
        line = self._lines.get(key)
        if line is None:
            if len(self._lines) >= LINES_MAX:
                self._drop_expired(now_s)
            if len(self._lines) >= LINES_MAX:
                return
            line = self._lines[key] = _Line(now_s)
        line.count += 1
        if now_s >= line.next_s:
            self._logger.warning(event, extra={**facts, "count": line.count})
            line.next_s, line.count = now_s + INTERVAL_S, 0

    def _drop_expired(self, now_s: float) -> None:
        self._lines = {key: one for key, one in self._lines.items() if now_s < one.next_s}
