"""A deterministic event loop: one seed is one run, to the last callback.

Time is virtual: when no callback is ready, it jumps to the next timer. A seeded draw chooses among
the ready callbacks, so that no accidental order is relied upon. A callback of a crashed process
(``ProcessLife``, found in its context) is dropped: after the crash the process has no effect.
"""

import asyncio
import contextlib
import heapq
import random
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")

#: More callbacks than any history needs; reaching it means an endless loop.
CALLBACKS_MAX = 2_000_000


class ProcessLife:
    """The life of a process: it ends in a crash, and may be suspended for a while."""

    def __init__(self) -> None:
        self.ended = False
        self.stalled_until_s = 0.0

    def begin(self) -> Context:
        """Return a context for callbacks; they, and all that they cause, end with this life."""
        context = copy_context()
        context.run(_life.set, self)
        return context


_life: ContextVar[ProcessLife | None] = ContextVar("life", default=None)


class VirtualHandle:
    """A callback with its context, as much of asyncio's own class as tasks and timeouts use.

    A history makes a hundred thousand of them.
    """

    __slots__ = ("_args", "_callback", "_context", "_loop", "_when_s", "is_cancelled")

    def __init__(
        self,
        when_s: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: "VirtualLoop",
        context: Context | None,
    ) -> None:
        self._when_s = when_s
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = copy_context() if context is None else context
        self.is_cancelled = False

    def cancel(self) -> None:
        """Never run the callback; what it refers to may go."""
        self.is_cancelled = True
        self._callback, self._args = _do_nothing, ()

    def cancelled(self) -> bool:
        """Return whether it was cancelled."""
        return self.is_cancelled

    def when(self) -> float:
        """Return the virtual time at which it is due, in seconds."""
        return self._when_s

    @property
    def life(self) -> ProcessLife | None:
        """The process that it belongs to; None for the environment."""
        return self._context.get(_life)

    def run(self) -> None:
        """Run the callback in its context."""
        try:
            self._context.run(self._callback, *self._args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            message = f"Exception in callback {self._callback!r}"
            self._loop.call_exception_handler({"message": message, "exception": error})


def _do_nothing() -> None:
    """Replace a cancelled callback."""


class LoopStuck(Exception):
    """No callback is ready and no timer is set, or the callbacks never end."""


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
        """Return the virtual seconds since the start."""
        return self._now_s

    def get_debug(self) -> bool:
        """Return False."""
        return False

    def is_running(self) -> bool:
        """Return True: callers are inside the loop."""
        return True

    def is_closed(self) -> bool:
        """Return False."""
        return False

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> VirtualHandle:
        """Schedule the callback now, in any order with others."""
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
        """Schedule the callback at an instant."""
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
        """Schedule the callback after a delay in virtual seconds."""
        when = self._now_s + delay
        handle = VirtualHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def create_future(self) -> "asyncio.Future[Any]":
        """Create a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> "asyncio.Task[T]":
        """Create a task of this loop."""
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        # The reference is kept: a task that is garbage-collected would run its handlers.
        self._tasks.append((task, coro))
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Record asyncio's errors, except for tasks that a crash left unfinished."""
        if "was destroyed but it is pending" not in context["message"]:
            self.failures.append(f"{context['message']}: {context.get('exception')!r}")

    def run_until_complete(self, future: Any) -> Any:
        """Run until the coroutine has finished, and return its result."""
        asyncio._set_running_loop(self)
        try:
            main = self.create_task(future)
            for _ in range(CALLBACKS_MAX):
                if main.done():
                    return main.result()
                self._step()
            raise LoopStuck("the callbacks never end")
        finally:
            self._close_tasks()
            asyncio._set_running_loop(None)

    def _step(self) -> None:
        if not self._ready:
            if not self._timers:
                raise LoopStuck("all tasks wait, and no timer is set")
            self._now_s = max(self._now_s, self._timers[0][0])
            while self._timers and self._timers[0][0] <= self._now_s:
                self._ready.append(heapq.heappop(self._timers)[2])
        ready = self._ready
        index = int(self._rng.random() * len(ready))
        ready[index], ready[-1] = ready[-1], ready[index]
        handle = ready.pop()
        if handle.is_cancelled:
            return
        life = handle.life
        if life is not None and life.ended:
            return
        if life is not None and life.stalled_until_s > self._now_s:
            self._count += 1
            heapq.heappush(self._timers, (life.stalled_until_s, self._count, handle))
        else:
            handle.run()

    def _close_tasks(self) -> None:
        """Close every unfinished task; effects of its handlers no longer matter."""
        for task, coro in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with contextlib.suppress(BaseException):
                    coro.close()
        self._tasks.clear()


async def remotely(
    effect: Callable[[], T], *, before_s: float, after_s: float, answered: bool = True
) -> T:
    """Run an effect on another machine: a request, the effect, and an answer.

    The effect happens even if the calling process crashes.

    Args:
        effect: runs on the other machine.
        before_s: how long the request takes.
        after_s: how long the answer takes.
        answered: False loses the answer: this waits until the caller's own time limit.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()
    outside = Context()

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
            loop.call_later(after_s, deliver, result, error, context=outside)

    loop.call_later(before_s, act, context=outside)
    return await answer
