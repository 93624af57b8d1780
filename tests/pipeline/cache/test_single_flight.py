"""Single flight: which reads join a call, and what happens when its first reader is cancelled."""

import asyncio

from balance_gateway.pipeline.cache.single_flight import SingleFlight
from tests.pipeline.fakes import run_pending_tasks


async def test_a_call_can_be_joined_until_it_completes() -> None:
    calls: SingleFlight[int] = SingleFlight()
    future = calls.start("k", 0.0)
    joined = calls.find("k")

    future.set_result(1)
    await run_pending_tasks()

    assert joined is not None
    assert joined.future is future
    assert calls.find("k") is None
    assert len(calls) == 0


async def test_different_keys_are_different_calls() -> None:
    calls: SingleFlight[int] = SingleFlight()

    calls.start("k", 0.0)

    assert calls.find("l") is None


async def test_a_call_without_a_key_cannot_be_joined() -> None:
    calls: SingleFlight[int] = SingleFlight()

    future = calls.start(None, 0.0)

    assert calls.find(None) is None
    assert len(calls) == 0
    future.cancel()


async def test_an_older_call_that_completes_does_not_remove_the_newer_one() -> None:
    calls: SingleFlight[int] = SingleFlight()
    older, newer = calls.start("k", 0.0), calls.start("k", 0.0)

    older.set_result(1)
    await run_pending_tasks()

    in_flight = calls.find("k")
    assert in_flight is not None
    assert in_flight.future is newer


async def test_a_call_continues_when_its_first_reader_is_cancelled() -> None:
    calls: SingleFlight[int] = SingleFlight()
    future = calls.start("k", 0.0)
    may_complete = asyncio.Event()

    async def complete() -> None:
        await may_complete.wait()
        future.set_result(7)

    async def read() -> None:
        calls.spawn(complete())
        await asyncio.wait({future})

    reader = asyncio.ensure_future(read())
    await run_pending_tasks()
    reader.cancel()
    may_complete.set()

    assert await future == 7


async def test_closing_cancels_calls_in_flight() -> None:
    calls: SingleFlight[int] = SingleFlight()
    ended: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    calls.spawn(hang())
    await run_pending_tasks()
    await calls.aclose()

    assert ended == ["cancelled"]
