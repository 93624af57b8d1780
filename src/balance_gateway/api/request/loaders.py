"""Batches the reads of a request: all keys loaded in one turn of the event loop are one call."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar, cast

from balance_gateway.domain.errors import ProviderTimeout

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
R = TypeVar("R")
T = TypeVar("T")

Batch = dict[K, "list[asyncio.Future[V | Exception]]"]


class Deadline:
    """The deadline of a request's reads.

    A read that is outstanding at the deadline fails with PROVIDER_TIMEOUT; the other reads keep
    their results.

    Args:
        timeout_s: the time for all reads together, in seconds from now.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._at = asyncio.get_running_loop().time() + timeout_s

    def restart(self) -> None:
        """Give reads the whole time again; called after a write, which has no deadline here."""
        self._at = asyncio.get_running_loop().time() + self._timeout_s

    async def wait_for(self, awaitable: Awaitable[R]) -> R:
        """Await the awaitable until the deadline, and return its result.

        Raises:
            ProviderTimeout: the deadline passed first; the awaitable was cancelled.
        """
        try:
            async with asyncio.timeout_at(self._at) as scope:
                return await awaitable
        except TimeoutError:
            # A timeout of the awaitable itself is not this deadline.
            if not scope.expired():
                raise
            message = (
                f"The provider did not respond within the {self._timeout_s:g} s limit of the "
                "request. Try again."
            )
            raise ProviderTimeout(message) from None


class Loader(Generic[K, V]):
    """Collects keys, fetches them in one call, and keeps the results until ``clear``.

    Args:
        fetch: returns a value or an error for each key, in the order of the keys.
        deadline: the deadline of the request.
        record: called with each key that is asked for and its result.
    """

    def __init__(
        self,
        fetch: Callable[[Sequence[K]], Awaitable[Sequence[V | Exception]]],
        deadline: Deadline,
        record: Callable[[K, V | Exception], None] = lambda _key, _result: None,
    ) -> None:
        self._fetch = fetch
        self._deadline = deadline
        self._record = record
        self._results: dict[K, V | Exception] = {}
        self._pending: Batch[K, V] = {}
        self._queued: Batch[K, V] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def load(self, key: K, convert: Callable[[V], R]) -> R:
        """Return the converted value of a key, or a future of it, for a resolver to return.

        Args:
            key: the key.
            convert: converts the value of the key to the value of the field.

        Raises:
            Exception: the error of the key; a future raises it when it is awaited.
        """

        def finish(result: V | Exception) -> R:
            self._record(key, result)
            return convert(_unwrap(result))

        if key in self._results:
            return finish(self._results[key])
        # graphql-core awaits the future, and Strawberry takes the type of the field from the
        # resolver: so the future is typed as its result.
        return cast(R, _map_future(self._wait(key), finish))

    def load_all(self, keys: Iterable[K], convert: Callable[[list[V | Exception]], R]) -> R:
        """Like ``load``, for several keys.

        Args:
            keys: the keys.
            convert: converts the list of values and errors, in the order of the keys.
        """
        keys = list(keys)
        missing = [key for key in dict.fromkeys(keys) if key not in self._results]
        earlier = self._results

        def in_order(found: list[V | Exception]) -> R:
            new = dict(zip(missing, found, strict=True))
            results = [new[key] if key in new else earlier[key] for key in keys]
            for key, result in zip(keys, results, strict=True):
                self._record(key, result)
            return convert(results)

        if not missing:
            return in_order([])
        return cast(R, _map_future(asyncio.gather(*map(self._wait, missing)), in_order))

    def prime(self, results: Mapping[K, V | Exception]) -> None:
        """Add results that were read for the same request without this loader."""
        self._results.update(results)

    @property
    def calls_in_progress(self) -> "Collection[asyncio.Task[None]]":
        """The calls that were started and have not ended."""
        return self._tasks

    @property
    def is_idle(self) -> bool:
        """Whether no key waits for its result."""
        return not self._queued and not self._tasks

    def clear(self) -> None:
        """Drop all results; later loads do not join a call that has already started."""
        self._results = {}
        self._pending = {}

    def close(self) -> None:
        """Cancel the calls in progress; no further call is started."""
        self._closed = True
        for task in self._tasks:
            task.cancel()

    def _wait(self, key: K) -> "asyncio.Future[V | Exception]":
        loop = asyncio.get_running_loop()
        # One future for each load: cancelling one field must not cancel another.
        future: asyncio.Future[V | Exception] = loop.create_future()
        waiting = self._pending.get(key)
        if waiting is not None:
            waiting.append(future)
            return future
        # graphql-core calls every resolver that it can reach before the event loop turns, so that
        # the call made then has all their keys.
        if not self._queued:
            loop.call_soon(self._dispatch)
        self._pending[key] = self._queued[key] = [future]
        return future

    def _dispatch(self) -> None:
        batch, self._queued = self._queued, {}
        if self._closed:
            _cancel(batch)
            return
        task = asyncio.ensure_future(self._fetch_batch(batch, self._pending, self._results))
        self._tasks.add(task)

        def finish(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            _cancel(batch)  # A cancelled task has set no results.

        task.add_done_callback(finish)

    async def _fetch_batch(
        self, batch: "Batch[K, V]", pending: "Batch[K, V]", loaded: dict[K, V | Exception]
    ) -> None:
        # ``pending`` and ``loaded`` belong to the time before a ``clear`` if one happens meanwhile:
        # a result that was read before a write must not be returned after it.
        results: Sequence[V | Exception]
        keys = list(batch)
        try:
            results = await self._deadline.wait_for(self._fetch(keys))
        except Exception as error:
            results = [error] * len(keys)
        for key, result in zip(keys, results, strict=True):
            loaded[key] = result
            if pending.get(key) is batch[key]:
                del pending[key]
            for future in batch[key]:
                if not future.done():
                    future.set_result(result)


def _cancel(batch: "Batch[K, V]") -> None:
    for futures in batch.values():
        for future in futures:
            future.cancel()


def _unwrap(result: V | Exception) -> V:
    if isinstance(result, Exception):
        raise result
    return result


def _map_future(source: "asyncio.Future[T]", convert: Callable[[T], R]) -> "asyncio.Future[R]":
    """Return a future of the converted result of another future."""
    converted: asyncio.Future[R] = source.get_loop().create_future()

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
            # Marks it as retrieved: no resolver awaits it if the parent of the field has failed.
            converted.exception()

    source.add_done_callback(done)
    return converted
