"""An event loop without time, threads or chance: one seed is one run, to the last callback.

Time is virtual: when nothing is ready it jumps to the next timer. Of the callbacks that are ready
a seeded draw takes any one, so that no order that merely happens to hold is relied upon. A
callback that belongs to a process that has crashed (``Life``, found in its context) is dropped:
from the crash on nothing that the process was doing has any effect.
"""

import asyncio
import contextlib
import heapq
import random
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")

#: More callbacks than any history needs: something is going round in circles.
CALLBACKS_MAX = 2_000_000


class Life:
    """A process: alive until it crashes; it may stand still until an instant."""

    def __init__(self) -> None:
        self.ended = False
        self.stalled_until_s = 0.0

    def begin(self) -> Context:
        """A context whose callbacks, and all that come from them, die with this life."""
        context = copy_context()
        context.run(_life.set, self)
        return context


_life: ContextVar[Life | None] = ContextVar("life", default=None)


class VirtualHandle(asyncio.TimerHandle):
    """A callback with its context; asyncio's own, which knows how to run and be cancelled."""

    @property
    def life(self) -> Life | None:
        """The process it belongs to; None for the world outside."""
        return self._context.get(_life)

    def run(self) -> None:
        """Runs it in its context."""
        self._run()


class Stuck(Exception):
    """Nothing is ready and no timer is set, or there is no end to what is ready."""


class VirtualLoop(asyncio.AbstractEventLoop):
    """The part of an event loop that asyncio's tasks, locks, timeouts and sleeps need."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._now_s = 0.0
        self._ready: list[VirtualHandle] = []
        self._timers: list[tuple[float, int, VirtualHandle]] = []
        self._count = 0
        self._tasks: list[tuple[asyncio.Task[Any], Coroutine[Any, Any, Any]]] = []
        self.failures: list[str] = []

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._now_s

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_running(self) -> bool:
        """Always, to those that ask from inside."""
        return True

    def is_closed(self) -> bool:
        """Never."""
        return False

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> VirtualHandle:
        """Has the callback run at this instant, in any order with others."""
        handle = VirtualHandle(self._now_s, callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> VirtualHandle:
        """Has the callback run at an instant."""
        handle = VirtualHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> VirtualHandle:
        """Has the callback run after so many virtual seconds."""
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def create_future(self) -> "asyncio.Future[Any]":
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> "asyncio.Task[T]":
        """A task of this loop. It is kept: a task that is collected would run its handlers."""
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append((task, coro))
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Notes what asyncio found wrong, except that a crash left tasks unfinished."""
        if "was destroyed but it is pending" not in context["message"]:
            self.failures.append(f"{context['message']}: {context.get('exception')!r}")

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are dropped when their time comes."""

    def run_until_complete(self, future: Any) -> Any:
        """Runs until the coroutine has its result; returns it."""
        asyncio._set_running_loop(self)
        try:
            main = self.create_task(future)
            for _ in range(CALLBACKS_MAX):
                if main.done():
                    return main.result()
                self._step()
            raise Stuck("there is no end to it")
        finally:
            self._bury()
            asyncio._set_running_loop(None)

    def _step(self) -> None:
        if not self._ready:
            if not self._timers:
                raise Stuck("nothing will ever happen again")
            self._now_s = max(self._now_s, self._timers[0][0])
            while self._timers and self._timers[0][0] <= self._now_s:
                self._ready.append(heapq.heappop(self._timers)[2])
        ready = self._ready
        index = int(self._rng.random() * len(ready))
        ready[index], ready[-1] = ready[-1], ready[index]
        handle = ready.pop()
        life = handle.life
        if handle.cancelled() or (life is not None and life.ended):
            return
        if life is not None and life.stalled_until_s > self._now_s:
            self._count += 1
            heapq.heappush(self._timers, (life.stalled_until_s, self._count, handle))
        else:
            handle.run()

    def _bury(self) -> None:
        """Ends every task where it stands; what its handlers do now is of no consequence."""
        for task, coro in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with contextlib.suppress(BaseException):
                    coro.close()
        self._tasks.clear()


async def remotely(
    effect: Callable[[], T], *, before_s: float, after_s: float, answered: bool = True
) -> T:
    """What another machine does: a request on its way, an effect there, an answer on its way.

    The effect happens whatever becomes of the process that asked. Without an answer this waits
    until the caller's own time limit.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()
    elsewhere = Context()

    def deliver(result: T | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]

    def act() -> None:
        result, error = None, None
        try:
            result = effect()
        except Exception as raised:
            error = raised
        if answered:
            loop.call_later(after_s, deliver, result, error, context=elsewhere)

    loop.call_later(before_s, act, context=elsewhere)
    return await answer
