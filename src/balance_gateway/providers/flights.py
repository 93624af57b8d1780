"""Calls in flight, joined by key: any number of callers, one call."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from contextvars import Context
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Flights(Generic[T]):
    """Joins callers that want the same thing at the same time.

    A flight is a task of its own, so that it outlives any of its callers: the one that started it
    may be cancelled and the others still get their value. It has a context of its own, too: how
    urgent its starter was says nothing of those who join. Nothing is kept once it has landed.
    """

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}

    async def join(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The value of the flight under way for the key, or of a new one."""
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(start(), context=Context())
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
