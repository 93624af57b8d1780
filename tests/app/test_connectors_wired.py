"""What lies around every call to a provider is wired: gates, budgets, retries, metrics."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest

from balance_gateway.config.settings import Settings
from balance_gateway.domain.health import HealthState
from balance_gateway.domain.secret import Secret
from balance_gateway.ports.reads import (
    Observed,
)
from balance_gateway.service.opening_balances import Applied, Rejected, Uncertain
from tests.app.gateway_harness import DAY, LIGHT, Sandbox, caching, changed, impatient, running
from tests.providers.doubles import LightDouble, Received, Reply, serving
from tests.servers import RedisServer

WRITES = {"connector": "light-acme", "operation": "opening-balance write"}


async def test_writes_that_are_not_answered_count_as_failures_and_open_the_breaker(
    demo_settings: Settings, sandbox: Sandbox
) -> None:
    """They were once cut off by the writer, counted as cancelled, and said nothing of Light."""
    sandbox.fault("delay", provider="light", delay_s=3.0)

    async with running(changed(demo_settings, timeout_s=0.2)) as house:
        results = [await house.write(minor) for minor in range(3)]
        timed_out = await house.metric("upstream_calls_total", outcome="PROVIDER_TIMEOUT", **WRITES)
        is_open = await house.metric("breaker_open", connector="light-acme")
        others = await house.metric("breaker_open", connector="asset-acme")
        uncertain = await house.metric("writes_total", connector="light-acme", outcome="uncertain")

    # Each was preceded by a read of what stands, and after five failures no more are let through.
    assert [type(result) for result in results] == [Uncertain, Uncertain, Rejected]
    assert (timed_out, uncertain) == (2.0, 2.0)
    assert (is_open, others) == (1.0, 0.0)


async def test_a_write_that_waits_for_a_token_in_vain_is_rejected(
    demo_settings: Settings, sandbox: Sandbox
) -> None:
    """It was once uncertain, though Layer's API had never been asked."""
    sandbox.fault("delay", provider="any", path="oauth2/token", delay_s=3.0)

    async with running(changed(demo_settings, "layer-acme", timeout_s=0.2)) as house:
        written = await house.write(5, "layer-operating-checking")

    assert isinstance(written, Rejected)
    assert (written.code, written.retryable) == ("PROVIDER_TIMEOUT", True)
    assert "custom-accounts" not in str(sandbox.control("GET", "requests"))


async def test_every_exchange_is_counted_and_timed(
    demo_settings: Settings, sandbox: Sandbox
) -> None:
    async with running(demo_settings) as house:
        await house.read()
        counted = await house.metric(
            "upstream_calls_total",
            connector="light-acme",
            operation="balance read",
            outcome="ok",
        )
        timed = await house.metric("upstream_seconds_count", connector="light-acme")
        health = [
            house.assembly.gateway.watch.status(one).state for one in ("light-acme", "asset-acme")
        ]

    assert (counted, timed) == (1.0, 1.0)
    assert health == [HealthState.UP, HealthState.UNKNOWN]
    assert sandbox.calls("light") == 1


async def test_budgets_are_the_documented_ones_where_none_is_configured(
    demo_settings: Settings,
) -> None:
    settings = changed(demo_settings, "asset-acme", requests_per_minute=77)

    async with running(settings) as house:
        left = {
            one: await house.metric("budget_remaining", connector=one)
            for one in ("light-acme", "asset-acme", "asset-globex", "layer-acme", "local")
        }
        await house.read()
        after_a_read = await house.metric("budget_remaining", connector="light-acme")
        whole_in_s = await house.metric("budget_refills_seconds", connector="light-acme")
        untouched_in_s = await house.metric("budget_refills_seconds", connector="asset-acme")

    assert left == {
        "light-acme": 300.0,
        "asset-acme": 77.0,
        "asset-globex": 300.0,
        "layer-acme": 6000.0,
        "local": None,
    }
    assert after_a_read == 299.0
    assert whole_in_s is not None
    assert 50 < whole_in_s <= 61
    assert untouched_in_s == 0.0


async def test_no_more_calls_are_made_than_the_configured_budget_has(
    demo_settings: Settings, sandbox: Sandbox
) -> None:
    settings = impatient(changed(demo_settings, requests_per_minute=2))

    async with running(settings) as house:
        answers = await house.read(*house.accounts("light-acme")[:5])

    assert sorted(getattr(one, "code", "read") for one in answers) == [
        *["PROVIDER_RATE_LIMITED"] * 3,
        *["read"] * 2,
    ]
    assert sandbox.calls("light") == 2


@pytest.mark.parametrize(("shared", "calls"), [(True, 3), (False, 4)])
async def test_replicas_with_one_redis_spend_one_budget(
    demo_settings: Settings, sandbox: Sandbox, redis: RedisServer, calls: int, *, shared: bool
) -> None:
    settings = impatient(changed(demo_settings, requests_per_minute=3))
    if shared:
        settings = caching(settings, url=Secret(redis.url))

    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(running(settings)) for _ in range(2)]
        for number, replica in enumerate(replicas):
            for days in (0, 1):
                await replica.read(day=DAY + timedelta(days=2 * number + days))

    assert sandbox.calls("light") == calls


async def test_no_more_calls_are_in_flight_than_configured(demo_settings: Settings) -> None:
    under_way, most = 0, 0

    async def slow(_: Received, __: asyncio.StreamWriter) -> Reply:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.05)
        under_way -= 1
        return Reply(status=404)

    light = LightDouble()
    light.take_over = slow
    async with serving(light):
        settings = changed(demo_settings, base_url=light.url, max_concurrency=2)
        async with running(settings) as house:
            await house.read(*house.accounts("light-acme")[:8])

    assert len(light.received) == 8
    assert most == 2


async def test_a_read_is_tried_again_after_a_quick_failure(
    demo_settings: Settings, sandbox: Sandbox
) -> None:
    sandbox.fault("status", provider="light", status=503, times=1)

    async with running(demo_settings) as house:
        (answer,) = await house.read()

    assert isinstance(answer, Observed)
    assert sandbox.calls("light") == 2


@pytest.mark.parametrize("connector", ["light-acme", "asset-acme", "layer-acme"])
async def test_a_call_lasts_no_longer_than_its_connector_is_configured(
    demo_settings: Settings, sandbox: Sandbox, connector: str
) -> None:
    sandbox.fault("delay", delay_s=3.0)

    async with running(changed(demo_settings, connector, timeout_s=0.2)) as house:
        (answer,) = await house.read(house.accounts(connector)[0])

    assert getattr(answer, "code", answer) == "PROVIDER_TIMEOUT"


async def test_a_write_through_one_address_is_seen_through_another(
    demo_settings: Settings, sandbox: Sandbox
) -> None:
    """Reading through the other once answered what had been kept before the write."""
    (first,) = [one for one in demo_settings.connectors if one.name == "light-acme"]
    (account,) = [one for one in demo_settings.accounts if one.id == LIGHT]
    other = replace(
        first, name="other", base_url=sandbox.url.replace("127.0.0.1", "localhost") + "/light"
    )
    alias = replace(account, id="alias", connector="other")
    settings = replace(
        demo_settings,
        connectors=(*demo_settings.connectors, other),
        accounts=(*demo_settings.accounts, alias),
    )

    async with running(settings) as house:
        (before,) = await house.read("alias")
        written = await house.write(before.value.bank.minor_units + 700)
        (after,) = await house.read("alias")

    assert isinstance(written, Applied)
    assert after.value != before.value


async def test_the_embedded_ledger_is_watched_too(demo_settings: Settings) -> None:
    """Its health was once unknown for ever, since it is reached without HTTP."""
    async with running(demo_settings) as house:
        told = [house.assembly.gateway.watch.status("local").state]
        await house.read("local-petty-cash")
        told.append(house.assembly.gateway.watch.status("local").state)

    assert told == [HealthState.UNKNOWN, HealthState.UP]
