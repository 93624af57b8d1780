"""A reload takes what a running gateway can take from its changed file, and loses nothing."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from balance_gateway.app.configuration import read_settings
from balance_gateway.config.errors import ConfigError
from balance_gateway.ports.reads import FreshnessState
from balance_gateway.service.opening_balances import Applied
from tests.app.gateway_harness import LIGHT, GatewayHarness, SandboxClient, run_gateway

NAME = '{ bankAccount(id: "light-operating-eur") { name } }'
OTHER_KEY = "another-key-of-the-dashboard"
OTHER = "local-other"
MORE = f"""
[[auth.api_keys]]
name = "other"
key = "file:secrets/other_key"
tenant = "acme"
scopes = ["balances:read"]

[[accounts]]
id = "{OTHER}"
tenant = "acme"
connector = "local"
name = "Other"
currency = "EUR"
"""


@pytest.fixture
def config(demo_settings: object, tmp_path: Path) -> Path:
    """The demo's configuration file; the sandbox is its providers."""
    assert demo_settings
    return tmp_path / "gateway.toml"


@pytest.fixture
async def gateway(config: Path) -> AsyncIterator[GatewayHarness]:
    async with run_gateway(
        read_settings(config), read_settings=lambda: read_settings(config)
    ) as running:
        yield running


def write_secret(config: Path, name: str, text: str) -> None:
    (config.parent / "secrets" / name).write_text(text)


def compute_version(config: Path) -> str:
    return hashlib.sha256(config.read_bytes()).hexdigest()[:12]


async def wait_for_call(sandbox: SandboxClient, method: str) -> None:
    """Wait until Light has received a call."""
    async with asyncio.timeout(10):
        while sandbox.count_calls("light", method) == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def append(config: Path, text: str) -> None:
    config.write_text(config.read_text() + text)


def edit(config: Path, old: str, new: str) -> None:
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new, 1))


def put_first(config: Path, text: str) -> None:
    config.write_text(f"{text}\n{config.read_text()}")


async def read_state(gateway: GatewayHarness) -> FreshnessState:
    [read] = await gateway.read()
    return FreshnessState(read.state)


def messages(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
    return [record.__dict__ for record in caplog.records if record.message == event]


async def test_accounts_keys_lifetimes_and_cors_are_taken(
    gateway: GatewayHarness, config: Path
) -> None:
    write_secret(config, "other_key", OTHER_KEY)
    before = [await read_state(gateway), await gateway.query(NAME), await gateway.query(NAME)]
    append(config, MORE)
    edit(config, 'name = "Operating EUR"', 'name = "Renamed"')
    write_secret(config, "read_key", "the-new-key-of-the-demo-reader")
    put_first(
        config,
        '[server]\ncors_origins = ["https://app.example"]\n[cache]\npast_ttl_s = 0',
    )

    assert await gateway.reload()

    headers = {"Authorization": f"Bearer {OTHER_KEY}", "Origin": "https://app.example"}
    query = {"query": f'{{ bankAccount(id: "{OTHER}") {{ name }} }}'}
    answer = await gateway.client.post("/graphql", json=query, headers=headers)
    refused = await gateway.query(NAME)
    gateway.key = "the-new-key-of-the-demo-reader"
    assert before[0] is FreshnessState.LIVE
    assert before[1] == before[2] == {"data": {"bankAccount": {"name": "Operating EUR"}}}
    assert answer.json() == {"data": {"bankAccount": {"name": "Other"}}}
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert refused["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert await gateway.query(NAME) == {"data": {"bankAccount": {"name": "Renamed"}}}
    # The value was cached for ten minutes.
    assert await read_state(gateway) is FreshnessState.LIVE


async def test_budgets_health_and_values_survive(
    gateway: GatewayHarness, config: Path, sandbox: SandboxClient
) -> None:
    async def read_budget() -> float | None:
        return await gateway.read_metric("budget_remaining", connector="light-acme")

    await gateway.read()
    before = await read_budget()
    edit(config, 'name = "Operating EUR"', 'name = "Renamed"')
    assert await gateway.reload()
    unchanged, cached = await read_budget(), await read_state(gateway)
    health = gateway.components.gateway.watch.status("light-acme").last_success_at
    edit(config, "[connectors.light-acme]", "[connectors.light-acme]\nrequests_per_minute = 100")
    assert await gateway.reload()
    with_other_limit = await read_budget()

    assert (before, unchanged, with_other_limit) == (299.0, 299.0, 99.0)
    assert cached is FreshnessState.CACHED
    assert health is not None
    assert sandbox.count_calls("light", "GET") == 1


async def test_a_wrong_file_changes_nothing(
    gateway: GatewayHarness, config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    used = (await gateway.client.get("/readyz")).json()["configuration"]
    version = compute_version(config)
    edit(config, 'currency = "EUR"', 'currency = "EURO"')
    with pytest.raises(ConfigError) as at_the_start:
        read_settings(config)

    assert not await gateway.reload()

    [logged] = messages(caplog, "config.refused")
    assert logged["reason"] == str(at_the_start.value)
    assert await gateway.read_metric("config_reloads_total", outcome="refused") == 1.0
    assert await gateway.read_metric("config_info", version=used) == 1.0
    assert used == version
    assert (await gateway.client.get("/readyz")).json()["configuration"] == used
    assert "errors" not in await gateway.query(NAME)


async def test_a_key_that_needs_a_restart_is_named_and_the_rest_is_taken(
    gateway: GatewayHarness, config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put_first(config, "[server]\nport = 9\ncompression = false\n[cache]\nlate_landing_s = 5")
    edit(config, 'url = "sqlite:///', 'url = "sqlite:////elsewhere')
    edit(config, 'name = "Operating EUR"', 'name = "Renamed"')

    assert await gateway.reload()
    assert await gateway.reload()

    # Until the restart each reload names them.
    logged, again = messages(caplog, "config.needs_restart")
    keys = ("server.port", "server.compression", "storage.url", "cache.late_landing_s")
    assert logged["keys"] == again["keys"] == ", ".join(keys)
    assert await gateway.read_metric("config_restart_keys") == 4.0
    assert await gateway.query(NAME) == {"data": {"bankAccount": {"name": "Renamed"}}}
    version = compute_version(config)
    assert (await gateway.client.get("/readyz")).json()["configuration"] == version
    assert await gateway.read_metric("config_info", version=version) == 1.0


async def test_a_write_under_way_ends_on_the_former_configuration(
    gateway: GatewayHarness, config: Path, sandbox: SandboxClient
) -> None:
    sandbox.inject_fault("delay", provider="light", method="PUT", delay_s=0.6, times=1)
    await gateway.read()
    writing = asyncio.create_task(gateway.write(4_200))
    await wait_for_call(sandbox, "PUT")
    edit(config, "[connectors.light-acme]", "[connectors.light-acme]\ntimeout_s = 5")

    assert await gateway.reload()

    # The fence of the write holds in the new configuration too.
    during = await read_state(gateway), await read_state(gateway)
    written = await writing
    assert isinstance(written, Applied)
    assert during == (FreshnessState.LIVE, FreshnessState.LIVE)
    repeated = [await read_state(gateway), await read_state(gateway)]
    assert repeated == [FreshnessState.LIVE, FreshnessState.CACHED]


async def test_a_read_under_way_never_replaces_a_newer_value(
    gateway: GatewayHarness, config: Path, sandbox: SandboxClient
) -> None:
    sandbox.inject_fault("delay", provider="light", method="GET", delay_after_s=0.6, times=1)
    reading = asyncio.create_task(gateway.read())
    await wait_for_call(sandbox, "GET")
    edit(config, 'name = "Operating EUR"', 'name = "Renamed"')
    assert await gateway.reload()

    [newer] = await gateway.read()
    [older] = await reading
    [kept] = await gateway.read()

    assert newer.state is older.state is FreshnessState.LIVE
    assert kept.observed_at >= newer.observed_at > older.observed_at


async def test_connectors_are_closed_when_nothing_uses_them_any_more(
    gateway: GatewayHarness, config: Path
) -> None:
    running = gateway.app._running
    assert running is not None
    former = running.current.connectors
    closed: list[str] = []
    for name, connector in former.items():
        close = connector.provider.aclose

        async def record(name: str = name, close: object = close) -> None:
            closed.append(name)
            await close()  # type: ignore[operator]

        connector.provider.aclose = record  # type: ignore[method-assign]
    edit(config, "[connectors.light-acme]", "[connectors.light-acme]\ntimeout_s = 5")

    assert await gateway.reload()

    await asyncio.gather(*gateway.app._closing)
    assert closed == ["light-acme"]
    assert running.current.connectors["asset-acme"] is former["asset-acme"]
    assert LIGHT in gateway.list_accounts("light-acme")
    [read] = await gateway.read()
    assert read.state is FreshnessState.LIVE
