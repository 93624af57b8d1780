"""Cached reads around writes: nothing older than an acknowledged write is ever kept or shared."""

import asyncio

import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import CacheUnavailable, ProviderUnavailable
from tests.pipeline.fakes import World, ledger_of, state_of, turns
from tests.pipeline.virtual_time import VirtualTime


async def test_a_write_drops_what_was_kept(world: World) -> None:
    await world.read()

    await world.write(200)

    after = await world.read()
    assert (ledger_of(after), state_of(after)) == (200, "live")


async def test_a_write_drops_every_day_and_the_opening_balance(world: World) -> None:
    await world.read(is_today=False)
    await world.reads.opening_balances(world.accounts[:1])

    await world.write(200)

    other_day = await world.read(is_today=False)
    (opening,) = await world.reads.opening_balances(world.accounts[:1])
    assert (state_of(other_day), state_of(opening)) == ("live", "live")


async def test_a_write_drops_nothing_of_other_accounts(world: World) -> None:
    await world.read(1)

    await world.write(200)

    assert state_of(await world.read(1)) == "cached"


async def test_a_dropped_value_is_not_served_stale_either(world: World) -> None:
    await world.read()
    await world.write(200)
    world.provider.failing = ProviderUnavailable("It is down.")

    after = await world.read()

    assert state_of(after) == "PROVIDER_UNAVAILABLE"


async def slow_read(world: World) -> tuple["asyncio.Task[object]", asyncio.Event]:
    """A read that has the provider's answer and is still on its way back."""
    may_answer = asyncio.Event()
    world.provider.wait = may_answer.wait
    reading = asyncio.ensure_future(world.read())
    await turns()
    world.provider.wait = None
    return reading, may_answer


async def test_a_slow_read_that_a_write_overtook_is_not_kept(world: World) -> None:
    reading, may_answer = await slow_read(world)
    await world.write(200)

    may_answer.set()
    overtaken = await reading

    after = await world.read()
    assert ledger_of(overtaken) == 100
    assert (ledger_of(after), state_of(after)) == (200, "live")


async def test_a_slow_read_that_lands_during_a_write_is_not_kept(world: World) -> None:
    reading, may_answer = await slow_read(world)
    await world.reads.begin_write(world.accounts[0], "w1")

    may_answer.set()
    await reading
    await world.reads.end_write(world.accounts[0], "w1")

    assert state_of(await world.read()) == "live"


async def test_a_read_that_starts_during_a_write_and_lands_after_it_is_not_kept(
    world: World,
) -> None:
    await world.reads.begin_write(world.accounts[0], "w1")
    reading, may_answer = await slow_read(world)
    world.provider.value = 200
    await world.reads.end_write(world.accounts[0], "w1")

    may_answer.set()
    await reading

    after = await world.read()
    assert (ledger_of(after), state_of(after)) == (200, "live")


async def test_a_read_after_a_write_joins_no_flight_from_before_it(world: World) -> None:
    reading, may_answer = await slow_read(world)
    await world.write(200)

    after = await world.read()

    may_answer.set()
    await reading
    assert ledger_of(after) == 200
    assert len(world.provider.calls) == 2


async def test_a_read_after_a_write_joins_no_flight_from_during_it(world: World) -> None:
    await world.reads.begin_write(world.accounts[0], "w1")
    reading, may_answer = await slow_read(world)
    world.provider.value = 200
    await world.reads.end_write(world.accounts[0], "w1")

    after = await world.read()

    may_answer.set()
    await reading
    assert ledger_of(after) == 200


async def test_while_a_write_is_in_flight_reads_are_neither_kept_nor_shared(
    world: World,
) -> None:
    await world.reads.begin_write(world.accounts[0], "w1")

    answers = await asyncio.gather(*(world.read() for _ in range(3)))

    assert {state_of(answer) for answer in answers} == {"live"}
    assert len(world.provider.calls) == 3
    assert world.values.puts == []


async def test_a_write_without_an_answer_holds_until_it_can_no_longer_land(
    world: World,
) -> None:
    await world.reads.begin_write(world.accounts[0], "w1")

    world.time.advance(World.HOLD_S - 1)
    await world.read()
    unsettled = await world.read()
    world.time.advance(1)
    await world.read()
    settled = await world.read()

    assert (state_of(unsettled), state_of(settled)) == ("live", "cached")


async def test_a_held_account_is_not_kept(world: World) -> None:
    await world.read()

    await world.reads.hold(world.accounts[0], "w1", 5.0)
    held = [await world.read(), await world.read()]
    world.time.advance(5.0)
    after = [await world.read(), await world.read()]

    assert [state_of(answer) for answer in held] == ["live", "live"]
    assert [state_of(answer) for answer in after] == ["live", "cached"]


async def test_an_unsettled_account_in_a_batch_leaves_the_others_kept(world: World) -> None:
    world.provider.group = lambda query: query.as_of
    await world.reads.begin_write(world.accounts[0], "w1")

    await world.read_all()
    answers = await world.read_all()

    assert [state_of(answer) for answer in answers] == ["live", "cached", "cached", "cached"]
    assert world.provider.calls[1] == ["acct_a"]


async def test_with_the_cache_out_of_reach_reads_go_to_the_provider(world: World) -> None:
    await world.read()
    world.fences.lost = True

    answers = await asyncio.gather(*(world.read() for _ in range(3)))

    assert {state_of(answer) for answer in answers} == {"live"}
    assert len(world.provider.calls) == 4
    assert len(world.values.puts) == 1


async def test_with_the_cache_out_of_reach_writes_are_refused_and_ends_are_not(
    world: World,
) -> None:
    await world.reads.begin_write(world.accounts[0], "w1")
    world.fences.lost = True

    await world.reads.end_write(world.accounts[0], "w1")

    with pytest.raises(CacheUnavailable):
        await world.reads.begin_write(world.accounts[0], "w1")
    with pytest.raises(CacheUnavailable):
        await world.reads.hold(world.accounts[0], "w1", 1.0)


async def test_kept_values_out_of_reach_are_read_anew(world: World) -> None:
    await world.read()
    world.values.lost_to_get = True

    answer = await world.read()

    assert state_of(answer) == "live"


async def test_a_value_that_cannot_be_kept_is_still_answered(world: World) -> None:
    world.values.lost_to_put = True

    answers = [await world.read(), await world.read()]

    assert [state_of(answer) for answer in answers] == ["live", "live"]


async def test_a_read_of_unknown_standing_joins_nobody(world: World) -> None:
    """Two processes' writes cannot be seen then, so that no flight is known to be after them."""
    world.fences.lost = True
    reading, may_answer = await slow_read(world)
    world.provider.value = 200

    after = await world.read()

    may_answer.set()
    await reading
    assert ledger_of(after) == 200


async def test_a_write_of_one_layer_account_drops_its_whole_business(time: VirtualTime) -> None:
    world = World(time, ProviderKind.LAYER, business_id="one business")
    await world.read(1)

    await world.write(200)

    assert state_of(await world.read(1)) == "live"


async def test_writes_of_the_embedded_ledger_need_no_fence(time: VirtualTime) -> None:
    world = World(time, ProviderKind.LOCAL)
    world.fences.lost = True

    await world.write(200)
    await world.reads.hold(world.accounts[0], "w1", 5.0)

    assert ledger_of(await world.read()) == 200
