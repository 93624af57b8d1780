"""Calls in flight, joined by key: any number of callers, one call."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from contextvars import Context
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Joins callers that want the same thing at the same time.

    A flight is a task of its own, so that it outlives any of its callers: the one that started it
    may be cancelled and the others still get their value. Nothing is kept once it has landed.

    Args:
        for_all: what is fetched is not its starter's affair: how urgent that one was says nothing
            of those who join, so that a flight has a context of its own.
    """

    def __init__(self, *, for_all: bool = False) -> None:
        self._for_all = for_all
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}

    async def join(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The value of the flight under way for the key, or of a new one."""
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(start(), context=Context() if self._for_all else None)
            self._tasks[key] = task
            task.add_done_callback(lambda landed: self._land(key, landed))
        return await asyncio.shield(task)

    async def aclose(self) -> None:
        """Ends what is still under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _land(self, key: Hashable, task: asyncio.Task[T]) -> None:
        self._tasks.pop(key, None)
        if not task.cancelled():
            # Looked at here, so that a failure nobody waits for any more is not logged as lost.
            task.exception()
