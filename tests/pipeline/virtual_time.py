"""Time that passes only when everybody waits: sleeping and deadlines cost nothing and are exact."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

_START = datetime(2026, 5, 7, 12, 0, 0, tzinfo=UTC)


class VirtualTime:
    """The time of an event loop, and of everything that is given its clocks.

    When nothing is ready to run the clock jumps to the next timer. When there is no timer either
    the test would wait for ever, and is stopped.
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
            raise RuntimeError("Everybody waits, and nothing will ever happen.")
        self._now_s += max(0.0, timeout)
        return self._select(0)


@contextmanager
def virtual_time() -> Iterator[VirtualTime]:
    """Virtual time for the running loop."""
    loop: Any = asyncio.get_running_loop()
    selector = loop._selector
    time = VirtualTime(selector.select)
    loop.time, selector.select = time.monotonic, time.select
    try:
        yield time
    finally:
        del loop.time, selector.select
