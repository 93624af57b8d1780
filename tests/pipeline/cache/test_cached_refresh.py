"""Refreshing before expiry: only values in use, one call at a time, at background priority."""

import asyncio

import pytest

from balance_gateway.domain.errors import ProviderRateLimited
from balance_gateway.pipeline.cache.cache_entry_rules import REFRESH_FROM
from balance_gateway.ports.call_context import Priority, PriorityBoost, current_call
from balance_gateway.ports.reads import OnStale
from tests.pipeline.fakes import CacheHarness, get_state, ledger_minor_units, run_pending_tasks

AGING_S, FRESH_S = 29, 22  # of 30: refreshed from 0.75 to 0.95 of a lifetime on


async def test_a_value_in_use_is_refreshed_before_it_expires(harness: CacheHarness) -> None:
    await harness.read()
    harness.time.advance(AGING_S)
    harness.provider.value = 200

    served = await harness.read()
    await run_pending_tasks()
    harness.time.advance(2)
    later = await harness.read()

    assert (ledger_minor_units(served), get_state(served)) == (100, "cached")
    assert (ledger_minor_units(later), get_state(later)) == (200, "cached")
    assert len(harness.provider.calls) == 2


async def test_a_young_value_is_not_refreshed(harness: CacheHarness) -> None:
    await harness.read()
    harness.time.advance(FRESH_S)

    await harness.read()
    await run_pending_tasks()

    assert len(harness.provider.calls) == 1


async def test_an_unused_value_is_not_refreshed(harness: CacheHarness) -> None:
    await harness.read()

    await asyncio.sleep(100)

    assert len(harness.provider.calls) == 1


async def test_a_value_is_refreshed_once_at_a_time(harness: CacheHarness) -> None:
    may_answer = asyncio.Event()
    await harness.read()
    harness.time.advance(AGING_S)
    harness.provider.wait = may_answer.wait

    answers = [await harness.read() for _ in range(5)]
    answers += await asyncio.gather(*(harness.read() for _ in range(5)))
    may_answer.set()
    await run_pending_tasks()

    assert {get_state(answer) for answer in answers} == {"cached"}
    assert len(harness.provider.calls) == 2


async def test_a_refresh_has_background_priority_and_no_wait(harness: CacheHarness) -> None:
    await harness.read()
    harness.time.advance(AGING_S)

    await harness.read()
    await run_pending_tasks()

    assert harness.provider.priorities == [(Priority.FOREGROUND, 20.0), (Priority.BACKGROUND, 0.0)]


async def test_a_failed_refresh_does_not_affect_readers(harness: CacheHarness) -> None:
    await harness.read()
    harness.time.advance(AGING_S)
    harness.provider.failing = KeyError("a defect")

    served = await harness.read()
    await run_pending_tasks()
    harness.time.advance(0.5)
    again = await harness.read()

    assert (get_state(served), get_state(again)) == ("cached", "cached")


async def test_a_read_of_a_younger_value_has_foreground_priority(
    harness: CacheHarness,
) -> None:
    """It once ran as a refresh: without a wait, on the background's share of the budget."""
    await harness.read()
    harness.time.advance(AGING_S)

    await harness.read(max_age_s=5)

    assert [priority for priority, _ in harness.provider.priorities] == [Priority.FOREGROUND] * 2


async def test_a_live_read_of_an_aging_value_is_one_call(harness: CacheHarness) -> None:
    await harness.read()
    harness.time.advance(AGING_S)

    result = await harness.read(max_age_s=0)
    await run_pending_tasks()

    assert get_state(result) == "live"
    assert len(harness.provider.calls) == 2


async def test_a_group_is_refreshed_in_one_call(harness: CacheHarness) -> None:
    harness.provider.group = lambda query: query.as_of
    await harness.read_all()
    harness.time.advance(AGING_S)

    await harness.read_all()
    await run_pending_tasks()

    assert [len(call) for call in harness.provider.calls] == [4, 4]


async def test_a_refresh_that_a_write_overtook_is_not_cached(harness: CacheHarness) -> None:
    await harness.read()
    harness.time.advance(AGING_S)
    may_answer = asyncio.Event()
    harness.provider.wait = may_answer.wait
    await harness.read()
    await run_pending_tasks()
    harness.provider.wait = None

    await harness.write(200)
    may_answer.set()
    await run_pending_tasks()

    after = await harness.read()
    assert (ledger_minor_units(after), get_state(after)) == (200, "live")


async def test_an_unsettled_account_is_not_refreshed(harness: CacheHarness) -> None:
    await harness.reads.begin_write(harness.accounts[0], "w1")
    await harness.read()
    harness.time.advance(AGING_S)

    await harness.read()
    await run_pending_tasks()

    assert [priority for priority, _ in harness.provider.priorities] == [Priority.FOREGROUND] * 2


async def test_refreshes_start_at_random_ages() -> None:
    starts = REFRESH_FROM

    assert 0.5 < starts[0] < starts[1] < 1.0


async def test_a_read_with_a_stale_value_does_not_wait_for_the_budget(
    harness: CacheHarness,
) -> None:
    await harness.read()
    harness.time.advance(100)
    harness.provider.failing = ProviderRateLimited("Spent.", retry_after_s=9)

    answer = await harness.read()

    assert get_state(answer) == "stale"
    assert harness.provider.priorities[-1] == (Priority.FOREGROUND, 0.0)


@pytest.mark.parametrize("cached_count", [1, 4])
async def test_a_group_waits_if_one_of_its_reads_has_no_stale_value(
    harness: CacheHarness, cached_count: int
) -> None:
    harness.provider.group = lambda query: query.as_of
    for index in range(cached_count):
        await harness.read(index)
    harness.time.advance(100)

    await harness.read_all()

    assert harness.provider.priorities[-1] == (
        Priority.FOREGROUND,
        0.0 if cached_count == 4 else 20.0,
    )


async def test_joining_a_refresh_raises_its_priority(harness: CacheHarness) -> None:
    """Without the boost the reader would wait at the refresh's background priority."""
    boosts: list[PriorityBoost | None] = []
    may_answer = asyncio.Event()

    async def wait() -> None:
        boosts.append(current_call().boost)
        await may_answer.wait()

    await harness.read()
    harness.time.advance(AGING_S)
    harness.provider.wait = wait
    await harness.read()
    await run_pending_tasks()
    (boost,) = boosts
    assert boost is not None
    requested_before = boost.requested.is_set()
    harness.time.advance(2)

    reading = asyncio.ensure_future(harness.read())
    await run_pending_tasks()
    requested_after = boost.requested.is_set()
    may_answer.set()

    assert (requested_before, requested_after, boost.max_wait_s) == (False, True, 20.0)
    assert get_state(await reading) == "live"
    assert len(harness.provider.calls) == 2


async def test_on_stale_error_waits_for_the_budget(
    harness: CacheHarness,
) -> None:
    await harness.read()
    harness.time.advance(31)

    await harness.read(on_stale=OnStale.ERROR)

    assert harness.provider.priorities[-1] == (Priority.FOREGROUND, 20.0)


async def test_a_value_too_old_to_serve_does_not_prevent_waiting(harness: CacheHarness) -> None:
    await harness.read()
    harness.time.advance(CacheHarness.LIFETIMES.stale_s + 1)

    await harness.read()

    assert harness.provider.priorities[-1] == (Priority.FOREGROUND, 20.0)
