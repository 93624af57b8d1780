"""The fence in a real Redis, as several replicas see it."""

import asyncio
from collections.abc import Callable

import pytest

from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.pipeline.fence import Standing
from balance_gateway.pipeline.redis_fence import RedisFences
from balance_gateway.pipeline.redis_link import RedisLink

HOLD_S = 40.0
Replica = Callable[..., RedisFences]


@pytest.fixture
def replica(link: RedisLink) -> Replica:
    """Starts a process that has seen no epoch yet."""

    def start(*, writes_may_land: bool = False) -> RedisFences:
        async def journal_says() -> bool:
            return writes_may_land

        return RedisFences(link, HOLD_S, journal_says)

    return start


async def standing(fences: RedisFences, key: str = "a") -> Standing:
    (only,) = await fences.standings([key])
    return only


async def run_out(link: RedisLink, name: str) -> None:
    """Lets a key expire now rather than later."""
    assert await link.client.pexpire(link.key(name), 1)
    await asyncio.sleep(0.005)


async def test_replicas_see_the_same_standing(replica: Replica) -> None:
    one, other = replica(), replica()

    standings = [await standing(one), await standing(other), await standing(one)]

    assert standings[0] == standings[1] == standings[2]
    assert standings[0].settled


async def test_replicas_that_start_at_once_agree_on_epoch_and_nonces(replica: Replica) -> None:
    replicas = [replica() for _ in range(8)]

    at_once = await asyncio.gather(*(standing(one) for one in replicas))
    standings = [await standing(one) for one in replicas]

    assert len({*at_once, *standings}) == 1
    assert standings[0].settled


async def test_a_write_of_one_replica_is_seen_by_the_other(replica: Replica) -> None:
    one, other = replica(), replica()
    before = await standing(other)

    await one.begin_write("a")
    during = await standing(other)
    await one.end_write("a")
    after = await standing(other)

    assert len({before.nonce, during.nonce, after.nonce}) == 3
    assert [before.settled, during.settled, after.settled] == [True, False, True]


async def test_standings_come_in_order_and_writes_leave_others_alone(replica: Replica) -> None:
    fences = replica()
    before = await fences.standings(["a", "b", "c"])

    await fences.begin_write("b")
    after = await fences.standings(["a", "b", "c"])

    assert [one.settled for one in after] == [True, False, True]
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1].nonce != before[1].nonce


async def test_of_two_writes_in_flight_both_have_to_end(replica: Replica) -> None:
    one, other = replica(), replica()
    await one.begin_write("a")
    await other.begin_write("a")

    await one.end_write("a")
    after_one = await standing(one)
    await other.end_write("a")
    after_both = await standing(one)

    assert (after_one.settled, after_both.settled) == (False, True)


async def test_a_write_without_an_answer_is_held_and_expires(
    replica: Replica, link: RedisLink
) -> None:
    fences = replica()
    await fences.begin_write("a")
    left_ms = await link.client.pttl(link.key("w:a"))
    held = await standing(fences)

    await run_out(link, "w:a")
    after = await standing(fences)

    assert 30_000 < left_ms <= 40_000
    assert (held.settled, after.settled) == (False, True)
    assert after.nonce == held.nonce


async def test_a_second_write_renews_the_hold_of_the_first(
    replica: Replica, link: RedisLink
) -> None:
    fences = replica()
    await fences.begin_write("a")
    await link.client.pexpire(link.key("w:a"), 1000)

    await fences.begin_write("a")

    assert await link.client.pttl(link.key("w:a")) > 30_000


async def test_an_end_after_the_hold_ran_out_leaves_no_count_below_zero(
    replica: Replica, link: RedisLink
) -> None:
    fences = replica()
    await fences.begin_write("a")
    await run_out(link, "w:a")
    await fences.end_write("a")

    await fences.begin_write("a")

    assert not (await standing(fences)).settled
    assert await link.client.get(link.key("w:a")) == b"1"


async def test_a_hold_is_seen_and_expires_and_never_shortens_another(
    replica: Replica, link: RedisLink
) -> None:
    fences = replica()
    before = await standing(fences)

    await fences.hold("a", 20.0)
    held = await standing(fences)
    await fences.hold("a", 1.0)
    left_ms = await link.client.pttl(link.key("w:a"))
    await fences.hold("a", 30.0)
    longer_ms = await link.client.pttl(link.key("w:a"))

    assert held.nonce != before.nonce
    assert not held.settled
    assert 10_000 < left_ms <= 20_000 < longer_ms <= 30_000


async def test_a_new_cache_needs_no_quarantine_when_no_write_may_land(replica: Replica) -> None:
    fences = replica()

    first = await standing(fences)

    assert first.settled
    assert first.nonce.startswith("t-")


async def test_a_new_cache_is_quarantined_by_a_process_whose_journal_has_open_writes(
    replica: Replica, link: RedisLink
) -> None:
    fences = replica(writes_may_land=True)

    first = await standing(fences)
    left_ms = await link.client.pttl(link.key("quarantine"))
    await run_out(link, "quarantine")
    after = await standing(fences)

    assert not first.settled
    assert 30_000 < left_ms <= 40_000
    assert after.settled


async def test_lost_keys_are_noticed_and_quarantined_by_whoever_saw_an_epoch(
    replica: Replica, link: RedisLink
) -> None:
    fences = replica()
    before = await standing(fences)
    await link.client.flushdb()

    lost = await standing(fences)
    await run_out(link, "quarantine")
    after = await standing(fences)

    assert not lost.settled
    assert after.settled
    assert before.nonce not in (lost.nonce, after.nonce)


async def test_an_epoch_replaced_without_quarantine_is_replaced_again_with_one(
    replica: Replica, link: RedisLink
) -> None:
    """A process that starts just after the loss cannot know of it; the others do."""
    old, newcomer = replica(), replica()
    await standing(old)
    await link.client.flushdb()
    trusted = await standing(newcomer)

    noticed = await standing(old)
    told = await standing(newcomer)

    assert trusted.settled
    assert not noticed.settled
    assert not told.settled
    assert told.nonce == noticed.nonce != trusted.nonce


async def test_an_epoch_opened_with_a_quarantine_is_believed_by_all(
    replica: Replica, link: RedisLink
) -> None:
    one, other = replica(), replica()
    await standing(one)
    await standing(other)
    await link.client.flushdb()

    by_one = await standing(one)
    by_other = await standing(other)

    assert by_one == by_other
    assert not by_one.settled


async def test_nonces_that_alone_were_lost_are_given_anew_and_drop_what_was_kept(
    replica: Replica, link: RedisLink
) -> None:
    fences = replica()
    before = await standing(fences)
    await link.client.delete(link.key("n:a"))

    after = await standing(fences)

    assert after.settled
    assert after.nonce != before.nonce


async def test_a_write_that_cannot_be_fenced_is_refused(tmp_path: object) -> None:
    link = RedisLink.open(f"unix://{tmp_path}/nobody.sock")

    async def no_writes() -> bool:
        return False

    fences = RedisFences(link, HOLD_S, no_writes)

    for act in (
        fences.begin_write("a"),
        fences.end_write("a"),
        fences.hold("a", 1.0),
        fences.standings(["a"]),
        fences.ping(),
    ):
        with pytest.raises(CacheUnavailable):
            await act


async def test_the_fence_answers_a_ping_and_closes(redis_url: str) -> None:
    link = RedisLink.open(redis_url)

    async def no_writes() -> bool:
        return False

    fences = RedisFences(link, HOLD_S, no_writes)

    await fences.ping()
    await fences.aclose()

    assert link.is_up
