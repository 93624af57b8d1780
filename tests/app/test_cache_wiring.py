"""The wiring of the cache: lifetimes, capacity, Redis, metrics and readiness."""

import asyncio
from datetime import date
from typing import Any

import pytest
from redis.asyncio import Redis

from balance_gateway.config.settings import Settings
from balance_gateway.domain.secret import Secret
from balance_gateway.service.opening_balances import Rejected
from tests.app.gateway_harness import (
    LIGHT,
    AdvancingClock,
    SandboxClient,
    run_gateway,
    with_cache,
    with_connector,
    with_request_timeout,
)
from tests.servers import RedisServer


async def test_a_full_redis_is_reported_by_readiness_and_metrics(
    demo_settings: Settings, redis: RedisServer
) -> None:
    """A full Redis responds to reads, and rejects every write.

    Formerly every write of the gateway was rejected while ``/readyz`` reported ready and
    ``cache_up`` was 1.
    """
    async with run_gateway(with_cache(demo_settings, url=Secret(redis.url))) as gateway:
        initially = [await gateway.read_readiness(), await gateway.read_metric("cache_up")]
        async with Redis.from_url(redis.url) as client:
            await client.config_set("maxmemory", "1")
        written = await gateway.write(5)
        when_full = [await gateway.read_metric("cache_up"), await gateway.read_readiness()]
        async with Redis.from_url(redis.url) as client:
            await client.config_set("maxmemory", "0")
        # Longer than the pause in which reads skip Redis after a failure.
        await asyncio.sleep(1.1)
        await gateway.read()
        after_a_read = await gateway.read_metric("cache_up")

    assert initially == [
        {"status": "ready", "checks": {"storage": "ok", "cache": "ok", "clock": "ok"}},
        1.0,
    ]
    assert isinstance(written, Rejected)
    assert when_full == [
        0.0,
        {
            "status": "degraded",
            "checks": {"storage": "ok", "cache": "failed", "clock": "ok"},
            "reasons": {"cache": "Redis is full; raise maxmemory"},
        },
    ]
    assert after_a_read == 1.0


async def test_an_unavailable_redis_is_reported_until_it_is_back(
    demo_settings: Settings, redis: RedisServer
) -> None:
    async with run_gateway(with_cache(demo_settings, url=Secret(redis.url))) as gateway:
        observed = [await gateway.read_metric("cache_up")]
        redis.stop()
        gone = await gateway.read_readiness()
        # Longer than the pause in which reads skip Redis after a failure.
        await asyncio.sleep(1.1)
        observed.append(await gateway.read_metric("cache_up"))
        redis.start()
        back = await gateway.read_readiness()
        observed.append(await gateway.read_metric("cache_up"))

    assert (gone["status"], back["status"]) == ("degraded", "ready")
    assert observed == [1.0, 0.0, 1.0]


def list_states(reads: list[Any]) -> list[str]:
    return [read.state.value if hasattr(read, "state") else read.code for read in reads]


async def test_values_in_redis_survive_a_restart_and_are_served_stale(
    demo_settings: Settings, sandbox: SandboxClient, redis: RedisServer
) -> None:
    settings, clock = with_cache(demo_settings, url=Secret(redis.url)), AdvancingClock()

    async with run_gateway(settings, clock) as gateway:
        before = await gateway.read()
    clock.advance(settings.cache.past_ttl_s + 1)
    sandbox.inject_fault("status", provider="light", status=503)
    async with run_gateway(settings, clock) as gateway:
        after = await gateway.read()

    assert list_states(before + after) == ["live", "stale"]
    assert before[0].value == after[0].value


async def test_replicas_share_one_call_for_concurrent_reads(
    demo_settings: Settings, sandbox: SandboxClient, redis: RedisServer
) -> None:
    settings = with_cache(demo_settings, url=Secret(redis.url))

    async with run_gateway(settings) as one, run_gateway(settings) as other:
        sandbox.inject_fault("delay", provider="light", delay_s=0.3)
        reads = await asyncio.gather(one.read(), other.read())

    assert list_states(reads[0] + reads[1]).count("live") == 1
    assert sandbox.count_calls("light") == 1


@pytest.mark.parametrize(
    ("lifetimes", "expected_ttl_s"),
    [
        ({"stale_ttl_s": 5000.0}, 5000),
        ({"stale_ttl_s": 1.0, "opening_balance_ttl_s": 400.0}, 600),
        ({"stale_ttl_s": 1.0, "opening_balance_ttl_s": 4000.0}, 4000),
    ],
)
async def test_redis_keeps_a_value_for_its_longest_lifetime(
    demo_settings: Settings, redis: RedisServer, lifetimes: dict[str, float], expected_ttl_s: int
) -> None:
    settings = with_cache(demo_settings, url=Secret(redis.url), **lifetimes)

    async with run_gateway(settings) as gateway, Redis.from_url(redis.url) as client:
        await gateway.read()
        (value,) = await client.keys("balance-gateway:v:*")
        ttl_s = await client.ttl(value)

    assert expected_ttl_s - 60 < ttl_s <= expected_ttl_s


@pytest.mark.parametrize("passed_s", [650, 850])
async def test_a_stale_value_is_served_for_the_configured_time(
    demo_settings: Settings, sandbox: SandboxClient, passed_s: float
) -> None:
    settings, clock = with_cache(demo_settings, stale_ttl_s=700.0), AdvancingClock()

    async with run_gateway(settings, clock) as gateway:
        await gateway.read()
        sandbox.inject_fault("status", provider="light", status=503)
        clock.advance(passed_s)
        reads = await gateway.read()

    assert list_states(reads) == ["stale" if passed_s < 700 else "PROVIDER_UNAVAILABLE"]


@pytest.mark.parametrize(
    ("lifetime", "kind"),
    [("today_ttl_s", "today"), ("past_ttl_s", "other"), ("opening_balance_ttl_s", "opening")],
)
async def test_each_kind_of_value_is_fresh_for_its_configured_time(
    demo_settings: Settings, lifetime: str, kind: str
) -> None:
    lifetimes = dict.fromkeys(("today_ttl_s", "past_ttl_s", "opening_balance_ttl_s"), 1000.0)
    settings = with_cache(demo_settings, **{**lifetimes, lifetime: 100.0})
    clock = AdvancingClock()

    async with run_gateway(settings, clock) as gateway:

        async def read_state() -> str:
            if kind == "opening":
                return list_states(await gateway.read_opening_balance("layer-operating-checking"))[
                    0
                ]
            day = clock().date() if kind == "today" else date(2026, 2, 2)
            return list_states(await gateway.read(day=day, is_today=kind == "today"))[0]

        observed = [await read_state(), await read_state()]
        clock.advance(101)
        observed.append(await read_state())
        clock.advance(101)
        observed.append(await read_state())

    assert observed == ["live", "cached", "live", "live"]


async def test_a_disabled_cache_stores_nothing(demo_settings: Settings, redis: RedisServer) -> None:
    for url in ("memory://", redis.url):
        async with run_gateway(
            with_cache(demo_settings, url=Secret(url), enabled=False)
        ) as gateway:
            observed = list_states(await gateway.read()) + list_states(await gateway.read())
        assert observed == ["live", "live"]


@pytest.mark.parametrize(("entries_max", "again"), [(1, "live"), (2, "cached")])
async def test_the_memory_cache_has_the_configured_capacity(
    demo_settings: Settings, entries_max: int, again: str
) -> None:
    async with run_gateway(with_cache(demo_settings, entries_max=entries_max)) as gateway:
        one, other = gateway.list_accounts("light-acme")[:2]
        observed = [
            list_states(await gateway.read(account))[0] for account in (one, other, other, one)
        ]

    assert observed == ["live", "live", "cached", again]


async def test_reads_time_out_before_their_request_and_fall_back_on_stale_values(
    demo_settings: Settings, sandbox: SandboxClient
) -> None:
    """The request's own deadline ends in an error, although a stale value is cached."""
    settings, clock = with_request_timeout(demo_settings, 2.0), AdvancingClock()
    query = f"""{{ bankAccount(id: "{LIGHT}") {{
        balance(asOf: "2026-02-02") {{ freshness {{ state }} }} }} }}"""

    async with run_gateway(settings, clock) as gateway:
        first = await gateway.query(query)
        clock.advance(settings.cache.past_ttl_s + 1)
        sandbox.inject_fault("delay", provider="light", delay_s=3.0)
        then = await gateway.query(query)

    observed = [one["data"]["bankAccount"]["balance"] for one in (first, then)]
    assert observed == [{"freshness": {"state": state}} for state in ("LIVE", "STALE")]


async def test_coalesced_reads_refreshes_and_fenced_fills_are_counted(
    demo_settings: Settings, sandbox: SandboxClient
) -> None:
    clock = AdvancingClock()
    async with run_gateway(with_connector(demo_settings, timeout_s=0.2), clock) as gateway:

        async def counted() -> dict[str, float | None]:
            names = ("reads_coalesced", "refreshes", "fills_fenced")
            return {name: await gateway.read_metric(f"{name}_total") for name in names}

        sandbox.inject_fault("delay", provider="light", delay_s=0.1, times=1)
        await asyncio.gather(gateway.read(), gateway.read(), gateway.read())
        after_equal_reads = await counted()
        clock.advance(0.96 * demo_settings.cache.past_ttl_s)
        await gateway.read()
        after_a_read_near_expiry = await counted()
        sandbox.inject_fault("delay", provider="light", method="PUT", delay_s=3.0)
        await gateway.write(5)
        await gateway.read()
        after_an_uncertain_write = await counted()
        read = [
            await gateway.read_metric("reads_total", kind="balance", state=state)
            for state in ("live", "cached")
        ]

    assert after_equal_reads == {"reads_coalesced": 2.0, "refreshes": 0.0, "fills_fenced": 0.0}
    assert after_a_read_near_expiry == {
        "reads_coalesced": 2.0,
        "refreshes": 1.0,
        "fills_fenced": 0.0,
    }
    assert after_an_uncertain_write["fills_fenced"] == 1.0
    assert read == [4.0, 1.0]


async def test_requests_rejected_by_load_shedding_are_counted(demo_settings: Settings) -> None:
    async with run_gateway(demo_settings) as gateway:
        await gateway.query("{ __typename }")
        before = await gateway.read_metric("requests_turned_away_total")
        status = await gateway.send_delayed_request()
        after = await gateway.read_metric("requests_turned_away_total")

    assert (before, status, after) == (0.0, 503, 1.0)
