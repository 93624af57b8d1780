"""What operators read about a Redis that cannot be used, or should not be used as it is."""

import asyncio

import pytest
from redis.asyncio import Redis

from balance_gateway.cli.check import _run_checks
from balance_gateway.config.settings import Settings
from balance_gateway.domain.secret import Secret
from tests.app.gateway_harness import run_gateway, with_cache
from tests.servers import RedisServer


async def test_the_reason_of_a_cache_failure_is_in_check_and_at_readyz(
    demo_settings: Settings, redis: RedisServer
) -> None:
    """A missing password was "unreachable" everywhere."""
    async with Redis.from_url(redis.url) as client:
        await client.config_set("requirepass", "hunter2")
    settings = with_cache(demo_settings, url=Secret(redis.url))

    async with run_gateway(settings) as gateway:
        readiness = await gateway.read_readiness()
    found, _ = await _run_checks(settings, [])
    findings = {finding.name: finding for finding in found}

    reason = "Redis requires a password; put it into cache.url"
    assert readiness["reasons"] == {"cache": reason}
    assert (findings["cache"].ok, findings["cache"].message) == (False, reason)


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("maxmemory-policy", "allkeys-lru", "maxmemory-policy is allkeys-lru: "),
        ("maxmemory-policy", "volatile-ttl", "maxmemory-policy is volatile-ttl: "),
        ("appendonly", "yes", "appendonly is yes: "),
        ("save", "60 1", "save is '60 1': "),
        ("maxmemory-policy", "noeviction", ""),
    ],
)
async def test_unsuitable_settings_of_redis_are_in_check_and_in_the_log(
    demo_settings: Settings,
    redis: RedisServer,
    caplog: pytest.LogCaptureFixture,
    setting: str,
    value: str,
    expected: str,
) -> None:
    async with Redis.from_url(redis.url) as client:
        await client.config_set(setting, value)
    settings = with_cache(demo_settings, url=Secret(redis.url))

    found, _ = await _run_checks(settings, [])
    findings = {finding.name: finding for finding in found}
    caplog.clear()
    async with run_gateway(settings):
        await asyncio.sleep(0.2)

    assert findings["cache"].ok
    assert findings["cache"].message.startswith(expected)
    assert bool(findings["cache"].message) is bool(expected)
    logged = [each.__dict__["risk"] for each in caplog.records if "risk" in each.__dict__]
    assert logged == ([findings["cache"].message] if expected else [])
