"""Provide the sandbox's time: real, shifted or pinned."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def get_system_time() -> datetime:
    """Return the system time in UTC."""
    return datetime.now(UTC)


class Clock:
    """The sandbox's clock, which a test may shift or pin.

    Token lifetimes and rate limits use this clock, so rate limits do not refill while it is pinned.
    Fault delays are real seconds, because they exercise the caller's timeouts.
    """

    def __init__(self, source: Callable[[], datetime] | None = None) -> None:
        self._source = source or get_system_time
        self._offset = timedelta()
        self._pinned: datetime | None = None

    def now(self) -> datetime:
        """Return the current instant, timezone-aware and in UTC."""
        if self._pinned is not None:
            return self._pinned
        return self._source().astimezone(UTC) + self._offset

    def pin(self, now: datetime) -> None:
        """Stop the clock at `now`."""
        self._pinned = now.astimezone(UTC)

    def shift(self, offset: timedelta) -> None:
        """Run ahead of the source by `offset` (behind if negative). This unpins the clock."""
        self._pinned = None
        self._offset = offset

    def reset(self) -> None:
        """Return to the source's time."""
        self.shift(timedelta())
