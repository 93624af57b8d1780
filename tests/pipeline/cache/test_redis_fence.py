"""The fence in a real Redis, used by several replicas."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from balance_gateway.domain.errors import CacheUnavailable, Internal
from balance_gateway.pipeline.cache.cache_store import CacheEntry, NewValue, RedisStore
from balance_gateway.pipeline.cache.fence import FenceState
from balance_gateway.pipeline.cache.redis_fence import RedisFences
from balance_gateway.pipeline.redis_client import RedisClient
from tests.servers import redis_server

HOLD_S = 40.0
Replica = Callable[..., RedisFences]


@pytest.fixture
def replica(redis: RedisClient) -> Replica:
    """Build replicas that have seen no epoch yet."""

    def start(*, has_unsettled_writes: bool = False) -> RedisFences:
        async def ask_journal() -> bool:
            return has_unsettled_writes

        return RedisFences(redis, HOLD_S, ask_journal)

    return start


async def read_state(fences: RedisFences, key: str = "a") -> FenceState:
    (only,) = await fences.states([key])
    return only


async def expire_now(redis: RedisClient, name: str) -> None:
    """Expire a key."""
    assert await redis.client.pexpire(redis.key(name), 1)
    await asyncio.sleep(0.005)


async def test_replicas_see_the_same_state(replica: Replica) -> None:
    one, other = replica(), replica()

    states = [await read_state(one), await read_state(other), await read_state(one)]

    assert states[0] == states[1] == states[2]
    assert states[0].settled


async def test_replicas_that_start_together_agree_on_epoch_and_nonces(replica: Replica) -> None:
    replicas = [replica() for _ in range(8)]

    at_once = await asyncio.gather(*(read_state(one) for one in replicas))
    states = [await read_state(one) for one in replicas]

    assert len({*at_once, *states}) == 1
    assert states[0].settled


async def test_a_write_of_one_replica_is_visible_to_the_other(replica: Replica) -> None:
    one, other = replica(), replica()
    before = await read_state(other)

    await one.begin_write("a", "w1")
    during = await read_state(other)
    await one.end_write("a", "w1")
    after = await read_state(other)

    assert len({before.nonce, during.nonce, after.nonce}) == 3
    assert [before.settled, during.settled, after.settled] == [True, False, True]


async def test_states_are_in_key_order_and_writes_do_not_affect_others(replica: Replica) -> None:
    fences = replica()
    before = await fences.states(["a", "b", "c"])

    await fences.begin_write("b", "w1")
    after = await fences.states(["a", "b", "c"])

    assert [one.settled for one in after] == [True, False, True]
    assert (after[0].nonce, after[2].nonce) == (before[0].nonce, before[2].nonce)
    assert after[1].nonce != before[1].nonce


async def test_two_writes_in_flight_must_both_end(replica: Replica) -> None:
    one, other = replica(), replica()
    await one.begin_write("a", "w1")
    await other.begin_write("a", "w2")

    await one.end_write("a", "w1")
    after_one = await read_state(one)
    await other.end_write("a", "w2")
    after_both = await read_state(one)

    assert (after_one.settled, after_both.settled) == (False, True)


async def test_an_unanswered_write_is_held_until_its_hold_expires(
    replica: Replica, redis: RedisClient
) -> None:
    fences = replica()
    await fences.begin_write("a", "w1")
    left_ms = await redis.client.pttl(redis.key("w:a"))
    held = await read_state(fences)

    await expire_now(redis, "w:a")
    after = await read_state(fences)

    assert 30_000 < left_ms <= 40_000
    assert (held.settled, after.settled) == (False, True)
    assert after.nonce == held.nonce


async def test_each_write_has_its_own_hold(replica: Replica, redis: RedisClient) -> None:
    fences = replica()
    await fences.hold("a", "short", 10.0)
    await fences.begin_write("a", "long")
    both_ms = await redis.client.pttl(redis.key("w:a"))

    await fences.end_write("a", "long")
    short_ms = await redis.client.pttl(redis.key("w:a"))
    await fences.end_write("a", "short")

    assert 30_000 < both_ms <= 40_000
    assert 5_000 < short_ms <= 10_000
    assert (await read_state(fences)).settled
    assert not await redis.client.exists(redis.key("w:a"), redis.key("h:a"))


async def test_a_write_that_outlasted_its_hold_ends_no_other_write(replica: Replica) -> None:
    fences = replica()
    await fences.hold("a", "slow", 0.001)
    await asyncio.sleep(0.01)
    await fences.begin_write("a", "next")

    await fences.end_write("a", "slow")
    after_slow = await read_state(fences)
    await fences.end_write("a", "next")

    assert not after_slow.settled
    assert (await read_state(fences)).settled


async def test_holding_a_write_of_a_live_process_counts_once(replica: Replica) -> None:
    alive, starting = replica(), replica()
    await alive.begin_write("a", "w1")
    await starting.hold("a", "w1", 30.0)

    await alive.end_write("a", "w1")

    assert (await read_state(starting)).settled


async def test_a_second_hold_never_shortens_the_first(replica: Replica, redis: RedisClient) -> None:
    fences = replica()
    before = await read_state(fences)

    await fences.hold("a", "w1", 20.0)
    held = await read_state(fences)
    await fences.hold("a", "w1", 1.0)
    left_ms = await redis.client.pttl(redis.key("w:a"))
    await fences.hold("a", "w1", 30.0)
    longer_ms = await redis.client.pttl(redis.key("w:a"))

    assert held.nonce != before.nonce
    assert not held.settled
    assert 10_000 < left_ms <= 20_000 < longer_ms <= 30_000


async def test_a_new_cache_without_unsettled_writes_has_no_quarantine(replica: Replica) -> None:
    fences = replica()

    first = await read_state(fences)

    assert first.settled
    assert first.nonce.startswith("t-")


async def test_unsettled_writes_in_the_journal_quarantine_a_new_cache(
    replica: Replica, redis: RedisClient
) -> None:
    fences = replica(has_unsettled_writes=True)

    first = await read_state(fences)
    left_ms = await redis.client.pttl(redis.key("quarantine"))
    await expire_now(redis, "quarantine")
    after = await read_state(fences)

    assert not first.settled
    assert 30_000 < left_ms <= 40_000
    assert after.settled


async def test_a_process_that_saw_an_epoch_quarantines_lost_keys(
    replica: Replica, redis: RedisClient
) -> None:
    fences = replica()
    before = await read_state(fences)
    await redis.client.flushdb()

    lost = await read_state(fences)
    await expire_now(redis, "quarantine")
    after = await read_state(fences)

    assert not lost.settled
    assert after.settled
    assert before.nonce not in (lost.nonce, after.nonce)


async def test_an_epoch_replaced_without_quarantine_is_replaced_again_with_one(
    replica: Replica, redis: RedisClient
) -> None:
    """A process that starts right after the loss cannot detect it; the other replicas can."""
    old, newcomer = replica(), replica()
    await read_state(old)
    await redis.client.flushdb()
    trusted = await read_state(newcomer)

    seen_by_old = await read_state(old)
    seen_by_newcomer = await read_state(newcomer)

    assert trusted.settled
    assert not seen_by_old.settled
    assert not seen_by_newcomer.settled
    assert seen_by_newcomer.nonce == seen_by_old.nonce != trusted.nonce


async def test_all_replicas_accept_an_epoch_opened_with_a_quarantine(
    replica: Replica, redis: RedisClient
) -> None:
    one, other = replica(), replica()
    await read_state(one)
    await read_state(other)
    await redis.client.flushdb()

    by_one = await read_state(one)
    by_other = await read_state(other)

    assert by_one == by_other
    assert not by_one.settled


async def test_a_lost_nonce_is_replaced_and_invalidates_values(
    replica: Replica, redis: RedisClient
) -> None:
    fences = replica()
    before = await read_state(fences)
    await redis.client.delete(redis.key("n:a"))

    after = await read_state(fences)

    assert after.settled
    assert after.nonce != before.nonce


async def test_a_change_of_server_is_detected_and_quarantined(
    replica: Replica, redis: RedisClient
) -> None:
    """A server restored from an older snapshot has an older epoch and older values."""
    one, other = replica(), replica()
    before = await read_state(one)
    await read_state(other)

    redis.server.run_id = "another"
    by_one = await read_state(one)
    by_other = await read_state(other)
    by_newcomer = await read_state(replica())
    await expire_now(redis, "quarantine")
    after = await read_state(one)

    assert by_one == by_other == by_newcomer
    assert not by_one.settled
    assert before.nonce != by_one.nonce == after.nonce
    assert after.settled


async def test_a_redis_restored_from_an_older_snapshot_is_quarantined(tmp_path: Path) -> None:
    """Its epoch, its nonce and the value stored under it are consistent, but old."""

    async def no_writes() -> bool:
        return False

    with redis_server(tmp_path) as server:
        redis = RedisClient.open(server.url)
        fences, values = RedisFences(redis, HOLD_S, no_writes), RedisStore(redis, 100.0)
        before = await read_state(fences)
        entry = CacheEntry(before.nonce, 1.0, 1.0, None)
        await values.keep({"v": NewValue(entry, "a", "account", before.seq)})
        await redis.client.save()
        await fences.begin_write("a", "w1")
        await fences.end_write("a", "w1")
        server.stop()
        server.start()

        with contextlib.suppress(CacheUnavailable):
            await redis.run(redis.client.ping, ignore_backoff=True)
        await redis.run(redis.client.ping, ignore_backoff=True)
        after = await read_state(fences)
        (stored,) = await values.get(["v"])
        await redis.aclose()

    assert stored is not None
    assert stored.nonce == before.nonce != after.nonce
    assert before.settled
    assert not after.settled


async def test_an_unknown_server_is_assumed_to_be_the_same(
    replica: Replica, redis: RedisClient
) -> None:
    before = await read_state(replica())

    redis.server.run_id = ""

    assert await read_state(replica()) == before


async def test_lost_keys_without_the_journal_raise_cache_unavailable(redis: RedisClient) -> None:
    """The journal's error once failed every read of the request."""

    async def fail() -> bool:
        raise Internal("The write journal is unreachable.")

    fences = RedisFences(redis, HOLD_S, fail)

    with pytest.raises(CacheUnavailable):
        await fences.states(["a"])


async def test_an_unreachable_redis_refuses_writes(tmp_path: object) -> None:
    redis = RedisClient.open(f"unix://{tmp_path}/missing.sock")

    async def no_writes() -> bool:
        return False

    fences = RedisFences(redis, HOLD_S, no_writes)

    for operation in (
        fences.begin_write("a", "w1"),
        fences.end_write("a", "w1"),
        fences.hold("a", "w1", 1.0),
        fences.states(["a"]),
        fences.ping(),
    ):
        with pytest.raises(CacheUnavailable):
            await operation


async def test_the_fence_answers_a_ping_and_closes(redis_url: str) -> None:
    redis = RedisClient.open(redis_url)

    async def no_writes() -> bool:
        return False

    fences = RedisFences(redis, HOLD_S, no_writes)

    await fences.ping()
    await fences.aclose()

    assert redis.is_up


@pytest.mark.parametrize(
    ("refusal", "cure"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    ],
    ids=["full", "read only"],
)
async def test_a_redis_that_refuses_writes_fails_the_ping(
    tmp_path: Path, refusal: tuple[str, ...], cure: tuple[str, ...]
) -> None:
    """Such a Redis once passed the readiness check while every write was refused."""
    with redis_server(tmp_path) as server:
        redis = RedisClient.open(server.url)

        async def no_writes() -> bool:
            return False

        fences = RedisFences(redis, HOLD_S, no_writes)
        await fences.ping()
        was_up = redis.is_up

        await redis.client.execute_command(*refusal)
        with pytest.raises(CacheUnavailable):
            await fences.ping()
        is_up = redis.is_up
        await redis.client.execute_command(*cure)
        await fences.ping()
        await redis.aclose()

    assert (was_up, is_up, redis.is_up) == (True, False, True)
