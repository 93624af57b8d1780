"""Cached reads: equal reads and groups share one upstream call; failures stay separate."""

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.balances import BalanceQuery
from balance_gateway.domain.errors import BadInput, ProviderBadResponse, ProviderUnavailable
from tests.pipeline.fakes import (
    TODAY,
    CacheHarness,
    FakeProvider,
    account,
    get_state,
    ledger_minor_units,
    request,
    run_pending_tasks,
)
from tests.pipeline.virtual_time import VirtualTime


def group_by_day(query: BalanceQuery) -> object:
    return "business", query.as_of


async def test_concurrent_equal_reads_are_one_call(harness: CacheHarness) -> None:
    answers = await asyncio.gather(*(harness.read() for _ in range(50)))

    assert harness.provider.calls == [["acct_a"]]
    assert {get_state(answer) for answer in answers} == {"live"}


async def test_concurrent_equal_reads_share_a_failure_with_its_account(
    harness: CacheHarness,
) -> None:
    harness.provider.failing = ProviderUnavailable("It is down.")

    answers = await asyncio.gather(*(harness.read() for _ in range(5)))

    assert len(harness.provider.calls) == 1
    assert {answer.account_id for answer in answers} == {"acct_a"}


async def test_the_same_account_twice_in_one_request_is_one_call(harness: CacheHarness) -> None:
    one = request(harness.accounts[0])

    answers = await harness.reads.balances([one, one, one])

    assert [ledger_minor_units(answer) for answer in answers] == [100, 100, 100]
    assert len(harness.provider.calls) == 1


async def test_many_calls_of_one_request_begin_in_several_turns(harness: CacheHarness) -> None:
    """Beginning 150 calls at once once held up every other request of the process."""
    days = [TODAY - timedelta(days=number) for number in range(50)]
    requests = [request(harness.accounts[0], as_of=day, is_today=False) for day in days]
    begun = [0]

    reading = asyncio.ensure_future(harness.reads.balances(requests))
    while not reading.done():
        begun.append(len(harness.provider.calls))
        await asyncio.sleep(0)

    assert max(after - before for before, after in pairwise(begun)) == 16
    assert len(harness.provider.calls) == 50


async def test_different_accounts_and_days_are_separate_calls(harness: CacheHarness) -> None:
    yesterday = request(harness.accounts[0], as_of=TODAY - timedelta(days=1), is_today=False)

    await harness.reads.balances(
        [request(harness.accounts[0]), request(harness.accounts[1]), yesterday]
    )

    assert sorted(map(len, harness.provider.calls)) == [1, 1, 1]


async def test_cancelling_the_first_reader_does_not_cancel_the_others(
    harness: CacheHarness,
) -> None:
    may_answer = asyncio.Event()
    harness.provider.wait = may_answer.wait
    first = asyncio.ensure_future(harness.read())
    await run_pending_tasks()
    second = asyncio.ensure_future(harness.read())
    await run_pending_tasks()

    first.cancel()
    await run_pending_tasks()
    may_answer.set()
    answer = await second

    assert first.cancelled()
    assert get_state(answer) == "live"
    assert len(harness.provider.calls) == 1


async def test_the_result_of_a_cancelled_reader_is_cached(harness: CacheHarness) -> None:
    may_answer = asyncio.Event()
    harness.provider.wait = may_answer.wait
    first = asyncio.ensure_future(harness.read())
    await run_pending_tasks()
    first.cancel()
    may_answer.set()
    await run_pending_tasks()

    later = await harness.read()

    assert get_state(later) == "cached"


async def test_a_live_read_joins_no_call_and_can_be_joined(harness: CacheHarness) -> None:
    may_answer = asyncio.Event()
    harness.provider.wait = may_answer.wait
    before = asyncio.ensure_future(harness.read())
    await run_pending_tasks()
    harness.provider.value = 200
    live = asyncio.ensure_future(harness.read(max_age_s=0))
    await run_pending_tasks()
    after = asyncio.ensure_future(harness.read())
    await run_pending_tasks()

    may_answer.set()
    answers = await asyncio.gather(before, live, after)

    assert [ledger_minor_units(answer) for answer in answers] == [100, 200, 200]
    assert len(harness.provider.calls) == 2


async def test_a_group_is_one_call_with_results_in_order(harness: CacheHarness) -> None:
    harness.provider.group = group_by_day
    harness.provider.answer = lambda query: FakeProvider._figures(
        set_value(harness.provider, ord(query.account.id[-1])), query
    )
    requests = [request(harness.accounts[index]) for index in (2, 0, 3, 1)]

    answers = await harness.reads.balances(requests)

    assert harness.provider.calls == [["acct_c", "acct_a", "acct_d", "acct_b"]]
    assert [chr(ledger_minor_units(answer)) for answer in answers] == ["c", "a", "d", "b"]


def set_value(provider: FakeProvider, value: int) -> FakeProvider:
    provider.value = value
    return provider


async def test_only_missing_values_of_a_group_are_requested(harness: CacheHarness) -> None:
    harness.provider.group = group_by_day
    await harness.read(1)

    answers = await harness.read_all()

    assert harness.provider.calls == [["acct_b"], ["acct_a", "acct_c", "acct_d"]]
    assert [get_state(answer) for answer in answers] == ["live", "cached", "live", "live"]


async def test_a_failure_inside_a_batch_affects_only_its_account(harness: CacheHarness) -> None:
    harness.provider.group = group_by_day
    figures = harness.provider.answer
    harness.provider.answer = lambda query: (
        ProviderBadResponse("No such row.") if query.account.id == "acct_b" else figures(query)
    )

    first = await harness.read_all()
    second = await harness.read_all()

    assert [get_state(answer) for answer in first] == [
        "live", "PROVIDER_BAD_RESPONSE", "live", "live",
    ]  # fmt: skip
    assert first[1].account_id == "acct_b"
    assert [get_state(answer) for answer in second][::2] == ["cached", "cached"]
    assert harness.provider.calls[1] == ["acct_b"]


async def test_a_failure_of_a_whole_batch_names_each_account(harness: CacheHarness) -> None:
    harness.provider.group = group_by_day
    harness.provider.failing = ProviderUnavailable("It is down.")

    answers = await harness.read_all()

    assert [answer.account_id for answer in answers] == [one.id for one in harness.accounts]


def build_two_provider_harness(time: VirtualTime) -> tuple[CacheHarness, FakeProvider]:
    """Build a harness with accounts c and d at a second provider."""
    harness, second = CacheHarness(time), FakeProvider("second")
    harness.accounts[2:] = [account(f"acct_{name}", connector="second") for name in "cd"]
    harness.providers["second"] = second
    return harness, second


@pytest.mark.parametrize("failure", [KeyError("x"), AssertionError(), ZeroDivisionError()])
async def test_an_unexpected_exception_affects_only_its_own_reads(
    time: VirtualTime, failure: Exception
) -> None:
    harness, second = build_two_provider_harness(time)
    second.failing = failure

    answers = await harness.read_all()

    assert [get_state(answer) for answer in answers] == ["live", "live", "INTERNAL", "INTERNAL"]
    assert [answer.account_id for answer in answers[2:]] == ["acct_c", "acct_d"]


@pytest.mark.parametrize("failure", [BadInput("asOf is too late."), KeyError("x")])
async def test_a_query_that_cannot_be_grouped_fails_alone(
    time: VirtualTime, failure: Exception
) -> None:
    """The end of the calendar's last day cannot be computed, so grouping raised. That once failed
    the whole request, and later reads of the value waited for a call that was never made."""
    harness, second = build_two_provider_harness(time)

    def fail(query: BalanceQuery) -> object:
        raise failure

    second.group = second.answer = fail
    first = await harness.read_all()
    second.group, second.answer = group_by_day, second._figures
    again = await asyncio.wait_for(harness.read_all(), 1)

    refused = "BAD_USER_INPUT" if isinstance(failure, BadInput) else "INTERNAL"
    assert [get_state(answer) for answer in first] == ["live", "live", refused, refused]
    assert [get_state(answer) for answer in again] == ["cached", "cached", "live", "live"]


@pytest.mark.parametrize("answers", [[], ["one"], ["one"] * 5])
async def test_a_wrong_number_of_results_is_a_defect_and_not_cached(
    harness: CacheHarness, answers: list[Any]
) -> None:
    async def answer_wrong_number(queries: object) -> Any:
        return answers

    harness.provider.group = group_by_day
    harness.provider.balances = answer_wrong_number  # type: ignore[method-assign]
    found = await harness.read_all()

    assert {get_state(answer) for answer in found} == {"INTERNAL"}
    assert harness.values.puts == []


async def test_a_hanging_provider_times_out_at_the_deadline(harness: CacheHarness) -> None:
    harness.provider.wait = asyncio.Event().wait
    started_s = harness.time.monotonic()

    answer = await harness.read()

    assert get_state(answer) == "PROVIDER_TIMEOUT"
    assert harness.time.monotonic() - started_s == pytest.approx(20.0)


async def test_a_hanging_provider_does_not_prevent_caching_of_others(time: VirtualTime) -> None:
    harness, second = build_two_provider_harness(time)
    second.wait = asyncio.Event().wait

    answers = await harness.read_all()
    cached = await harness.read(0)

    assert [get_state(answer) for answer in answers][::2] == ["live", "PROVIDER_TIMEOUT"]
    assert get_state(cached) == "cached"


async def test_closing_fails_reads_in_flight(
    harness: CacheHarness,
) -> None:
    harness.provider.wait = asyncio.Event().wait
    reading = asyncio.ensure_future(harness.read())
    await run_pending_tasks()

    await harness.reads.aclose()

    assert get_state(await reading) == "INTERNAL"


async def test_the_embedded_ledger_is_neither_cached_nor_shared(time: VirtualTime) -> None:
    harness = CacheHarness(time, ProviderKind.LOCAL)

    await harness.read()
    harness.provider.value = 200
    second, third = await asyncio.gather(harness.read(), harness.read())

    assert (ledger_minor_units(second), ledger_minor_units(third)) == (200, 200)
    assert len(harness.provider.calls) == 3
    assert harness.values.puts == []


async def test_a_call_is_joined_only_if_its_result_is_young_enough(
    harness: CacheHarness,
) -> None:
    may_answer = asyncio.Event()
    harness.provider.wait = may_answer.wait
    first = asyncio.ensure_future(harness.read())
    await run_pending_tasks()
    harness.time.advance(9)

    demanding = asyncio.ensure_future(harness.read(max_age_s=2))
    patient = asyncio.ensure_future(harness.read(max_age_s=10))
    await run_pending_tasks()
    calls = len(harness.provider.calls)
    may_answer.set()
    ages = [
        (harness.time.clock() - answer.observed_at).total_seconds()
        for answer in await asyncio.gather(first, demanding, patient)
    ]

    assert calls == 2
    assert [round(age_s) for age_s in ages] == [9, 0, 0]


async def test_of_two_overlapping_calls_with_different_values_none_is_cached(
    harness: CacheHarness,
) -> None:
    """Which of them is the newer one is not known, and readers have seen both."""
    may_answer = asyncio.Event()
    harness.provider.wait = may_answer.wait
    slow = asyncio.ensure_future(harness.read())
    await run_pending_tasks()
    harness.provider.wait, harness.provider.value = None, 200

    newer = await harness.read(max_age_s=0)
    may_answer.set()
    older = await slow
    later = await harness.read()

    assert [ledger_minor_units(answer) for answer in (newer, older, later)] == [200, 100, 200]
    assert get_state(later) == "live"


async def test_of_two_overlapping_calls_with_equal_values_one_is_cached(
    harness: CacheHarness,
) -> None:
    may_answer = asyncio.Event()
    harness.provider.wait = may_answer.wait
    slow = asyncio.ensure_future(harness.read())
    await run_pending_tasks()
    harness.provider.wait = None
    await harness.read(max_age_s=0)
    may_answer.set()
    await slow

    assert get_state(await harness.read()) == "cached"


async def test_a_call_that_another_one_has_overlapped_is_joined_no_more(
    harness: CacheHarness,
) -> None:
    first_may_answer, second_may_answer = asyncio.Event(), asyncio.Event()
    harness.provider.wait = first_may_answer.wait
    first = asyncio.ensure_future(harness.read())
    await run_pending_tasks()
    harness.provider.wait = second_may_answer.wait
    second = asyncio.ensure_future(harness.read(max_age_s=0))
    await run_pending_tasks()
    harness.provider.value = 200
    first_may_answer.set()
    await first
    harness.provider.wait = None

    third = await harness.read()
    second_may_answer.set()
    await second

    assert ledger_minor_units(third) == 200
    assert len(harness.provider.calls) == 3
