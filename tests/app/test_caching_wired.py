"""The cache is wired: what is kept for how long, what is told of Redis, and what outlives what."""

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
    PassingClock,
    Sandbox,
    caching,
    changed,
    impatient,
    running,
)
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


def states(answers: list[Any]) -> list[str]:
    return [answer.state.value if hasattr(answer, "state") else answer.code for answer in answers]


async def test_values_outlive_the_process_in_redis_and_stand_in_while_the_provider_is_down(
    demo_settings: Settings, sandbox: Sandbox, redis: RedisServer
) -> None:
    settings, clock = caching(demo_settings, url=Secret(redis.url)), PassingClock()

    async with running(settings, clock) as house:
        before = await house.read()
    clock.advance(settings.cache.past_ttl_s + 1)
    sandbox.fault("status", provider="light", status=503)
    async with running(settings, clock) as house:
        after = await house.read()

    assert states(before + after) == ["live", "stale"]
    assert before[0].value == after[0].value


async def test_replicas_that_ask_for_one_value_at_once_make_one_call(
    demo_settings: Settings, sandbox: Sandbox, redis: RedisServer
) -> None:
    settings = caching(demo_settings, url=Secret(redis.url))

    async with running(settings) as one, running(settings) as other:
        sandbox.fault("delay", provider="light", delay_s=0.3)
        answers = await asyncio.gather(one.read(), other.read())

    assert states(answers[0] + answers[1]).count("live") == 1
    assert sandbox.calls("light") == 1


@pytest.mark.parametrize(
    ("lifetimes", "kept_s"),
    [
        ({"stale_ttl_s": 5000.0}, 5000),
        ({"stale_ttl_s": 1.0, "opening_balance_ttl_s": 400.0}, 600),
        ({"stale_ttl_s": 1.0, "opening_balance_ttl_s": 4000.0}, 4000),
    ],
)
async def test_redis_keeps_a_value_for_as_long_as_it_may_be_asked_for(
    demo_settings: Settings, redis: RedisServer, lifetimes: dict[str, float], kept_s: int
) -> None:
    settings = caching(demo_settings, url=Secret(redis.url), **lifetimes)

    async with running(settings) as house, Redis.from_url(redis.url) as client:
        await house.read()
        (value,) = await client.keys("balance-gateway:v:*")
        left_s = await client.ttl(value)

    assert kept_s - 60 < left_s <= kept_s


@pytest.mark.parametrize("passed_s", [650, 850])
async def test_a_value_stands_in_for_as_long_as_is_configured(
    demo_settings: Settings, sandbox: Sandbox, passed_s: float
) -> None:
    settings, clock = caching(demo_settings, stale_ttl_s=700.0), PassingClock()

    async with running(settings, clock) as house:
        await house.read()
        sandbox.fault("status", provider="light", status=503)
        clock.advance(passed_s)
        answers = await house.read()

    assert states(answers) == ["stale" if passed_s < 700 else "PROVIDER_UNAVAILABLE"]


@pytest.mark.parametrize(
    ("lifetime", "kind"),
    [("today_ttl_s", "today"), ("past_ttl_s", "other"), ("opening_balance_ttl_s", "opening")],
)
async def test_each_kind_of_value_is_fresh_for_as_long_as_is_configured(
    demo_settings: Settings, lifetime: str, kind: str
) -> None:
    lifetimes = dict.fromkeys(("today_ttl_s", "past_ttl_s", "opening_balance_ttl_s"), 1000.0)
    settings = caching(demo_settings, **{**lifetimes, lifetime: 100.0})
    clock = PassingClock()

    async with running(settings, clock) as house:

        async def look() -> str:
            if kind == "opening":
                return states(await house.read_opening_balance("layer-operating-checking"))[0]
            day = clock().date() if kind == "today" else date(2026, 2, 2)
            return states(await house.read(day=day, is_today=kind == "today"))[0]

        told = [await look(), await look()]
        clock.advance(101)
        told.append(await look())
        clock.advance(101)
        told.append(await look())

    assert told == ["live", "cached", "live", "live"]


async def test_a_cache_that_is_switched_off_keeps_nothing(
    demo_settings: Settings, redis: RedisServer
) -> None:
    for url in ("memory://", redis.url):
        async with running(caching(demo_settings, url=Secret(url), enabled=False)) as house:
            told = states(await house.read()) + states(await house.read())
        assert told == ["live", "live"]


@pytest.mark.parametrize(("entries_max", "again"), [(1, "live"), (2, "cached")])
async def test_the_memory_keeps_as_many_values_as_configured(
    demo_settings: Settings, entries_max: int, again: str
) -> None:
    async with running(caching(demo_settings, entries_max=entries_max)) as house:
        one, other = house.accounts("light-acme")[:2]
        told = [states(await house.read(account))[0] for account in (one, other, other, one)]

    assert told == ["live", "live", "cached", again]


async def test_reads_are_over_before_their_request_is_and_answer_what_is_kept(
    demo_settings: Settings, sandbox: Sandbox
) -> None:
    """The request's own deadline knows of no older value."""
    settings, clock = impatient(demo_settings, 2.0), PassingClock()
    query = f"""{{ bankAccount(id: "{LIGHT}") {{
        balance(asOf: "2026-02-02") {{ freshness {{ state }} }} }} }}"""

    async with running(settings, clock) as house:
        first = await house.ask(query)
        clock.advance(settings.cache.past_ttl_s + 1)
        sandbox.fault("delay", provider="light", delay_s=3.0)
        then = await house.ask(query)

    told = [one["data"]["bankAccount"]["balance"] for one in (first, then)]
    assert told == [{"freshness": {"state": state}} for state in ("LIVE", "STALE")]


async def test_what_the_cache_does_is_counted(demo_settings: Settings, sandbox: Sandbox) -> None:
    clock = PassingClock()
    async with running(changed(demo_settings, timeout_s=0.2), clock) as house:

        async def counted() -> dict[str, float | None]:
            names = ("reads_coalesced", "refreshes", "fills_fenced")
            return {name: await house.metric(f"{name}_total") for name in names}

        sandbox.fault("delay", provider="light", delay_s=0.1, times=1)
        await asyncio.gather(house.read(), house.read(), house.read())
        after_equal_reads = await counted()
        clock.advance(0.96 * demo_settings.cache.past_ttl_s)
        await house.read()
        after_an_aging_one = await counted()
        sandbox.fault("delay", provider="light", method="PUT", delay_s=3.0)
        await house.write(5)
        await house.read()
        after_an_uncertain_write = await counted()
        read = [
            await house.metric("reads_total", kind="balance", state=state)
            for state in ("live", "cached")
        ]

    assert after_equal_reads == {"reads_coalesced": 2.0, "refreshes": 0.0, "fills_fenced": 0.0}
    assert after_an_aging_one == {"reads_coalesced": 2.0, "refreshes": 1.0, "fills_fenced": 0.0}
    assert after_an_uncertain_write["fills_fenced"] == 1.0
    assert read == [4.0, 1.0]


async def test_who_is_turned_away_at_the_door_is_counted(demo_settings: Settings) -> None:
    async with running(demo_settings) as house:
        await house.ask("{ __typename }")
        before = await house.metric("requests_turned_away_total")
        status = await house.status_of_a_request_received_long_ago()
        after = await house.metric("requests_turned_away_total")

    assert (before, status, after) == (0.0, 503, 1.0)
