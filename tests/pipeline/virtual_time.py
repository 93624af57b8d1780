"""Virtual time: it advances only when all tasks wait, so sleeps are instant and exact."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

_START = datetime(2026, 5, 7, 12, 0, 0, tzinfo=UTC)


class VirtualTime:
    """The time of an event loop, and of everything that uses its clocks.

    When no callback is ready, the clock jumps to the next timer. When there is no timer either,
    the test would wait forever, so it fails.
    """

    def __init__(self, select: Any) -> None:
        self._select = select
        self._now_s = 1000.0

    def monotonic(self) -> float:
        return self._now_s

    def clock(self) -> datetime:
        return _START + timedelta(seconds=self._now_s - 1000.0)

    def wall_s(self) -> float:
        return self.clock().timestamp()

    def advance(self, seconds: float) -> None:
        self._now_s += seconds

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("All tasks wait, and no timer is set.")
        self._now_s += max(0.0, timeout)
        return self._select(0)


@contextmanager
def virtual_time() -> Iterator[VirtualTime]:
    """Replace the running loop's time with virtual time."""
    loop: Any = asyncio.get_running_loop()
    selector = loop._selector
    time = VirtualTime(selector.select)
    loop.time, selector.select = time.monotonic, time.select
    try:
        yield time
    finally:
        del loop.time, selector.select
