"""What operators read about a Redis that cannot be used, or should not be used as it is."""

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
    findings = {finding.name: finding for finding in await _run_checks(settings)}

    reason = "Redis requires a password; put it into cache.url"
    assert readiness["reasons"] == {"cache": reason}
    assert (findings["cache"].ok, findings["cache"].message) == (False, reason)
