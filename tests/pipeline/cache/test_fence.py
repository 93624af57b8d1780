"""The fence of a single process: one test for each rule of its docstring."""

import pytest

from balance_gateway.pipeline.cache.fence import FenceState, MemoryFences
from tests.pipeline.virtual_time import VirtualTime

HOLD_S = 40.0


@pytest.fixture
def fences(time: VirtualTime) -> MemoryFences:
    return MemoryFences(HOLD_S, time.monotonic)


async def read_state(fences: MemoryFences, key: str = "a") -> FenceState:
    (only,) = await fences.states([key])
    return only


async def test_an_account_without_writes_is_settled_and_keeps_its_nonce(
    fences: MemoryFences,
) -> None:
    first = await read_state(fences)

    second = await read_state(fences)

    assert first == second
    assert first.settled


async def test_a_write_sets_a_new_nonce_at_its_begin_and_its_end(
    fences: MemoryFences,
) -> None:
    before = await read_state(fences)

    await fences.begin_write("a", "w1")
    during = await read_state(fences)
    await fences.end_write("a", "w1")
    after = await read_state(fences)

    assert len({before.nonce, during.nonce, after.nonce}) == 3
    assert [before.settled, during.settled, after.settled] == [True, False, True]


async def test_a_write_does_not_affect_other_accounts(fences: MemoryFences) -> None:
    before = await read_state(fences, "b")

    await fences.begin_write("a", "w1")

    assert await read_state(fences, "b") == before


async def test_states_are_returned_in_key_order(fences: MemoryFences) -> None:
    await fences.begin_write("b", "w1")

    states = await fences.states(["a", "b", "a"])

    assert [one.settled for one in states] == [True, False, True]
    assert states[0] == states[2] != states[1]


async def test_two_writes_in_flight_must_both_end(fences: MemoryFences) -> None:
    await fences.begin_write("a", "w1")
    await fences.begin_write("a", "w2")

    await fences.end_write("a", "w1")
    after_one = await read_state(fences)
    await fences.end_write("a", "w2")
    after_both = await read_state(fences)

    assert (after_one.settled, after_both.settled) == (False, True)


async def test_an_unanswered_write_is_in_flight_until_its_hold_expires(
    fences: MemoryFences, time: VirtualTime
) -> None:
    await fences.begin_write("a", "w1")

    time.advance(HOLD_S - 0.001)
    just_before = await read_state(fences)
    time.advance(0.001)
    after = await read_state(fences)

    assert (just_before.settled, after.settled) == (False, True)


async def test_ending_a_write_does_not_end_an_unanswered_one(
    fences: MemoryFences, time: VirtualTime
) -> None:
    await fences.begin_write("a", "w1")
    time.advance(10)
    await fences.begin_write("a", "w2")

    await fences.end_write("a", "w2")

    assert not (await read_state(fences)).settled


async def test_a_hold_sets_a_new_nonce_and_lasts_for_its_duration(
    fences: MemoryFences, time: VirtualTime
) -> None:
    before = await read_state(fences)

    await fences.hold("a", "w1", 5.0)
    held = await read_state(fences)
    time.advance(5.0)
    after = await read_state(fences)

    assert held.nonce != before.nonce
    assert (held.settled, after.settled) == (False, True)


async def test_ending_a_write_after_an_expired_hold_settles_the_account(
    fences: MemoryFences, time: VirtualTime
) -> None:
    """The end once removed the expired hold in place of the write's own, which stayed in flight."""
    await fences.begin_write("a", "w1")
    time.advance(HOLD_S + 1)
    await fences.begin_write("a", "w2")

    await fences.end_write("a", "w2")

    assert (await read_state(fences)).settled


async def test_a_write_that_outlasted_its_hold_ends_no_other_write(
    fences: MemoryFences, time: VirtualTime
) -> None:
    await fences.begin_write("a", "slow")
    time.advance(HOLD_S + 1)
    await fences.begin_write("a", "next")

    await fences.end_write("a", "slow")
    after_slow = await read_state(fences)
    await fences.end_write("a", "next")

    assert not after_slow.settled
    assert (await read_state(fences)).settled


async def test_holding_a_write_twice_keeps_the_longer_hold(
    fences: MemoryFences, time: VirtualTime
) -> None:
    await fences.hold("a", "w1", 20.0)
    await fences.hold("a", "w1", 5.0)

    time.advance(19.0)
    held = await read_state(fences)
    await fences.end_write("a", "w1")

    assert not held.settled
    assert (await read_state(fences)).settled


async def test_finished_writes_leave_no_holds(fences: MemoryFences, time: VirtualTime) -> None:
    await fences.begin_write("a", "answered")
    await fences.end_write("a", "answered")
    await fences.begin_write("b", "unanswered")
    time.advance(HOLD_S)
    await read_state(fences, "b")

    assert fences._holds_until_s == {}


async def test_an_end_without_a_begin_does_not_end_the_next_write(
    fences: MemoryFences,
) -> None:
    await fences.end_write("a", "w0")

    await fences.begin_write("a", "w1")

    assert not (await read_state(fences)).settled
