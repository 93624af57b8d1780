"""Loaders: everything one tick of a request asks for goes out as one call.

graphql-core calls all resolvers it can reach before the event loop turns; a loader notes what they
ask for and makes one call when it does. Every ``load`` has its own future, so that cancelling one
field never takes another's answer away. What was answered is remembered for the request until
``forget``, which a mutation calls.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar, cast

from balance_gateway.domain.errors import ProviderTimeout

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
R = TypeVar("R")
T = TypeVar("T")

Batch = dict[K, "list[asyncio.Future[V | Exception]]"]


class Deadline:
    """The instant at which a request's reads have to be done.

    What is outstanding then fails with PROVIDER_TIMEOUT, and the rest is answered.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._at = asyncio.get_running_loop().time() + timeout_s

    def restart(self) -> None:
        """Gives reads the whole time again; called after a write, which has no deadline here."""
        self._at = asyncio.get_running_loop().time() + self._timeout_s

    async def keep(self, awaitable: Awaitable[R]) -> R:
        """The awaitable's result.

        Raises:
            ProviderTimeout: the deadline passed first; the awaitable was cancelled.
        """
        try:
            async with asyncio.timeout_at(self._at) as scope:
                return await awaitable
        except TimeoutError:
            if not scope.expired():
                raise
            message = f"No answer within the {self._timeout_s:g} s that a request may take."
            raise ProviderTimeout(message) from None


class Loader(Generic[K, V]):
    """Collects keys and asks for all of them at once.

    Args:
        fetch: answers keys, in order, with a value or the error for each.
        deadline: of the request.
    """

    def __init__(
        self,
        fetch: Callable[[Sequence[K]], Awaitable[Sequence[V | Exception]]],
        deadline: Deadline,
    ) -> None:
        self._fetch = fetch
        self._deadline = deadline
        self._answers: dict[K, V | Exception] = {}
        self._open: Batch[K, V] = {}
        self._queued: Batch[K, V] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def load(self, key: K, convert: Callable[[V], R]) -> R:
        """The converted value of a key, or its future, to be returned from a resolver as it is.

        graphql-core awaits what can be awaited, and Strawberry reads a field's type from its
        resolver's; so the future is typed as what it will hold.

        Raises:
            Exception: the answer for the key; also through the future.
        """
        if key in self._answers:
            return convert(_value(self._answers[key]))
        return cast(R, _converted(self._wait(key), lambda answer: convert(_value(answer))))

    def load_all(self, keys: Iterable[K], convert: Callable[[list[V | Exception]], R]) -> R:
        """Like ``load``, for the value or the error of every key, in order, converted together."""
        keys = list(keys)
        missing = [key for key in dict.fromkeys(keys) if key not in self._answers]
        known = self._answers

        def in_order(found: list[V | Exception]) -> R:
            new = dict(zip(missing, found, strict=True))
            return convert([new[key] if key in new else known[key] for key in keys])

        if not missing:
            return in_order([])
        return cast(R, _converted(asyncio.gather(*map(self._wait, missing)), in_order))

    def learn(self, answers: Mapping[K, V | Exception]) -> None:
        """Takes over what somebody else has read for the same request."""
        self._answers.update(answers)

    def forget(self) -> None:
        """Forgets every answer, and joins no call from before, so that all is read again."""
        self._answers = {}
        self._open = {}

    def close(self) -> None:
        """Cancels the calls that are under way; none is begun any more."""
        self._closed = True
        for task in self._tasks:
            task.cancel()

    def _wait(self, key: K) -> "asyncio.Future[V | Exception]":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[V | Exception] = loop.create_future()
        waiting = self._open.get(key)
        if waiting is not None:
            waiting.append(future)
            return future
        if not self._queued:
            loop.call_soon(self._dispatch)
        self._open[key] = self._queued[key] = [future]
        return future

    def _dispatch(self) -> None:
        batch, self._queued = self._queued, {}
        if self._closed:
            _cancel(batch)
            return
        task = asyncio.ensure_future(self._answer(batch, self._open, self._answers))
        self._tasks.add(task)

        def over(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            _cancel(batch)  # A task that was cancelled has answered nobody.

        task.add_done_callback(over)

    async def _answer(
        self, batch: "Batch[K, V]", still_open: "Batch[K, V]", known: dict[K, V | Exception]
    ) -> None:
        answers: Sequence[V | Exception]
        keys = list(batch)
        try:
            answers = await self._deadline.keep(self._fetch(keys))
        except Exception as error:
            answers = [error] * len(keys)
        for key, answer in zip(keys, answers, strict=True):
            known[key] = answer
            if still_open.get(key) is batch[key]:
                del still_open[key]
            for future in batch[key]:
                if not future.done():
                    future.set_result(answer)


def _cancel(batch: "Batch[K, V]") -> None:
    for futures in batch.values():
        for future in futures:
            future.cancel()


def _value(answer: V | Exception) -> V:
    if isinstance(answer, Exception):
        raise answer
    return answer


def _converted(outcome: "asyncio.Future[T]", convert: Callable[[T], R]) -> "asyncio.Future[R]":
    """The future of what a field answers, from the future of what its keys have come to."""
    converted: asyncio.Future[R] = outcome.get_loop().create_future()

    def done(finished: "asyncio.Future[T]") -> None:
        if converted.done():
            return
        if finished.cancelled():
            converted.cancel()
            return
        try:
            converted.set_result(convert(finished.result()))
        except Exception as error:
            converted.set_exception(error)
            converted.exception()  # Somebody else may have failed the field's parent already.

    outcome.add_done_callback(done)
    return converted
