"""The cache is wired: what is kept for how long, what is told of Redis, and what outlives what."""

import asyncio

from redis.asyncio import Redis

from balance_gateway.config.settings import Settings
from balance_gateway.domain.secret import Secret
from balance_gateway.service.opening_balances import Rejected
from tests.app.worlds import caching, running
from tests.servers import RedisServer


async def test_a_redis_that_is_full_is_told_of_though_it_answers(
    demo_settings: Settings, redis: RedisServer
) -> None:
    """Every write was once refused while ``/readyz`` said ready and ``cache_up`` was 1."""
    async with running(caching(demo_settings, url=Secret(redis.url))) as house:
        at_first = [await house.ready(), await house.metric("cache_up")]
        async with Redis.from_url(redis.url) as client:
            await client.config_set("maxmemory", "1")
        written = await house.write(5)
        then = [await house.metric("cache_up"), await house.ready()]
        async with Redis.from_url(redis.url) as client:
            await client.config_set("maxmemory", "0")
        # For longer than reads do without it after a failure.
        await asyncio.sleep(1.1)
        await house.read()
        kept_a_value = await house.metric("cache_up")

    assert at_first == [{"status": "ready", "checks": {"storage": "ok", "cache": "ok"}}, 1.0]
    assert isinstance(written, Rejected)
    assert then == [0.0, {"status": "degraded", "checks": {"storage": "ok", "cache": "failed"}}]
    assert kept_a_value == 1.0


async def test_a_redis_that_is_gone_is_told_of_until_it_is_back(
    demo_settings: Settings, redis: RedisServer
) -> None:
    async with running(caching(demo_settings, url=Secret(redis.url))) as house:
        told = [await house.metric("cache_up")]
        redis.stop()
        gone = await house.ready()
        # For longer than reads do without it after a failure.
        await asyncio.sleep(1.1)
        told.append(await house.metric("cache_up"))
        redis.start()
        back = await house.ready()
        told.append(await house.metric("cache_up"))

    assert (gone["status"], back["status"]) == ("degraded", "ready")
    assert told == [1.0, 0.0, 1.0]
