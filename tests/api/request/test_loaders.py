"""Loaders: one call per loop turn, one future per load, no result from before a ``clear``."""

import asyncio

import pytest

from balance_gateway.api.request.loaders import Deadline, Loader
from balance_gateway.domain.errors import ProviderTimeout, TooStale


class FakeSource:
    """Returns each key with the number of the call; a call with a gate waits for it."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.gates: list[asyncio.Event] = []

    async def fetch(self, keys):
        self.calls.append(list(keys))
        call = len(self.calls)
        if len(self.gates) >= call:
            await self.gates[call - 1].wait()
        return [TooStale("Old.") if key == "bad" else f"{key}{call}" for key in keys]


def build_loader(source: FakeSource, timeout_s: float = 5.0) -> Loader[str, str]:
    return Loader(source.fetch, Deadline(timeout_s))


async def test_loads_of_one_loop_turn_are_one_call():
    source = FakeSource()
    loader = build_loader(source)

    both = loader.load("a", str.upper), loader.load("b", str.upper), loader.load("a", str)

    assert await asyncio.gather(*both) == ["A1", "B1", "a1"]
    assert source.calls == [["a", "b"]]
    assert loader.load("a", str.upper) == "A1"


async def test_error_is_cached_and_raised_each_time():
    source = FakeSource()
    loader = build_loader(source)

    with pytest.raises(TooStale):
        await loader.load("bad", str)
    with pytest.raises(TooStale):
        loader.load("bad", str)
    [error, value] = await loader.load_all(["bad", "a"], list)
    assert isinstance(error, TooStale)
    assert value == "a2"
    assert source.calls == [["bad"], ["a"]]


async def test_cancelling_one_future_keeps_the_others():
    loader = build_loader(FakeSource())
    first, second = loader.load("a", str), loader.load("a", str)

    first.cancel()

    assert await second == "a1"


async def test_clear_separates_later_loads_from_earlier_calls():
    """A write during a read: the result of the read is only for loads from before the write."""
    source = FakeSource()
    source.gates = [asyncio.Event()]
    loader = build_loader(source)
    before = loader.load("a", str)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert source.calls == [["a"]]

    loader.clear()
    after = await loader.load("a", str)
    source.gates[0].set()

    assert after == "a2"
    assert await before == "a1"
    assert loader.load("a", str) == "a2"


async def test_failed_converter_fails_only_its_field():
    loader = build_loader(FakeSource())

    broken, fine = loader.load("a", int), loader.load("a", str)

    with pytest.raises(ValueError, match="invalid literal"):
        await broken
    assert await fine == "a1"


async def test_deadline_fails_every_key_and_can_be_restarted():
    source = FakeSource()
    source.gates = [asyncio.Event()]
    deadline = Deadline(0.02)
    loader: Loader[str, str] = Loader(source.fetch, deadline)

    [first, second] = await loader.load_all(["a", "b"], list)
    assert isinstance(first, ProviderTimeout)
    assert isinstance(second, ProviderTimeout)
    assert "0.02 s" in first.message

    deadline.restart()
    loader.clear()
    assert await loader.load("a", str) == "a2"


async def test_timeout_of_the_source_is_not_the_deadline():
    async def fetch(_keys):
        raise TimeoutError

    loader: Loader[str, str] = Loader(fetch, Deadline(5))

    with pytest.raises(TimeoutError):
        await loader.load("a", str)


async def test_close_cancels_calls_in_progress():
    for turns in range(4):
        source = FakeSource()
        source.gates = [asyncio.Event()]
        loader = build_loader(source)
        waiting = loader.load(f"a{turns}", str)
        for _ in range(turns):
            await asyncio.sleep(0)

        loader.close()

        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(5):
                await waiting
