"""Share one running call among all callers that use the same key."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from balance_gateway.ports.call_context import build_isolated_context

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Deduplicates concurrent calls by key.

    Each call runs in its own task and therefore outlives any of its callers: if the caller that
    started it is cancelled, the others still receive the value. A finished call is forgotten.

    Args:
        isolated: Run each call in a context of its own instead of a copy of the first caller's.
            Use it if the first caller's context, such as its priority, must not apply to the
            callers that join later.
    """

    def __init__(self, *, isolated: bool = False) -> None:
        self._isolated = isolated
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}

    async def join(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the value of the running call for ``key``, or of a new call if none runs."""
        task = self._tasks.get(key)
        if task is None:
            context = build_isolated_context() if self._isolated else None
            task = asyncio.create_task(start(), context=context)
            self._tasks[key] = task
            task.add_done_callback(lambda finished: self._forget(key, finished))
        # Cancelling one caller must not cancel the task of the others.
        return await asyncio.shield(task)

    async def aclose(self) -> None:
        """Cancel all running calls and wait until they have ended."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, key: Hashable, task: asyncio.Task[T]) -> None:
        self._tasks.pop(key, None)
        if not task.cancelled():
            # Retrieving the exception keeps asyncio from logging it as "never retrieved" if all
            # callers have been cancelled.
            task.exception()
