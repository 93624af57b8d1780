"""Whether a gateway that lost its storage, or its clock, is ready."""

from pathlib import Path

import pytest

from balance_gateway.config.settings import Settings
from balance_gateway.domain.secret import Secret
from balance_gateway.ports.reads import FreshnessState
from balance_gateway.service.opening_balances import Rejected
from tests.app.gateway_harness import (
    AdvancingClock,
    GatewayHarness,
    SandboxClient,
    run_gateway,
    with_cache,
)
from tests.servers import RedisServer


def find_storage(settings: Settings) -> Path:
    return Path(settings.storage.url.reveal().removeprefix("sqlite:///"))


async def read_status(gateway: GatewayHarness) -> int:
    return (await gateway.client.get("/readyz")).status_code


async def test_a_gateway_that_lost_its_storage_is_not_ready(
    demo_settings: Settings, sandbox: SandboxClient
) -> None:
    """It was ready, took writes into a deleted file, and sent them again after its restart."""
    async with run_gateway(demo_settings) as gateway:
        before = await read_status(gateway)
        find_storage(demo_settings).unlink()
        after = await gateway.read_readiness()
        refused = await gateway.write(70_000)

    assert before == 200
    assert after == {"status": "not ready", "checks": {"storage": "failed", "cache": "ok"}}
    assert isinstance(refused, Rejected)
    assert sandbox.count_calls("light", "PUT") == 0


async def test_a_clock_that_differs_from_redis_is_degraded_and_logged(
    demo_settings: Settings, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A replica an hour ahead kept values that were fresh for an hour, and nothing said so."""
    clock = AdvancingClock()
    settings = with_cache(demo_settings, url=Secret(redis.url))
    async with run_gateway(settings, clock) as gateway:
        right = await gateway.read_readiness()
        clock.advance(3600)
        ahead = await gateway.read_readiness()

    assert right["checks"]["clock"] == "ok"
    assert (ahead["status"], ahead["checks"]["clock"]) == ("degraded", "failed")
    skewed = [one for one in caplog.records if one.message == "clock.skewed"]
    assert [one.__dict__["of"] for one in skewed] == ["cache"]
    assert skewed[0].__dict__["ahead_seconds"] == pytest.approx(3600, abs=5)


async def test_a_value_from_the_future_is_not_fresh(
    demo_settings: Settings, redis: RedisServer, sandbox: SandboxClient
) -> None:
    settings = with_cache(demo_settings, url=Secret(redis.url))
    ahead = AdvancingClock()
    ahead.advance(3600)
    async with run_gateway(settings, ahead) as gateway:
        await gateway.read()
    async with run_gateway(settings) as gateway:
        before = sandbox.count_calls("light", "GET")
        [read] = await gateway.read()
        calls = sandbox.count_calls("light", "GET") - before

    assert read.state is FreshnessState.LIVE
    assert calls == 1
