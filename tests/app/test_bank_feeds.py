"""Bank feeds through the whole gateway: the calls that they cost, and what they never cost."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from balance_gateway.config.settings import Settings
from balance_gateway.domain.secret import Secret
from balance_gateway_sandbox import build_catalogue
from tests.app.gateway_harness import (
    AdvancingClock,
    GatewayHarness,
    SandboxClient,
    run_gateway,
    with_cache,
    with_connector,
)
from tests.servers import RedisServer

FIELDS = "bankFeed { state lastSyncedAt } latestBank { amount { minorUnits } }"
LISTINGS = {"asset": "/external-account", "layer": "/external-accounts"}


def list_ids(gateway: GatewayHarness, provider: str) -> list[str]:
    return gateway.list_accounts(f"{provider}-acme")[:50]


async def ask(gateway: GatewayHarness, ids: list[str], fields: str) -> Any:
    quoted = ", ".join(f'"{each}"' for each in ids)
    return await gateway.query(
        f"{{ nodes(ids: [{quoted}]) {{ ... on BankAccount {{ {fields} }} }} }}"
    )


def count_listings(sandbox: SandboxClient, provider: str) -> int:
    requests = sandbox.control("GET", "requests")["requests"]
    return len([one for one in requests if one["path"].endswith(LISTINGS[provider])])


@pytest.mark.parametrize("provider", ["asset", "layer"])
async def test_one_listing_serves_fifty_accounts_until_its_lifetime_ends(
    demo_settings: Settings, sandbox: SandboxClient, provider: str
) -> None:
    clock = AdvancingClock()
    async with run_gateway(demo_settings, clock) as gateway:
        ids = list_ids(gateway, provider)
        await ask(gateway, ids, "balance { ledger { amount } freshness { state } }")
        counts = [count_listings(sandbox, provider)]
        await ask(gateway, ids[:1], FIELDS)
        for seconds in (0, 290, 15):
            clock.advance(seconds)
            answer = await ask(gateway, ids, FIELDS)
            counts.append(count_listings(sandbox, provider))

    assert counts == [0, 1, 1, 2]
    assert len(answer["data"]["nodes"]) == 50
    assert {node["bankFeed"]["state"] for node in answer["data"]["nodes"]} == {"CONNECTED"}
    assert "errors" not in answer


@pytest.mark.parametrize("provider", ["asset", "layer"])
async def test_a_failing_listing_costs_no_figure(
    demo_settings: Settings, sandbox: SandboxClient, provider: str
) -> None:
    """Nor do twenty of them open the breaker, or a Retry-After shut the connector."""
    settings = with_cache(demo_settings, enabled=False)
    path = f"{LISTINGS[provider]}$"
    sandbox.inject_fault("status", provider=provider, path=path, status=503, retry_after_s=60)
    async with run_gateway(settings) as gateway:
        ids = list_ids(gateway, provider)[:3]
        for _ in range(20):
            refused = await ask(gateway, ids, f"name {FIELDS}")
        answer = await ask(gateway, ids, f"{FIELDS} balance {{ ledger {{ amount }} }}")

    assert {node["bankFeed"] for node in refused["data"]["nodes"]} <= {None}
    assert [node["balance"] is None for node in answer["data"]["nodes"]] == [False] * 3
    assert {error["path"][-1] for error in answer["errors"]} == {"bankFeed", "latestBank"}
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"PROVIDER_UNAVAILABLE"}


@pytest.mark.parametrize("provider", ["asset", "layer"])
async def test_a_spent_budget_is_kept_for_figures(
    demo_settings: Settings, sandbox: SandboxClient, provider: str
) -> None:
    """The listing leaves the last calls to figures."""
    settings = with_connector(demo_settings, f"{provider}-acme", requests_per_minute=13)
    days = [f"2026-02-{day:02}" for day in range(1, 10)]
    async with run_gateway(settings) as gateway:
        ids = list_ids(gateway, provider)[:1]
        # With the token these are nine of the ten calls that reads do not leave to writes.
        for day in days[:8]:
            await ask(gateway, ids, f'balance(asOf: "{day}") {{ asOf }}')
        answer = await ask(gateway, ids, FIELDS)
        figure = await ask(gateway, ids, f'balance(asOf: "{days[8]}") {{ ledger {{ amount }} }}')

    codes = {error["extensions"]["code"] for error in answer["errors"]}
    assert codes == {"PROVIDER_RATE_LIMITED"}
    assert "errors" not in figure
    assert count_listings(sandbox, provider) == 0


async def test_a_sync_time_at_the_provider_is_the_source_of_todays_balance(
    demo_settings: Settings, sandbox: SandboxClient
) -> None:
    account = build_catalogue(1).get_account("asset", "Operating checking")
    changes = {"last_synced_at": "2026-01-05T08:00:00Z", "status": "disconnected"}
    sandbox.control("PUT", f"feeds/asset/{account.ledger_id}", changes)
    query = """bankFeed { state needsAttention } today: balance { freshness { sourcedAt } }
        before: balance(asOf: "2026-01-04") { freshness { sourcedAt } }"""

    async with run_gateway(demo_settings) as gateway:
        answer = await ask(gateway, ["asset-operating-checking"], query)

    assert answer["data"]["nodes"][0] == {
        "bankFeed": {"state": "DISCONNECTED", "needsAttention": True},
        "today": {"freshness": {"sourcedAt": "2026-01-05T08:00:00Z"}},
        "before": {"freshness": {"sourcedAt": None}},
    }


async def test_providers_without_feeds_answer_null_without_a_call(
    demo_settings: Settings, sandbox: SandboxClient
) -> None:
    async with run_gateway(demo_settings) as gateway:
        answer = await ask(gateway, ["light-operating-eur", "local-petty-cash"], FIELDS)
        nodes = [node for node in answer["data"]["nodes"] if node is not None]

    assert nodes
    assert all(node == {"bankFeed": None, "latestBank": None} for node in nodes)
    assert sandbox.count_calls("light") == 0


async def test_replicas_share_the_listing_through_redis(
    demo_settings: Settings, sandbox: SandboxClient, redis: RedisServer
) -> None:
    settings = with_cache(demo_settings, url=Secret(redis.url))
    async with run_gateway(settings) as one, run_gateway(settings) as other:
        ids = list_ids(one, "asset")
        first = await ask(one, ids, FIELDS)
        second = await ask(other, ids[::-1], FIELDS)

    assert count_listings(sandbox, "asset") == 1
    assert second["data"]["nodes"] == first["data"]["nodes"][::-1]


async def test_the_configured_environment_is_shown(demo_settings: Settings) -> None:
    server = structs.replace(demo_settings.server, environment="staging")
    settings = replace(demo_settings, server=server)

    async with run_gateway(settings) as gateway:
        answer = await gateway.query("{ gateway { environment } viewer { tenant } }")

    assert answer["data"] == {"gateway": {"environment": "staging"}, "viewer": {"tenant": "acme"}}
