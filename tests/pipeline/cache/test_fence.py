"""The fence of a single process: one test for each rule of its docstring."""

import pytest

from balance_gateway.pipeline.cache.fence import FenceState, MemoryFences
from tests.pipeline.virtual_time import VirtualTime

HOLD_S = 40.0


@pytest.fixture
def fences(time: VirtualTime) -> MemoryFences:
    return MemoryFences(HOLD_S, time.monotonic)


async def standing(fences: MemoryFences, key: str = "a") -> FenceState:
    (only,) = await fences.states([key])
    return only


async def test_an_account_without_writes_is_settled_and_keeps_its_nonce(
    fences: MemoryFences,
) -> None:
    first = await standing(fences)

    second = await standing(fences)

    assert first == second
    assert first.settled


async def test_a_write_takes_a_new_nonce_as_it_begins_and_another_as_it_ends(
    fences: MemoryFences,
) -> None:
    before = await standing(fences)

    await fences.begin_write("a", "w1")
    during = await standing(fences)
    await fences.end_write("a", "w1")
    after = await standing(fences)

    assert len({before.nonce, during.nonce, after.nonce}) == 3
    assert [before.settled, during.settled, after.settled] == [True, False, True]


async def test_a_write_leaves_other_accounts_alone(fences: MemoryFences) -> None:
    before = await standing(fences, "b")

    await fences.begin_write("a", "w1")

    assert await standing(fences, "b") == before


async def test_standings_come_in_the_order_of_the_keys(fences: MemoryFences) -> None:
    await fences.begin_write("b", "w1")

    standings = await fences.states(["a", "b", "a"])

    assert [one.settled for one in standings] == [True, False, True]
    assert standings[0] == standings[2] != standings[1]


async def test_of_two_writes_in_flight_both_have_to_end(fences: MemoryFences) -> None:
    await fences.begin_write("a", "w1")
    await fences.begin_write("a", "w2")

    await fences.end_write("a", "w1")
    after_one = await standing(fences)
    await fences.end_write("a", "w2")
    after_both = await standing(fences)

    assert (after_one.settled, after_both.settled) == (False, True)


async def test_a_write_without_an_answer_counts_until_the_hold_is_over(
    fences: MemoryFences, time: VirtualTime
) -> None:
    await fences.begin_write("a", "w1")

    time.advance(HOLD_S - 0.001)
    just_before = await standing(fences)
    time.advance(0.001)
    then = await standing(fences)

    assert (just_before.settled, then.settled) == (False, True)


async def test_a_definite_write_does_not_settle_an_account_with_an_unanswered_one(
    fences: MemoryFences, time: VirtualTime
) -> None:
    await fences.begin_write("a", "w1")
    time.advance(10)
    await fences.begin_write("a", "w2")

    await fences.end_write("a", "w2")

    assert not (await standing(fences)).settled


async def test_a_hold_takes_a_new_nonce_and_lasts_as_long_as_it_says(
    fences: MemoryFences, time: VirtualTime
) -> None:
    before = await standing(fences)

    await fences.hold("a", "w1", 5.0)
    held = await standing(fences)
    time.advance(5.0)
    after = await standing(fences)

    assert held.nonce != before.nonce
    assert (held.settled, after.settled) == (False, True)


async def test_a_write_that_ends_after_an_earlier_hold_ran_out_settles_the_account(
    fences: MemoryFences, time: VirtualTime
) -> None:
    """What ran out unseen was once taken for the write that ended, which then counted on."""
    await fences.begin_write("a", "w1")
    time.advance(HOLD_S + 1)
    await fences.begin_write("a", "w2")

    await fences.end_write("a", "w2")

    assert (await standing(fences)).settled


async def test_a_write_whose_hold_ran_out_takes_nobody_along_as_it_ends(
    fences: MemoryFences, time: VirtualTime
) -> None:
    await fences.begin_write("a", "slow")
    time.advance(HOLD_S + 1)
    await fences.begin_write("a", "next")

    await fences.end_write("a", "slow")
    after_slow = await standing(fences)
    await fences.end_write("a", "next")

    assert not after_slow.settled
    assert (await standing(fences)).settled


async def test_a_write_that_is_held_twice_is_one_and_held_for_the_longer_time(
    fences: MemoryFences, time: VirtualTime
) -> None:
    await fences.hold("a", "w1", 20.0)
    await fences.hold("a", "w1", 5.0)

    time.advance(19.0)
    held = await standing(fences)
    await fences.end_write("a", "w1")

    assert not held.settled
    assert (await standing(fences)).settled


async def test_nothing_is_remembered_of_writes_that_are_over(
    fences: MemoryFences, time: VirtualTime
) -> None:
    await fences.begin_write("a", "answered")
    await fences.end_write("a", "answered")
    await fences.begin_write("b", "unanswered")
    time.advance(HOLD_S)
    await standing(fences, "b")

    assert fences._holds_until_s == {}


async def test_an_end_without_a_beginning_does_not_excuse_the_next_write(
    fences: MemoryFences,
) -> None:
    await fences.end_write("a", "w0")

    await fences.begin_write("a", "w1")

    assert not (await standing(fences)).settled
