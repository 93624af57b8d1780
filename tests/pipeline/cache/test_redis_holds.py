"""Holds in a real Redis at their limits, and a Redis that keeps losing its keys."""

from collections.abc import Callable
from typing import Any

import pytest
from redis.exceptions import ResponseError

from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.pipeline.cache.redis_fence import RedisFences
from balance_gateway.pipeline.redis_client import RedisClient


async def has_no_writes() -> bool:
    return False


@pytest.fixture
def fences(redis: RedisClient) -> RedisFences:
    return RedisFences(redis, 100_000.0, has_no_writes)


async def read_left_ms(redis: RedisClient) -> int:
    left: int = await redis.client.pttl(redis.key("w:a"))
    return left


async def test_a_write_is_held_for_the_configured_time(
    fences: RedisFences, redis: RedisClient
) -> None:
    await fences.begin_write("a", "w1")

    # Less what has passed since: far less than the difference of any other unit or factor.
    assert 99_950_000 < await read_left_ms(redis) <= 100_000_000


async def test_a_hold_lasts_for_its_own_time(fences: RedisFences, redis: RedisClient) -> None:
    await fences.hold("a", "w1", 200_000.0)

    assert 199_900_000 < await read_left_ms(redis) <= 200_000_000


async def test_a_hold_of_no_time_still_renews_the_nonce(fences: RedisFences) -> None:
    (before,) = await fences.states(["a"])

    await fences.hold("a", "w1", 0.0)

    (after,) = await fences.states(["a"])
    assert after.nonce != before.nonce


class LosingRedis:
    """Passes everything to a Redis, and removes all keys before each look-up."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self.lookups = 0
        self.client = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._redis, name, None) or getattr(self._redis.client, name)

    async def mget(self, names: list[str]) -> Any:
        self.lookups += 1
        await self._redis.client.flushdb()
        return await self._redis.client.mget(names)

    async def run(self, command: Callable[[], Any], **options: Any) -> Any:
        return await self._redis.run(command, **options)


async def test_a_redis_that_keeps_losing_its_keys_is_unavailable(redis: RedisClient) -> None:
    losing = LosingRedis(redis)
    fences = RedisFences(losing, 40.0, has_no_writes)  # type: ignore[arg-type]

    with pytest.raises(CacheUnavailable, match="repeatedly lost its keys"):
        await fences.states(["a"])

    assert losing.lookups == 5


async def test_a_write_is_fenced_during_the_backoff_after_a_failure(
    fences: RedisFences, redis: RedisClient
) -> None:
    async def fail() -> None:
        raise OSError

    with pytest.raises(CacheUnavailable):
        await redis.run(fail)
    with pytest.raises(CacheUnavailable):
        await fences.states(["a"])

    await fences.begin_write("a", "w1")

    (state,) = await fences.states(["a"])
    assert not state.settled


async def test_a_fenced_write_shows_that_redis_accepts_writes_again(
    fences: RedisFences, redis: RedisClient
) -> None:
    async def refuse() -> None:
        raise ResponseError("OOM command not allowed")

    with pytest.raises(CacheUnavailable):
        await redis.run(refuse)
    before = redis.is_up

    await fences.begin_write("a", "w1")

    assert (before, redis.is_up) == (False, True)


async def test_an_epoch_without_a_server_is_assumed_to_be_of_this_one(
    fences: RedisFences, redis: RedisClient
) -> None:
    """The replica that opened it could not read the server's identity; this one can."""
    await redis.run(redis.client.ping)
    run_id, redis.server.run_id = redis.server.run_id, ""
    (before,) = await fences.states(["a"])

    redis.server.run_id = run_id

    assert run_id
    assert await RedisFences(redis, 40.0, has_no_writes).states(["a"]) == [before]
