"""Cached reads: one upstream call for equal reads and for a group, and failures that stay apart."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.balances import BalanceQuery
from balance_gateway.domain.errors import BadInput, ProviderBadResponse, ProviderUnavailable
from tests.pipeline.fakes import (
    TODAY,
    FakeProvider,
    World,
    account,
    ledger_of,
    request,
    state_of,
    turns,
)
from tests.pipeline.virtual_time import VirtualTime


def whole_business(query: BalanceQuery) -> object:
    return "business", query.as_of


async def test_equal_reads_at_once_are_one_call(world: World) -> None:
    answers = await asyncio.gather(*(world.read() for _ in range(50)))

    assert world.provider.calls == [["acct_a"]]
    assert {state_of(answer) for answer in answers} == {"live"}


async def test_equal_reads_at_once_share_a_failure_and_each_is_located(world: World) -> None:
    world.provider.failing = ProviderUnavailable("It is down.")

    answers = await asyncio.gather(*(world.read() for _ in range(5)))

    assert len(world.provider.calls) == 1
    assert {answer.account_id for answer in answers} == {"acct_a"}


async def test_the_same_account_twice_in_one_request_is_one_call(world: World) -> None:
    one = request(world.accounts[0])

    answers = await world.reads.balances([one, one, one])

    assert [ledger_of(answer) for answer in answers] == [100, 100, 100]
    assert len(world.provider.calls) == 1


async def test_other_accounts_and_days_are_other_calls(world: World) -> None:
    yesterday = request(world.accounts[0], as_of=TODAY - timedelta(days=1), is_today=False)

    await world.reads.balances([request(world.accounts[0]), request(world.accounts[1]), yesterday])

    assert sorted(map(len, world.provider.calls)) == [1, 1, 1]


async def test_a_starter_that_goes_away_takes_no_waiter_down(world: World) -> None:
    may_answer = asyncio.Event()
    world.provider.wait = may_answer.wait
    starter = asyncio.ensure_future(world.read())
    await turns()
    waiter = asyncio.ensure_future(world.read())
    await turns()

    starter.cancel()
    await turns()
    may_answer.set()
    answer = await waiter

    assert starter.cancelled()
    assert state_of(answer) == "live"
    assert len(world.provider.calls) == 1


async def test_what_a_lonely_starter_that_went_away_asked_for_is_kept(world: World) -> None:
    may_answer = asyncio.Event()
    world.provider.wait = may_answer.wait
    starter = asyncio.ensure_future(world.read())
    await turns()
    starter.cancel()
    may_answer.set()
    await turns()

    later = await world.read()

    assert state_of(later) == "cached"


async def test_to_go_and_look_joins_no_flight_and_is_joined(world: World) -> None:
    may_answer = asyncio.Event()
    world.provider.wait = may_answer.wait
    before = asyncio.ensure_future(world.read())
    await turns()
    world.provider.value = 200
    looking = asyncio.ensure_future(world.read(max_age_s=0))
    await turns()
    after = asyncio.ensure_future(world.read())
    await turns()

    may_answer.set()
    answers = await asyncio.gather(before, looking, after)

    assert [ledger_of(answer) for answer in answers] == [100, 200, 200]
    assert len(world.provider.calls) == 2


async def test_a_group_is_one_call_answered_in_order(world: World) -> None:
    world.provider.group = whole_business
    world.provider.answer = lambda query: FakeProvider._figures(
        with_value(world.provider, ord(query.account.id[-1])), query
    )
    requests = [request(world.accounts[index]) for index in (2, 0, 3, 1)]

    answers = await world.reads.balances(requests)

    assert world.provider.calls == [["acct_c", "acct_a", "acct_d", "acct_b"]]
    assert [chr(ledger_of(answer)) for answer in answers] == ["c", "a", "d", "b"]


def with_value(provider: FakeProvider, value: int) -> FakeProvider:
    provider.value = value
    return provider


async def test_only_what_is_missing_of_a_group_is_asked_for(world: World) -> None:
    world.provider.group = whole_business
    await world.read(1)

    answers = await world.read_all()

    assert world.provider.calls == [["acct_b"], ["acct_a", "acct_c", "acct_d"]]
    assert [state_of(answer) for answer in answers] == ["live", "cached", "live", "live"]


async def test_a_failure_inside_a_batch_is_its_own_accounts_alone(world: World) -> None:
    world.provider.group = whole_business
    figures = world.provider.answer
    world.provider.answer = lambda query: (
        ProviderBadResponse("No such row.") if query.account.id == "acct_b" else figures(query)
    )

    first = await world.read_all()
    second = await world.read_all()

    assert [state_of(answer) for answer in first] == [
        "live", "PROVIDER_BAD_RESPONSE", "live", "live",
    ]  # fmt: skip
    assert first[1].account_id == "acct_b"
    assert [state_of(answer) for answer in second][::2] == ["cached", "cached"]
    assert world.provider.calls[1] == ["acct_b"]


async def test_a_failure_of_a_whole_batch_names_each_account(world: World) -> None:
    world.provider.group = whole_business
    world.provider.failing = ProviderUnavailable("It is down.")

    answers = await world.read_all()

    assert [answer.account_id for answer in answers] == [one.id for one in world.accounts]


def of_two_providers(time: VirtualTime) -> tuple[World, FakeProvider]:
    """A world whose accounts c and d are at a second provider."""
    world, second = World(time), FakeProvider("second")
    world.accounts[2:] = [account(f"acct_{name}", connector="second") for name in "cd"]
    world.providers["second"] = second
    return world, second


@pytest.mark.parametrize("failure", [KeyError("x"), AssertionError(), ZeroDivisionError()])
async def test_an_unexpected_exception_is_internal_for_its_own_reads_only(
    time: VirtualTime, failure: Exception
) -> None:
    world, second = of_two_providers(time)
    second.failing = failure

    answers = await world.read_all()

    assert [state_of(answer) for answer in answers] == ["live", "live", "INTERNAL", "INTERNAL"]
    assert [answer.account_id for answer in answers[2:]] == ["acct_c", "acct_d"]


@pytest.mark.parametrize("failure", [BadInput("asOf is too late."), KeyError("x")])
async def test_a_query_that_cannot_be_grouped_fails_alone_and_leaves_nothing_in_the_air(
    time: VirtualTime, failure: Exception
) -> None:
    """The end of the last day of the calendar cannot be told; it failed the whole request, and
    every later read of the same value waited for a flight that nobody flew."""
    world, second = of_two_providers(time)

    def fail(query: BalanceQuery) -> object:
        raise failure

    second.group = second.answer = fail
    first = await world.read_all()
    second.group, second.answer = whole_business, second._figures
    again = await asyncio.wait_for(world.read_all(), 1)

    refused = "BAD_USER_INPUT" if isinstance(failure, BadInput) else "INTERNAL"
    assert [state_of(answer) for answer in first] == ["live", "live", refused, refused]
    assert [state_of(answer) for answer in again] == ["cached", "cached", "live", "live"]


@pytest.mark.parametrize("answers", [[], ["one"], ["one"] * 5])
async def test_a_wrong_number_of_answers_is_a_defect_and_nothing_is_kept(
    world: World, answers: list[Any]
) -> None:
    async def too_few(queries: object) -> Any:
        return answers

    world.provider.group = whole_business
    world.provider.balances = too_few  # type: ignore[method-assign]
    found = await world.read_all()

    assert {state_of(answer) for answer in found} == {"INTERNAL"}
    assert world.values.puts == []


async def test_a_provider_that_hangs_is_given_up_at_the_deadline(world: World) -> None:
    world.provider.wait = asyncio.Event().wait
    started_s = world.time.monotonic()

    answer = await world.read()

    assert state_of(answer) == "PROVIDER_TIMEOUT"
    assert world.time.monotonic() - started_s == pytest.approx(20.0)


async def test_one_that_hangs_holds_no_other_back_from_being_kept(time: VirtualTime) -> None:
    world, second = of_two_providers(time)
    second.wait = asyncio.Event().wait

    answers = await world.read_all()
    kept = await world.read(0)

    assert [state_of(answer) for answer in answers][::2] == ["live", "PROVIDER_TIMEOUT"]
    assert state_of(kept) == "cached"


async def test_reads_in_the_air_at_the_end_are_given_up_and_not_left_hanging(
    world: World,
) -> None:
    world.provider.wait = asyncio.Event().wait
    reading = asyncio.ensure_future(world.read())
    await turns()

    await world.reads.aclose()

    assert state_of(await reading) == "INTERNAL"


async def test_the_embedded_ledger_is_neither_kept_nor_shared(time: VirtualTime) -> None:
    world = World(time, ProviderKind.LOCAL)

    await world.read()
    world.provider.value = 200
    second, third = await asyncio.gather(world.read(), world.read())

    assert (ledger_of(second), ledger_of(third)) == (200, 200)
    assert len(world.provider.calls) == 3
    assert world.values.puts == []


async def test_a_flight_is_joined_only_by_those_for_whom_it_brings_what_is_young_enough(
    world: World,
) -> None:
    may_answer = asyncio.Event()
    world.provider.wait = may_answer.wait
    first = asyncio.ensure_future(world.read())
    await turns()
    world.time.advance(9)

    demanding = asyncio.ensure_future(world.read(max_age_s=2))
    patient = asyncio.ensure_future(world.read(max_age_s=10))
    await turns()
    calls = len(world.provider.calls)
    may_answer.set()
    ages = [
        (world.time.clock() - answer.observed_at).total_seconds()
        for answer in await asyncio.gather(first, demanding, patient)
    ]

    assert calls == 2
    assert [round(age_s) for age_s in ages] == [9, 0, 0]


async def test_an_older_flight_that_lands_late_pushes_no_newer_value_out(world: World) -> None:
    may_land = asyncio.Event()
    world.provider.wait = may_land.wait
    slow = asyncio.ensure_future(world.read())
    await turns()
    world.provider.wait, world.provider.value = None, 200

    newer = await world.read(max_age_s=0)
    may_land.set()
    older = await slow
    later = await world.read()

    assert [ledger_of(answer) for answer in (newer, older, later)] == [200, 100, 200]
    assert state_of(later) == "cached"
