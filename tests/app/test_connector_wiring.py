"""The wiring around provider calls: gates, budgets, retries, breakers, metrics."""

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs

from balance_gateway.config.settings import Settings
from balance_gateway.domain.health import HealthState
from balance_gateway.domain.secret import Secret
from balance_gateway.ports.reads import Observed
from balance_gateway.service.opening_balances import Applied, Rejected, Uncertain
from tests.app.gateway_harness import (
    DAY,
    LIGHT,
    SandboxClient,
    run_gateway,
    with_cache,
    with_connector,
    with_request_timeout,
)
from tests.providers.fake_servers import FakeLightServer, ReceivedRequest, Reply, run_server
from tests.servers import RedisServer

WRITES = {"connector": "light-acme", "operation": "opening-balance write"}


async def test_write_timeouts_count_as_failures_and_open_the_breaker(
    demo_settings: Settings, sandbox: SandboxClient
) -> None:
    """Formerly the writer cancelled such writes before the call's own timeout.

    They were counted as cancelled and did not affect Light's breaker.
    """
    sandbox.inject_fault("delay", provider="light", delay_s=3.0)

    async with run_gateway(with_connector(demo_settings, timeout_s=0.2)) as gateway:
        results = [await gateway.write(minor) for minor in range(3)]
        timed_out = await gateway.read_metric(
            "upstream_calls_total", outcome="PROVIDER_TIMEOUT", **WRITES
        )
        is_open = await gateway.read_metric("breaker_open", connector="light-acme")
        others = await gateway.read_metric("breaker_open", connector="asset-acme")
        uncertain = await gateway.read_metric(
            "writes_total", connector="light-acme", outcome="uncertain"
        )

    # A read of the current value precedes each write; after five failures the breaker is open.
    assert [type(result) for result in results] == [Uncertain, Uncertain, Rejected]
    assert (timed_out, uncertain) == (2.0, 2.0)
    assert (is_open, others) == (1.0, 0.0)


async def test_a_write_without_a_token_is_rejected(
    demo_settings: Settings, sandbox: SandboxClient
) -> None:
    """Formerly it was uncertain, although Layer's API had never been called."""
    sandbox.inject_fault("delay", provider="any", path="oauth2/token", delay_s=3.0)

    async with run_gateway(with_connector(demo_settings, "layer-acme", timeout_s=0.2)) as gateway:
        written = await gateway.write(5, "layer-operating-checking")

    assert isinstance(written, Rejected)
    assert (written.code, written.retryable) == ("PROVIDER_TIMEOUT", True)
    assert "custom-accounts" not in str(sandbox.control("GET", "requests"))


async def test_every_provider_call_is_counted_and_timed(
    demo_settings: Settings, sandbox: SandboxClient
) -> None:
    async with run_gateway(demo_settings) as gateway:
        await gateway.read()
        counted = await gateway.read_metric(
            "upstream_calls_total",
            connector="light-acme",
            operation="balance read",
            outcome="ok",
        )
        timed = await gateway.read_metric("upstream_seconds_count", connector="light-acme")
        health = [
            gateway.components.gateway.watch.status(one).state
            for one in ("light-acme", "asset-acme")
        ]

    assert (counted, timed) == (1.0, 1.0)
    assert health == [HealthState.UP, HealthState.UNKNOWN]
    assert sandbox.count_calls("light") == 1


async def test_budgets_default_to_the_documented_limits(
    demo_settings: Settings,
) -> None:
    settings = with_connector(demo_settings, "asset-acme", requests_per_minute=77)

    async with run_gateway(settings) as gateway:
        left = {
            one: await gateway.read_metric("budget_remaining", connector=one)
            for one in ("light-acme", "asset-acme", "asset-globex", "layer-acme", "local")
        }
        await gateway.read()
        after_a_read = await gateway.read_metric("budget_remaining", connector="light-acme")
        refills_in_s = await gateway.read_metric("budget_refills_seconds", connector="light-acme")
        untouched_in_s = await gateway.read_metric("budget_refills_seconds", connector="asset-acme")

    assert left == {
        "light-acme": 300.0,
        "asset-acme": 77.0,
        "asset-globex": 300.0,
        "layer-acme": 6000.0,
        "local": None,
    }
    assert after_a_read == 299.0
    assert refills_in_s is not None
    assert 50 < refills_in_s <= 61
    assert untouched_in_s == 0.0


@pytest.mark.parametrize("compiled", [True, False])
async def test_connectors_show_the_state_after_the_balances_of_the_same_answer(
    demo_settings: Settings, sandbox: SandboxClient, *, compiled: bool
) -> None:
    """They were read first: the health was UNKNOWN, and the budget untouched, beside balances."""
    server = structs.replace(demo_settings.server, compiled=compiled)
    fields = (
        "... on BankAccount { balance { asOf freshness { sourcedAt } } openingBalance { source } }"
    )
    account_ids = '["light-operating-eur", "asset-company-card", "layer-operating-checking"]'
    async with run_gateway(replace(demo_settings, server=server)) as gateway:
        response = await gateway.query(
            "{ connectors { name health { state } budget { requestsPerMinute remaining } }"
            f" nodes(ids: {account_ids}) {{ {fields} }} }}"
        )
        found = {one["name"]: one for one in response["data"]["connectors"]}
        used = {
            name: one["budget"]["requestsPerMinute"] - one["budget"]["remaining"]
            for name, one in found.items()
            if one["budget"]["remaining"] is not None
        }
        sent = {
            provider: len(
                [
                    one
                    for one in sandbox.control("GET", "requests")["requests"]
                    if one["provider"] == provider
                ]
            )
            for provider in ("light", "asset", "layer")
        }

    assert "errors" not in response
    assert used == {f"{provider}-acme": count for provider, count in sent.items()}
    assert {one["health"]["state"] for name, one in found.items() if name != "local"} == {"UP"}


async def test_reads_of_the_embedded_ledger_are_no_fenced_fills(demo_settings: Settings) -> None:
    """Its values have no fence: each read counted as one that a write kept from the cache."""
    async with run_gateway(demo_settings) as gateway:
        await gateway.read("local-petty-cash", "local-till-tokyo")
        await gateway.read_opening_balance("local-petty-cash")
        fenced = await gateway.read_metric("fills_fenced_total")

    assert fenced == 0.0


async def test_calls_stop_at_the_configured_budget(
    demo_settings: Settings, sandbox: SandboxClient
) -> None:
    settings = with_request_timeout(with_connector(demo_settings, requests_per_minute=2))

    async with run_gateway(settings) as gateway:
        results = await gateway.read(*gateway.list_accounts("light-acme")[:5])

    assert sorted(getattr(one, "code", "read") for one in results) == [
        *["PROVIDER_RATE_LIMITED"] * 3,
        *["read"] * 2,
    ]
    assert sandbox.count_calls("light") == 2


@pytest.mark.parametrize(("shared", "calls"), [(True, 3), (False, 4)])
async def test_replicas_with_one_redis_share_one_budget(
    demo_settings: Settings, sandbox: SandboxClient, redis: RedisServer, calls: int, *, shared: bool
) -> None:
    settings = with_request_timeout(with_connector(demo_settings, requests_per_minute=3))
    if shared:
        settings = with_cache(settings, url=Secret(redis.url))

    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(run_gateway(settings)) for _ in range(2)]
        for number, replica in enumerate(replicas):
            for days in (0, 1):
                await replica.read(day=DAY + timedelta(days=2 * number + days))

    assert sandbox.count_calls("light") == calls


async def test_concurrent_calls_are_limited_to_the_configured_number(
    demo_settings: Settings,
) -> None:
    concurrent, maximum = 0, 0

    async def respond_slowly(_: ReceivedRequest, __: asyncio.StreamWriter) -> Reply:
        nonlocal concurrent, maximum
        concurrent += 1
        maximum = max(maximum, concurrent)
        await asyncio.sleep(0.05)
        concurrent -= 1
        return Reply(status=404)

    light = FakeLightServer()
    light.handler = respond_slowly
    async with run_server(light):
        settings = with_connector(demo_settings, base_url=light.url, max_concurrency=4)
        async with run_gateway(settings) as gateway:
            await gateway.read(*gateway.list_accounts("light-acme")[:8])

    assert len(light.received) == 8
    assert maximum == 3, "reads leave a place to writes"


async def test_fifty_reads_are_in_flight_at_once_by_default(demo_settings: Settings) -> None:
    """A dashboard of fifty accounts once took two rounds: 28 reads were in flight at most."""
    concurrent, all_are_here = 0, asyncio.Event()

    async def wait_for_all(request: ReceivedRequest, _: asyncio.StreamWriter) -> Reply:
        nonlocal concurrent
        concurrent += 1
        if concurrent == 50:
            all_are_here.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(all_are_here.wait(), 2.0)
        concurrent -= 1
        return Reply(status=404)

    light = FakeLightServer()
    light.handler = wait_for_all
    async with run_server(light):
        settings = with_connector(demo_settings, base_url=light.url)
        async with run_gateway(settings) as gateway:
            days = [DAY - timedelta(number) for number in range(50)]
            await asyncio.gather(*(gateway.read(day=day) for day in days))

    assert all_are_here.is_set()


async def test_a_read_is_retried_after_a_quick_failure(
    demo_settings: Settings, sandbox: SandboxClient
) -> None:
    sandbox.inject_fault("status", provider="light", status=503, times=1)

    async with run_gateway(demo_settings) as gateway:
        (result,) = await gateway.read()

    assert isinstance(result, Observed)
    assert sandbox.count_calls("light") == 2


@pytest.mark.parametrize("connector", ["light-acme", "asset-acme", "layer-acme"])
async def test_a_call_ends_at_the_configured_timeout(
    demo_settings: Settings, sandbox: SandboxClient, connector: str
) -> None:
    sandbox.inject_fault("delay", delay_s=3.0)

    async with run_gateway(with_connector(demo_settings, connector, timeout_s=0.2)) as gateway:
        (result,) = await gateway.read(gateway.list_accounts(connector)[0])

    assert getattr(result, "code", result) == "PROVIDER_TIMEOUT"


async def test_a_write_through_one_address_is_visible_through_another(
    demo_settings: Settings, sandbox: SandboxClient
) -> None:
    """Formerly a read through the other address returned the value cached before the write."""
    (first,) = [one for one in demo_settings.connectors if one.name == "light-acme"]
    (account,) = [one for one in demo_settings.accounts if one.id == LIGHT]
    address = sandbox.url.replace("127.0.0.1", "localhost") + "/light"
    other = replace(first, name="other", settings=structs.replace(first.settings, base_url=address))
    alias = replace(account, id="alias", connector="other")
    settings = replace(
        demo_settings,
        connectors=(*demo_settings.connectors, other),
        accounts=(*demo_settings.accounts, alias),
    )

    async with run_gateway(settings) as gateway:
        (before,) = await gateway.read("alias")
        written = await gateway.write(before.value.bank.minor_units + 700)
        (after,) = await gateway.read("alias")

    assert isinstance(written, Applied)
    assert after.value != before.value


async def test_the_health_of_the_embedded_ledger_is_tracked(demo_settings: Settings) -> None:
    """Formerly its health stayed unknown, because no HTTP call reported it."""
    async with run_gateway(demo_settings) as gateway:
        states = [gateway.components.gateway.watch.status("local").state]
        await gateway.read("local-petty-cash")
        states.append(gateway.components.gateway.watch.status("local").state)

    assert states == [HealthState.UNKNOWN, HealthState.UP]
