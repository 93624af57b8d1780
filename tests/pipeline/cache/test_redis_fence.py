"""The fence in a real Redis, as several replicas see it."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from balance_gateway.domain.errors import CacheUnavailable, Internal
from balance_gateway.pipeline.cache.cache_store import CacheEntry, RedisStore
from balance_gateway.pipeline.cache.fence import FenceState
from balance_gateway.pipeline.cache.redis_fence import RedisFences
from balance_gateway.pipeline.redis_client import RedisClient
from tests.servers import redis_server

HOLD_S = 40.0
Replica = Callable[..., RedisFences]


@pytest.fixture
def replica(link: RedisClient) -> Replica:
    """Starts a process that has seen no epoch yet."""

    def start(*, writes_may_land: bool = False) -> RedisFences:
        async def journal_says() -> bool:
            return writes_may_land

        return RedisFences(link, HOLD_S, journal_says)

    return start


async def standing(fences: RedisFences, key: str = "a") -> FenceState:
    (only,) = await fences.states([key])
    return only


async def run_out(link: RedisClient, name: str) -> None:
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

    await one.begin_write("a", "w1")
    during = await standing(other)
    await one.end_write("a", "w1")
    after = await standing(other)

    assert len({before.nonce, during.nonce, after.nonce}) == 3
    assert [before.settled, during.settled, after.settled] == [True, False, True]


async def test_standings_come_in_order_and_writes_leave_others_alone(replica: Replica) -> None:
    fences = replica()
    before = await fences.states(["a", "b", "c"])

    await fences.begin_write("b", "w1")
    after = await fences.states(["a", "b", "c"])

    assert [one.settled for one in after] == [True, False, True]
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1].nonce != before[1].nonce


async def test_of_two_writes_in_flight_both_have_to_end(replica: Replica) -> None:
    one, other = replica(), replica()
    await one.begin_write("a", "w1")
    await other.begin_write("a", "w2")

    await one.end_write("a", "w1")
    after_one = await standing(one)
    await other.end_write("a", "w2")
    after_both = await standing(one)

    assert (after_one.settled, after_both.settled) == (False, True)


async def test_a_write_without_an_answer_is_held_and_expires(
    replica: Replica, link: RedisClient
) -> None:
    fences = replica()
    await fences.begin_write("a", "w1")
    left_ms = await link.client.pttl(link.key("w:a"))
    held = await standing(fences)

    await run_out(link, "w:a")
    after = await standing(fences)

    assert 30_000 < left_ms <= 40_000
    assert (held.settled, after.settled) == (False, True)
    assert after.nonce == held.nonce


async def test_each_write_is_held_for_its_own_time(replica: Replica, link: RedisClient) -> None:
    fences = replica()
    await fences.hold("a", "short", 10.0)
    await fences.begin_write("a", "long")
    both_ms = await link.client.pttl(link.key("w:a"))

    await fences.end_write("a", "long")
    short_ms = await link.client.pttl(link.key("w:a"))
    await fences.end_write("a", "short")

    assert 30_000 < both_ms <= 40_000
    assert 5_000 < short_ms <= 10_000
    assert (await standing(fences)).settled
    assert not await link.client.exists(link.key("w:a"), link.key("h:a"))


async def test_a_write_whose_hold_ran_out_takes_nobody_along_as_it_ends(replica: Replica) -> None:
    fences = replica()
    await fences.hold("a", "slow", 0.001)
    await asyncio.sleep(0.01)
    await fences.begin_write("a", "next")

    await fences.end_write("a", "slow")
    after_slow = await standing(fences)
    await fences.end_write("a", "next")

    assert not after_slow.settled
    assert (await standing(fences)).settled


async def test_a_write_that_is_held_while_it_is_alive_after_all_is_one(replica: Replica) -> None:
    alive, starting = replica(), replica()
    await alive.begin_write("a", "w1")
    await starting.hold("a", "w1", 30.0)

    await alive.end_write("a", "w1")

    assert (await standing(starting)).settled


async def test_a_hold_is_seen_and_expires_and_never_shortens_another(
    replica: Replica, link: RedisClient
) -> None:
    fences = replica()
    before = await standing(fences)

    await fences.hold("a", "w1", 20.0)
    held = await standing(fences)
    await fences.hold("a", "w1", 1.0)
    left_ms = await link.client.pttl(link.key("w:a"))
    await fences.hold("a", "w1", 30.0)
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
    replica: Replica, link: RedisClient
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
    replica: Replica, link: RedisClient
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
    replica: Replica, link: RedisClient
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
    replica: Replica, link: RedisClient
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
    replica: Replica, link: RedisClient
) -> None:
    fences = replica()
    before = await standing(fences)
    await link.client.delete(link.key("n:a"))

    after = await standing(fences)

    assert after.settled
    assert after.nonce != before.nonce


async def test_another_server_is_noticed_and_what_it_has_is_quarantined(
    replica: Replica, link: RedisClient
) -> None:
    """A server that is back from an older snapshot has an older epoch, and older values."""
    one, other = replica(), replica()
    before = await standing(one)
    await standing(other)

    link.server.run_id = "another"
    by_one = await standing(one)
    by_other = await standing(other)
    by_newcomer = await standing(replica())
    await run_out(link, "quarantine")
    after = await standing(one)

    assert by_one == by_other == by_newcomer
    assert not by_one.settled
    assert before.nonce != by_one.nonce == after.nonce
    assert after.settled


async def test_a_redis_that_is_back_from_an_older_snapshot_is_quarantined(tmp_path: Path) -> None:
    """Everything in it fits together: the epoch, the nonce and the value kept under it."""

    async def no_writes() -> bool:
        return False

    with redis_server(tmp_path) as server:
        link = RedisClient.open(server.url)
        fences, values = RedisFences(link, HOLD_S, no_writes), RedisStore(link, 100.0)
        before = await standing(fences)
        await values.put({"v": CacheEntry(before.nonce, 1.0, 1.0, None)})
        await link.client.save()
        await fences.begin_write("a", "w1")
        await fences.end_write("a", "w1")
        server.stop()
        server.start()

        with contextlib.suppress(CacheUnavailable):
            await link.run(link.client.ping, always=True)
        await link.run(link.client.ping, always=True)
        after = await standing(fences)
        (kept,) = await values.get(["v"])
        await link.aclose()

    assert kept is not None
    assert kept.nonce == before.nonce != after.nonce
    assert before.settled
    assert not after.settled


async def test_who_may_not_ask_for_the_server_takes_it_for_the_same(
    replica: Replica, link: RedisClient
) -> None:
    before = await standing(replica())

    link.server.run_id = ""

    assert await standing(replica()) == before


async def test_without_the_journal_lost_keys_are_the_cache_out_of_reach(link: RedisClient) -> None:
    """It once failed every read of the request."""

    async def out_of_reach() -> bool:
        raise Internal("The write journal is out of reach.")

    fences = RedisFences(link, HOLD_S, out_of_reach)

    with pytest.raises(CacheUnavailable):
        await fences.states(["a"])


async def test_a_write_that_cannot_be_fenced_is_refused(tmp_path: object) -> None:
    link = RedisClient.open(f"unix://{tmp_path}/nobody.sock")

    async def no_writes() -> bool:
        return False

    fences = RedisFences(link, HOLD_S, no_writes)

    for act in (
        fences.begin_write("a", "w1"),
        fences.end_write("a", "w1"),
        fences.hold("a", "w1", 1.0),
        fences.states(["a"]),
        fences.ping(),
    ):
        with pytest.raises(CacheUnavailable):
            await act


async def test_the_fence_answers_a_ping_and_closes(redis_url: str) -> None:
    link = RedisClient.open(redis_url)

    async def no_writes() -> bool:
        return False

    fences = RedisFences(link, HOLD_S, no_writes)

    await fences.ping()
    await fences.aclose()

    assert link.is_up


@pytest.mark.parametrize(
    ("refusal", "cured"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    ],
    ids=["full", "read only"],
)
async def test_a_redis_that_answers_and_takes_no_writes_fails_the_ping(
    tmp_path: Path, refusal: tuple[str, ...], cured: tuple[str, ...]
) -> None:
    """It once was as good as any, while every write was refused."""
    with redis_server(tmp_path) as server:
        link = RedisClient.open(server.url)

        async def no_writes() -> bool:
            return False

        fences = RedisFences(link, HOLD_S, no_writes)
        await fences.ping()
        was_up = link.is_up

        await link.client.execute_command(*refusal)
        with pytest.raises(CacheUnavailable):
            await fences.ping()
        is_up = link.is_up
        await link.client.execute_command(*cured)
        await fences.ping()
        await link.aclose()

    assert (was_up, is_up, link.is_up) == (True, False, True)
