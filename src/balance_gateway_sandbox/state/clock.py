"""The sandbox's one source of time: real, shifted or pinned."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def get_system_time() -> datetime:
    """The machine's time, in UTC."""
    return datetime.now(UTC)


class Clock:
    """Tells the time everywhere in the sandbox; a test may shift it or make it stand still.

    Token lifetimes and rate limits follow this clock too, so a pinned clock never refills a budget.
    Delays of faults are real seconds: they exercise the caller's timeouts.
    """

    def __init__(self, source: Callable[[], datetime] | None = None) -> None:
        self._source = source or get_system_time
        self._offset = timedelta()
        self._pinned: datetime | None = None

    def now(self) -> datetime:
        """The current instant, aware and in UTC."""
        if self._pinned is not None:
            return self._pinned
        return self._source().astimezone(UTC) + self._offset

    def pin(self, now: datetime) -> None:
        """Make time stand still at `now`."""
        self._pinned = now.astimezone(UTC)

    def shift(self, offset: timedelta) -> None:
        """Run `offset` ahead of the source (behind it when negative), no longer pinned."""
        self._pinned = None
        self._offset = offset

    def reset(self) -> None:
        """Tell the source's time again."""
        self.shift(timedelta())
