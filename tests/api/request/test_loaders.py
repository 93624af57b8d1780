"""Loaders: one call per tick, a future for each, and nothing from before a write after it."""

import asyncio

import pytest

from balance_gateway.api.request.loaders import Deadline, Loader
from balance_gateway.domain.errors import ProviderTimeout, TooStale


class Source:
    """Answers a key with how often it was asked; holds its answers back while told to."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.gates: list[asyncio.Event] = []

    async def fetch(self, keys):
        self.calls.append(list(keys))
        call = len(self.calls)
        if len(self.gates) >= call:
            await self.gates[call - 1].wait()
        return [TooStale("Old.") if key == "bad" else f"{key}{call}" for key in keys]


def loader(source: Source, timeout_s: float = 5.0) -> Loader[str, str]:
    return Loader(source.fetch, Deadline(timeout_s))


async def test_what_one_tick_asks_for_is_one_call():
    source = Source()
    one = loader(source)

    both = one.load("a", str.upper), one.load("b", str.upper), one.load("a", str)

    assert await asyncio.gather(*both) == ["A1", "B1", "a1"]
    assert source.calls == [["a", "b"]]
    assert one.load("a", str.upper) == "A1"


async def test_an_error_is_remembered_and_raised_every_time():
    source = Source()
    one = loader(source)

    with pytest.raises(TooStale):
        await one.load("bad", str)
    with pytest.raises(TooStale):
        one.load("bad", str)
    [error, value] = await one.load_all(["bad", "a"], list)
    assert isinstance(error, TooStale)
    assert value == "a2"
    assert source.calls == [["bad"], ["a"]]


async def test_cancelling_one_future_leaves_the_others():
    one = loader(Source())
    first, second = one.load("a", str), one.load("a", str)

    first.cancel()

    assert await second == "a1"


async def test_after_forget_no_call_from_before_is_joined_or_kept():
    """A read was under way when a write was made: its answer is for those who asked before."""
    source = Source()
    source.gates = [asyncio.Event()]
    one = loader(source)
    before = one.load("a", str)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert source.calls == [["a"]]

    one.clear()
    after = await one.load("a", str)
    source.gates[0].set()

    assert after == "a2"
    assert await before == "a1"
    assert one.load("a", str) == "a2"


async def test_a_converter_that_fails_fails_its_own_field_only():
    one = loader(Source())

    broken, fine = one.load("a", int), one.load("a", str)

    with pytest.raises(ValueError, match="invalid literal"):
        await broken
    assert await fine == "a1"


async def test_the_deadline_is_an_answer_for_every_key_and_is_restarted():
    source = Source()
    source.gates = [asyncio.Event()]
    deadline = Deadline(0.02)
    one: Loader[str, str] = Loader(source.fetch, deadline)

    [first, second] = await one.load_all(["a", "b"], list)
    assert isinstance(first, ProviderTimeout)
    assert isinstance(second, ProviderTimeout)
    assert "0.02 s" in first.message

    deadline.restart()
    one.clear()
    assert await one.load("a", str) == "a2"


async def test_a_timeout_of_the_source_itself_is_no_deadline():
    async def fetch(_keys):
        raise TimeoutError

    one: Loader[str, str] = Loader(fetch, Deadline(5))

    with pytest.raises(TimeoutError):
        await one.load("a", str)


async def test_closing_cancels_what_is_under_way():
    for turns in range(4):
        source = Source()
        source.gates = [asyncio.Event()]
        one = loader(source)
        waiting = one.load(f"a{turns}", str)
        for _ in range(turns):
            await asyncio.sleep(0)

        one.close()

        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(5):
                await waiting
