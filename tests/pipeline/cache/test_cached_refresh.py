"""Refreshing ahead of expiry: for values in use, once at a time, and behind whoever waits."""

import asyncio

import pytest

from balance_gateway.domain.errors import ProviderRateLimited
from balance_gateway.pipeline.cache.cache_entry_rules import REFRESH_FROM
from balance_gateway.ports.call_context import (
    Priority,
    PriorityBoost,
    current_call,
)
from balance_gateway.ports.reads import (
    OnStale,
)
from tests.pipeline.fakes import World, ledger_of, state_of, turns

AGING_S, FRESH_S = 29, 22  # of 30: refreshed from 0.75 to 0.95 of a lifetime on


async def test_a_value_in_use_is_read_anew_before_it_expires(world: World) -> None:
    await world.read()
    world.time.advance(AGING_S)
    world.provider.value = 200

    served = await world.read()
    await turns()
    world.time.advance(2)
    later = await world.read()

    assert (ledger_of(served), state_of(served)) == (100, "cached")
    assert (ledger_of(later), state_of(later)) == (200, "cached")
    assert len(world.provider.calls) == 2


async def test_a_value_that_is_still_young_is_left_alone(world: World) -> None:
    await world.read()
    world.time.advance(FRESH_S)

    await world.read()
    await turns()

    assert len(world.provider.calls) == 1


async def test_a_value_that_nobody_uses_is_left_to_expire(world: World) -> None:
    await world.read()

    await asyncio.sleep(100)

    assert len(world.provider.calls) == 1


async def test_a_value_is_refreshed_once_at_a_time(world: World) -> None:
    may_answer = asyncio.Event()
    await world.read()
    world.time.advance(AGING_S)
    world.provider.wait = may_answer.wait

    answers = [await world.read() for _ in range(5)]
    answers += await asyncio.gather(*(world.read() for _ in range(5)))
    may_answer.set()
    await turns()

    assert {state_of(answer) for answer in answers} == {"cached"}
    assert len(world.provider.calls) == 2


async def test_a_refresh_goes_behind_whoever_waits_and_waits_for_no_budget(world: World) -> None:
    await world.read()
    world.time.advance(AGING_S)

    await world.read()
    await turns()

    assert world.provider.moods == [(Priority.FOREGROUND, 20.0), (Priority.BACKGROUND, 0.0)]


async def test_a_refresh_changes_nothing_for_its_reader(world: World) -> None:
    await world.read()
    world.time.advance(AGING_S)
    world.provider.failing = KeyError("a defect")

    served = await world.read()
    await turns()
    world.time.advance(0.5)
    again = await world.read()

    assert (state_of(served), state_of(again)) == ("cached", "cached")


async def test_whoever_wants_a_younger_value_is_not_put_off_with_the_background(
    world: World,
) -> None:
    """Such a read once flew as a refresh: without patience, on what the budget leaves to it."""
    await world.read()
    world.time.advance(AGING_S)

    await world.read(max_age_s=5)

    assert [urgent for urgent, _ in world.provider.moods] == [Priority.FOREGROUND] * 2


async def test_to_go_and_look_at_an_aging_value_is_one_call(world: World) -> None:
    await world.read()
    world.time.advance(AGING_S)

    looked = await world.read(max_age_s=0)
    await turns()

    assert state_of(looked) == "live"
    assert len(world.provider.calls) == 2


async def test_a_group_is_refreshed_in_one_call(world: World) -> None:
    world.provider.group = lambda query: query.as_of
    await world.read_all()
    world.time.advance(AGING_S)

    await world.read_all()
    await turns()

    assert [len(call) for call in world.provider.calls] == [4, 4]


async def test_a_refresh_that_a_write_overtook_is_not_kept(world: World) -> None:
    await world.read()
    world.time.advance(AGING_S)
    may_answer = asyncio.Event()
    world.provider.wait = may_answer.wait
    await world.read()
    await turns()
    world.provider.wait = None

    await world.write(200)
    may_answer.set()
    await turns()

    after = await world.read()
    assert (ledger_of(after), state_of(after)) == (200, "live")


async def test_an_unsettled_account_is_not_refreshed(world: World) -> None:
    await world.reads.begin_write(world.accounts[0], "w1")
    await world.read()
    world.time.advance(AGING_S)

    await world.read()
    await turns()

    assert [urgent for urgent, _ in world.provider.moods] == [Priority.FOREGROUND] * 2


async def test_refreshes_do_not_all_begin_at_the_same_age() -> None:
    starts = REFRESH_FROM

    assert 0.5 < starts[0] < starts[1] < 1.0


async def test_who_has_a_value_to_fall_back_on_waits_for_no_budget(world: World) -> None:
    await world.read()
    world.time.advance(100)
    world.provider.failing = ProviderRateLimited("Spent.", retry_after_s=9)

    answer = await world.read()

    assert state_of(answer) == "stale"
    assert world.provider.moods[-1] == (Priority.FOREGROUND, 0.0)


@pytest.mark.parametrize("kept", [1, 4])
async def test_a_group_has_patience_while_one_of_it_has_nothing_to_fall_back_on(
    world: World, kept: int
) -> None:
    world.provider.group = lambda query: query.as_of
    for index in range(kept):
        await world.read(index)
    world.time.advance(100)

    await world.read_all()

    assert world.provider.moods[-1] == (Priority.FOREGROUND, 0.0 if kept == 4 else 20.0)


async def test_who_comes_to_wait_for_a_refresh_makes_it_hurry(world: World) -> None:
    """A refresh goes behind all who are waited for: a reader would queue with it."""
    hurries: list[PriorityBoost | None] = []
    may_answer = asyncio.Event()

    async def wait() -> None:
        hurries.append(current_call().boost)
        await may_answer.wait()

    await world.read()
    world.time.advance(AGING_S)
    world.provider.wait = wait
    await world.read()
    await turns()
    (hurrying,) = hurries
    assert hurrying is not None
    unhurried = not hurrying.requested.is_set()
    world.time.advance(2)

    reading = asyncio.ensure_future(world.read())
    await turns()
    hurried = hurrying.requested.is_set()
    may_answer.set()

    assert (unhurried, hurried, hurrying.max_wait_s) == (True, True, 20.0)
    assert state_of(await reading) == "live"
    assert len(world.provider.calls) == 2


async def test_who_takes_no_stale_value_waits_for_the_budget_like_one_who_has_none(
    world: World,
) -> None:
    await world.read()
    world.time.advance(31)

    await world.read(on_stale=OnStale.ERROR)

    assert world.provider.moods[-1] == (Priority.FOREGROUND, 20.0)


async def test_a_value_too_old_to_be_served_is_nothing_to_fall_back_on(world: World) -> None:
    await world.read()
    world.time.advance(World.LIFETIMES.stale_s + 1)

    await world.read()

    assert world.provider.moods[-1] == (Priority.FOREGROUND, 20.0)
