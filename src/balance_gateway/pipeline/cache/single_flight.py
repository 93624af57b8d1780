"""Single flight: concurrent equal reads of this process share one upstream call."""

import asyncio
from collections.abc import Hashable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from balance_gateway.ports.call_context import PriorityBoost

T = TypeVar("T")


class InFlight(NamedTuple, Generic[T]):
    """An upstream call in progress that other reads can join.

    Attributes:
        future: receives the result.
        started_s: when the call started, in seconds since 1970; its result is as old as that.
        boost: raises the priority of a background refresh; None for a foreground call.
    """

    future: "asyncio.Future[T]"
    started_s: float
    boost: PriorityBoost | None


class RunningCall(Protocol):
    """An upstream call that runs without a task."""

    @property
    def futures(self) -> "Sequence[asyncio.Future[Any]]":
        """The futures that it completes."""
        ...

    def cancel(self) -> None:
        """End the call and complete its futures."""
        ...


class SingleFlight(Generic[T]):
    """The in-flight reads of this process, by key.

    A call is independent of the reader that started it: it continues when that reader is
    cancelled, and each joined reader waits for it under a deadline of its own.
    """

    def __init__(self) -> None:
        self._in_flight: dict[Hashable, InFlight[T]] = {}
        # asyncio holds tasks weakly; this set keeps them from being collected.
        self._tasks: set[asyncio.Task[Any]] = set()
        self._calls: set[RunningCall] = set()

    def find(self, key: Hashable) -> InFlight[T] | None:
        """Return the in-flight call with this key; None when there is none."""
        return self._in_flight.get(key)

    def start(
        self, key: Hashable | None, started_s: float, boost: PriorityBoost | None = None
    ) -> "asyncio.Future[T]":
        """Register a new call and return the future of its result.

        Args:
            key: the key under which other reads join; None prevents joining.
            started_s: when the call starts, in seconds since 1970.
            boost: see ``InFlight``.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if key is not None:
            self._in_flight[key] = InFlight(future, started_s, boost)
            future.add_done_callback(lambda _: self._remove(key, future))
        return future

    def retire(self, key: Hashable) -> None:
        """Let no further read join the call with this key; it continues for those that have."""
        self._in_flight.pop(key, None)

    def retire_all(self) -> None:
        """Let no further read join any of the calls in flight; their results are not stored."""
        self._in_flight.clear()

    async def wait_for_running(self) -> None:
        """Wait for the end of the calls that are in flight now."""
        running = [*self._tasks, *(each for call in self._calls for each in call.futures)]
        if running:
            await asyncio.wait(running)

    def _remove(self, key: Hashable, future: "asyncio.Future[T]") -> None:
        # A newer call may have replaced this one under the same key.
        call = self._in_flight.get(key)
        if call is not None and call.future is future:
            del self._in_flight[key]

    def spawn(self, coroutine: Any) -> None:
        """Run the coroutine that completes the futures, independently of the caller."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def add(self, call: RunningCall) -> None:
        """Keep a call that runs without a task, until ``remove``."""
        self._calls.add(call)

    def remove(self, call: RunningCall) -> None:
        """Forget a call that has ended, or that a task continues."""
        self._calls.discard(call)

    def __len__(self) -> int:
        return len(self._in_flight)

    async def aclose(self) -> None:
        """Cancel all calls in flight and wait for their end."""
        calls = list(self._calls)
        self._calls.clear()
        for call in calls:
            call.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
