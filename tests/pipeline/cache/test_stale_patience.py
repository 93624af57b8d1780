"""Stale patience: a hanging provider costs a second where a stale value is accepted."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from balance_gateway.ports.reads import OnStale
from tests.pipeline.fakes import (
    CacheHarness,
    get_state,
    ledger_minor_units,
    request,
    run_pending_tasks,
)
from tests.pipeline.virtual_time import VirtualTime

EXPIRED_S = 31.0  # of 30 s


class PatientHarness(CacheHarness):
    """Serves stale values of any kind."""

    LIFETIMES = replace(CacheHarness.LIFETIMES, stale_s=10_000.0)


async def hang_after_a_read(harness: CacheHarness, *accounts: int) -> asyncio.Event:
    """Read the accounts, let their values expire, and let the provider hang until the event."""
    for number in accounts:
        await harness.read(number)
    harness.time.advance(EXPIRED_S)
    may_answer = asyncio.Event()
    harness.provider.wait = may_answer.wait
    harness.provider.value = 200
    return may_answer


async def measure(harness: CacheHarness, **changes: Any) -> tuple[Any, float]:
    started_s = harness.time.monotonic()
    return await harness.read(**changes), harness.time.monotonic() - started_s


async def test_a_hanging_provider_costs_a_second_where_stale_is_accepted(
    harness: CacheHarness,
) -> None:
    """A provider that accepted and never answered once cost every reader its whole timeout."""
    await hang_after_a_read(harness, 0)

    result, took_s = await measure(harness)

    assert (get_state(result), ledger_minor_units(result)) == ("stale", 100)
    assert took_s == pytest.approx(1.0)
    assert "has not answered within 1 s" in result.stale_reason


async def test_the_late_answer_of_a_hanging_provider_is_cached(harness: CacheHarness) -> None:
    may_answer = await hang_after_a_read(harness, 0)
    await harness.read()

    joined, _ = await measure(harness)
    may_answer.set()
    await run_pending_tasks()
    later = await harness.read()

    assert get_state(joined) == "stale"
    assert (get_state(later), ledger_minor_units(later)) == ("cached", 200)
    assert len(harness.provider.calls) == 2


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"max_age_s": 0}, "stale"),
        ({"max_age_s": 31}, "stale"),
        ({"on_stale": OnStale.ERROR}, "TOO_STALE"),
        ({"of": 1}, "PROVIDER_TIMEOUT"),
    ],
)
async def test_readers_that_refuse_the_stale_value_wait(
    harness: CacheHarness, changes: dict[str, Any], state: str
) -> None:
    await hang_after_a_read(harness, 0)

    result, took_s = await measure(harness, **changes)

    assert get_state(result) == state
    assert took_s == pytest.approx(20.0)


async def test_a_maximum_age_that_allows_the_stale_value_is_served_it(
    harness: CacheHarness,
) -> None:
    await hang_after_a_read(harness, 0)

    result, took_s = await measure(harness, max_age_s=33)

    assert get_state(result) == "stale"
    assert took_s == pytest.approx(1.0)


async def test_readers_of_one_call_wait_each_for_its_own_reason(harness: CacheHarness) -> None:
    may_answer = await hang_after_a_read(harness, 0)
    of = harness.accounts[0]
    reading = asyncio.ensure_future(
        harness.reads.balances([request(of), request(of, on_stale=OnStale.ERROR)])
    )
    await asyncio.sleep(5.0)
    is_waiting = not reading.done()
    may_answer.set()

    assert is_waiting
    assert [get_state(result) for result in await reading] == ["live", "live"]


async def test_an_opening_balance_is_served_stale_as_well(time: VirtualTime) -> None:
    harness = PatientHarness(time)
    await harness.reads.opening_balances(harness.accounts[:1])
    harness.time.advance(3601.0)
    harness.provider.wait = asyncio.Event().wait
    started_s = harness.time.monotonic()

    (result,) = await harness.reads.opening_balances(harness.accounts[:1])

    assert get_state(result) == "stale"
    assert harness.time.monotonic() - started_s == pytest.approx(1.0)
    await harness.reads.aclose()
