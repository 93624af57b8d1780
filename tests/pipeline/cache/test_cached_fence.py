"""Cached reads around writes: no value older than an acknowledged write is cached or shared."""

import asyncio

import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import CacheUnavailable, ProviderUnavailable
from tests.pipeline.fakes import CacheHarness, get_state, ledger_minor_units, run_pending_tasks
from tests.pipeline.virtual_time import VirtualTime


async def test_a_write_invalidates_the_cached_value(harness: CacheHarness) -> None:
    await harness.read()

    await harness.write(200)

    after = await harness.read()
    assert (ledger_minor_units(after), get_state(after)) == (200, "live")


async def test_a_write_invalidates_every_day_and_the_opening_balance(harness: CacheHarness) -> None:
    await harness.read(is_today=False)
    await harness.reads.opening_balances(harness.accounts[:1])

    await harness.write(200)

    other_day = await harness.read(is_today=False)
    (opening,) = await harness.reads.opening_balances(harness.accounts[:1])
    assert (get_state(other_day), get_state(opening)) == ("live", "live")


async def test_a_write_keeps_values_of_other_accounts(harness: CacheHarness) -> None:
    await harness.read(1)

    await harness.write(200)

    assert get_state(await harness.read(1)) == "cached"


async def test_an_invalidated_value_is_not_served_stale(harness: CacheHarness) -> None:
    await harness.read()
    await harness.write(200)
    harness.provider.failing = ProviderUnavailable("It is down.")

    after = await harness.read()

    assert get_state(after) == "PROVIDER_UNAVAILABLE"


async def start_slow_read(harness: CacheHarness) -> tuple["asyncio.Task[object]", asyncio.Event]:
    """Start a read that has taken its value at the provider and waits to return it."""
    may_answer = asyncio.Event()
    harness.provider.wait = may_answer.wait
    reading = asyncio.ensure_future(harness.read())
    await run_pending_tasks()
    harness.provider.wait = None
    return reading, may_answer


async def test_a_read_that_a_write_overtook_is_not_cached(harness: CacheHarness) -> None:
    reading, may_answer = await start_slow_read(harness)
    await harness.write(200)

    may_answer.set()
    overtaken = await reading

    after = await harness.read()
    assert ledger_minor_units(overtaken) == 100
    assert (ledger_minor_units(after), get_state(after)) == (200, "live")


async def test_a_read_that_ends_during_a_write_is_not_cached(harness: CacheHarness) -> None:
    reading, may_answer = await start_slow_read(harness)
    await harness.reads.begin_write(harness.accounts[0], "w1")

    may_answer.set()
    await reading
    await harness.reads.end_write(harness.accounts[0], "w1")

    assert get_state(await harness.read()) == "live"


async def test_a_read_that_starts_during_a_write_is_not_cached(
    harness: CacheHarness,
) -> None:
    await harness.reads.begin_write(harness.accounts[0], "w1")
    reading, may_answer = await start_slow_read(harness)
    harness.provider.value = 200
    await harness.reads.end_write(harness.accounts[0], "w1")

    may_answer.set()
    await reading

    after = await harness.read()
    assert (ledger_minor_units(after), get_state(after)) == (200, "live")


async def test_a_read_after_a_write_joins_no_call_from_before_it(harness: CacheHarness) -> None:
    reading, may_answer = await start_slow_read(harness)
    await harness.write(200)

    after = await harness.read()

    may_answer.set()
    await reading
    assert ledger_minor_units(after) == 200
    assert len(harness.provider.calls) == 2


async def test_a_read_after_a_write_joins_no_call_from_during_it(harness: CacheHarness) -> None:
    await harness.reads.begin_write(harness.accounts[0], "w1")
    reading, may_answer = await start_slow_read(harness)
    harness.provider.value = 200
    await harness.reads.end_write(harness.accounts[0], "w1")

    after = await harness.read()

    may_answer.set()
    await reading
    assert ledger_minor_units(after) == 200


async def test_reads_during_a_write_are_neither_cached_nor_shared(
    harness: CacheHarness,
) -> None:
    await harness.reads.begin_write(harness.accounts[0], "w1")

    answers = await asyncio.gather(*(harness.read() for _ in range(3)))

    assert {get_state(answer) for answer in answers} == {"live"}
    assert len(harness.provider.calls) == 3
    assert harness.values.puts == []


async def test_an_unanswered_write_holds_the_fence_until_the_hold_expires(
    harness: CacheHarness,
) -> None:
    await harness.reads.begin_write(harness.accounts[0], "w1")

    harness.time.advance(CacheHarness.HOLD_S - 1)
    await harness.read()
    unsettled = await harness.read()
    harness.time.advance(1)
    await harness.read()
    settled = await harness.read()

    assert (get_state(unsettled), get_state(settled)) == ("live", "cached")


async def test_reads_of_a_held_account_are_not_cached(harness: CacheHarness) -> None:
    await harness.read()

    await harness.reads.hold(harness.accounts[0], "w1", 5.0)
    held = [await harness.read(), await harness.read()]
    harness.time.advance(5.0)
    after = [await harness.read(), await harness.read()]

    assert [get_state(answer) for answer in held] == ["live", "live"]
    assert [get_state(answer) for answer in after] == ["live", "cached"]


async def test_an_unsettled_account_in_a_batch_does_not_affect_the_others(
    harness: CacheHarness,
) -> None:
    harness.provider.group = lambda query: query.as_of
    await harness.reads.begin_write(harness.accounts[0], "w1")

    await harness.read_all()
    answers = await harness.read_all()

    assert [get_state(answer) for answer in answers] == ["live", "cached", "cached", "cached"]
    assert harness.provider.calls[1] == ["acct_a"]


async def test_with_an_unreachable_cache_reads_call_the_provider(harness: CacheHarness) -> None:
    await harness.read()
    harness.fences.lost = True

    answers = await asyncio.gather(*(harness.read() for _ in range(3)))

    assert {get_state(answer) for answer in answers} == {"live"}
    assert len(harness.provider.calls) == 4
    assert len(harness.values.puts) == 1


async def test_with_an_unreachable_cache_writes_can_end_but_not_begin(
    harness: CacheHarness,
) -> None:
    await harness.reads.begin_write(harness.accounts[0], "w1")
    harness.fences.lost = True

    await harness.reads.end_write(harness.accounts[0], "w1")

    with pytest.raises(CacheUnavailable):
        await harness.reads.begin_write(harness.accounts[0], "w1")
    with pytest.raises(CacheUnavailable):
        await harness.reads.hold(harness.accounts[0], "w1", 1.0)


async def test_with_unreachable_values_reads_call_the_provider(harness: CacheHarness) -> None:
    await harness.read()
    harness.values.fails_get = True

    answer = await harness.read()

    assert get_state(answer) == "live"


async def test_a_value_that_cannot_be_stored_is_still_returned(harness: CacheHarness) -> None:
    harness.values.fails_put = True

    answers = [await harness.read(), await harness.read()]

    assert [get_state(answer) for answer in answers] == ["live", "live"]


async def test_a_read_with_an_unknown_fence_state_joins_no_call(harness: CacheHarness) -> None:
    """Writes of other processes are invisible then, so any call may be older than them."""
    harness.fences.lost = True
    reading, may_answer = await start_slow_read(harness)
    harness.provider.value = 200

    after = await harness.read()

    may_answer.set()
    await reading
    assert ledger_minor_units(after) == 200


async def test_a_write_of_a_layer_account_invalidates_its_business(time: VirtualTime) -> None:
    harness = CacheHarness(time, ProviderKind.LAYER, business_id="one business")
    await harness.read(1)

    await harness.write(200)

    assert get_state(await harness.read(1)) == "live"


async def test_writes_of_the_embedded_ledger_need_no_fence(time: VirtualTime) -> None:
    harness = CacheHarness(time, ProviderKind.LOCAL)
    harness.fences.lost = True

    await harness.write(200)
    await harness.reads.hold(harness.accounts[0], "w1", 5.0)

    assert ledger_minor_units(await harness.read()) == 200
