"""Fixtures: adapters that call fake servers or the sandbox over real sockets."""

import gc
import json
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import uvicorn

from balance_gateway.domain.accounts import Account, ProviderKind, Side
from balance_gateway.domain.balances import BalanceQuery, OpeningBalanceWrite
from balance_gateway.domain.money import Money
from balance_gateway.domain.secret import Secret
from balance_gateway.providers.asset.provider import AssetProvider, AssetSettings
from balance_gateway.providers.layer.provider import LayerProvider, LayerSettings
from balance_gateway.providers.light.provider import LightProvider, LightSettings
from balance_gateway_sandbox import (
    Options,
    RateLimitOptions,
    build_catalogue,
    create_sandbox,
)
from tests.providers import fake_servers

NOW = datetime(2026, 5, 7, 10, tzinfo=UTC)
ENTRIES_START = datetime(2026, 1, 1, tzinfo=UTC)
Provider = LightProvider | AssetProvider | LayerProvider


class FakeClock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class MemorySides:
    """Remembers normal sides in memory.

    Attributes:
        found: the remembered sides by account id.
        written: every side that was stored, in order.
    """

    def __init__(self, found: dict[str, Side] | None = None) -> None:
        self.found = found or {}
        self.written: list[tuple[str, Side]] = []

    async def find_side(self, account: Account) -> Side | None:
        return self.found.get(account.id)

    async def remember_side(self, account: Account, side: Side) -> None:
        self.found[account.id] = side
        self.written.append((account.id, side))


def make_account(provider: ProviderKind, currency: str = "EUR", **options: Any) -> Account:
    remote = options.pop("remote", None)
    zone = ZoneInfo(options.pop("zone", "UTC"))
    if remote is None:
        remote = {
            ProviderKind.LIGHT: {"bank_account_id": fake_servers.LIGHT_ID},
            ProviderKind.ASSET: {
                "business_id": fake_servers.BUSINESS,
                "ledger_id": fake_servers.LEDGER,
            },
            ProviderKind.LAYER: {
                "business_id": fake_servers.LAYER_BUSINESS,
                "external_account_id": fake_servers.EXTERNAL,
            },
        }[provider]
    return Account(
        id=options.pop("id", "acct_1"),
        tenant="acme",
        connector="c",
        provider=provider,
        name="An account",
        currency=currency,
        time_zone=zone,
        remote=remote,
        **options,
    )


def make_write(account: Account, minor_units: int, **options: Any) -> OpeningBalanceWrite:
    at = options.pop("effective_at", ENTRIES_START)
    return OpeningBalanceWrite(account, Money(minor_units, account.currency), at, **options)


def make_query(account: Account, day: str) -> BalanceQuery:
    return BalanceQuery(account, date.fromisoformat(day))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(autouse=True)
def check_logs_for_secrets(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail any test that logs a secret or a token."""
    with caplog.at_level(logging.DEBUG):
        # The client of the control endpoints and the embedded ledger's database handle no secrets,
        # and their debug logs are long.
        for name in ("httpx", "httpcore", "aiosqlite", "sqlalchemy", "alembic"):
            caplog.set_level(logging.WARNING, logger=name)
        yield
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert not [secret for secret in fake_servers.SECRETS if secret in text]
    assert "not-real" not in text


@pytest.fixture
def only_new_garbage() -> Iterator[None]:
    """Exempt the objects that exist from collection, which makes each one fast."""
    gc.freeze()
    yield
    gc.unfreeze()


def assert_contains_no_secret(error: BaseException | None) -> None:
    """Fail if an error or one of its causes contains a secret in its text or attributes."""
    while error is not None:
        shown = f"{error!s} {error!r} {vars(error)!r}"
        assert not [secret for secret in fake_servers.SECRETS if secret in shown]
        assert "not-real" not in shown
        assert "-token-" not in shown
        error = error.__cause__ or error.__context__


# --- adapters that call fake servers -------------------------------------------------------------


@pytest.fixture
async def fake_light() -> AsyncIterator[fake_servers.FakeLightServer]:
    server = fake_servers.FakeLightServer()
    async with fake_servers.run_server(server):
        yield server


@pytest.fixture
async def fake_asset() -> AsyncIterator[fake_servers.FakeAssetServer]:
    server = fake_servers.FakeAssetServer()
    async with fake_servers.run_server(server):
        yield server


@pytest.fixture
async def fake_layer() -> AsyncIterator[fake_servers.FakeLayerServer]:
    server = fake_servers.FakeLayerServer()
    async with fake_servers.run_server(server):
        yield server


@dataclass
class ProviderFactory:
    """Creates adapters, and closes them after the test."""

    clock: FakeClock
    created: list[Provider]

    def light(self, url: str, *, dependencies: dict[str, Any] | None = None, **options: Any) -> Any:
        options.setdefault("timeout_s", 5.0)
        if "access_token" not in options:
            options.setdefault("api_key", Secret(fake_servers.API_KEY))
        settings = LightSettings(base_url=url, **options)
        return self._register(
            LightProvider("light_1", settings, clock=self.clock, **dependencies or {})
        )

    def asset(self, url: str, *, dependencies: dict[str, Any] | None = None, **options: Any) -> Any:
        settings = AssetSettings(base_url=url, **self._client(options))
        return self._register(
            AssetProvider("asset_1", settings, clock=self.clock, **dependencies or {})
        )

    def layer(self, url: str, *, dependencies: dict[str, Any] | None = None, **options: Any) -> Any:
        options.setdefault("token_url", f"{url}/oauth2/token")
        settings = LayerSettings(base_url=url, **self._client(options))
        return self._register(
            LayerProvider("layer_1", settings, clock=self.clock, **dependencies or {})
        )

    def _client(self, options: dict[str, Any]) -> dict[str, Any]:
        options.setdefault("timeout_s", 5.0)
        if "access_token" not in options:
            options.setdefault("client_id", Secret(fake_servers.CLIENT_ID))
            options.setdefault("client_secret", Secret(fake_servers.CLIENT_SECRET))
        return options

    def _register(self, provider: Provider) -> Provider:
        self.created.append(provider)
        return provider


@pytest.fixture
async def make(clock: FakeClock) -> AsyncIterator[ProviderFactory]:
    factory = ProviderFactory(clock, [])
    yield factory
    for provider in factory.created:
        await provider.aclose()


# --- adapters that call the sandbox --------------------------------------------------------------


@dataclass
class SandboxServer:
    """A sandbox on a real uvicorn server, and its control endpoints."""

    url: str
    client: httpx.Client

    def control(self, method: str, path: str, body: Any = None) -> Any:
        response = self.client.request(method, f"/_control/{path}", json=body)
        assert response.is_success, response.text
        return json.loads(response.content, parse_float=Decimal) if response.content else None

    def fault(self, kind: str, **spec: Any) -> None:
        self.control("POST", "faults", {"kind": kind, **spec})

    def options(self, **changes: Any) -> None:
        self.control("PUT", "options", changes)

    def state(self, provider: str, remote_id: str) -> Any:
        return self.control("GET", f"state/{provider}/{remote_id}")

    def requests(self) -> list[dict[str, Any]]:
        report = self.control("GET", "requests")
        found: list[dict[str, Any]] = report["requests"]
        return found


UNLIMITED = RateLimitOptions(
    light_per_minute=None,
    asset_tenant_per_minute=None,
    asset_business_per_minute=None,
    layer_per_second=None,
)


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[SandboxServer]:
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_sandbox(clock=lambda: NOW, options=Options(limits=UNLIMITED))
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", log_level="warning", access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with httpx.Client(base_url=url, trust_env=False, timeout=5) as client:
        yield SandboxServer(url, client)
    # Slow faults of the last test may still be running.
    server.should_exit = server.force_exit = True
    thread.join(timeout=5)
    listener.close()


@pytest.fixture
def sandbox(sandbox_server: SandboxServer) -> SandboxServer:
    sandbox_server.control("POST", "reset")
    return sandbox_server


SANDBOX = build_catalogue(1)


def sandbox_account(provider: str, name: str, **options: Any) -> Account:
    """Build the gateway's account for the sandbox's account of this name."""
    found = SANDBOX.get_account(provider, name)  # type: ignore[arg-type]
    keys = (
        "bank_account_id business_id ledger_id external_account_id custom_account_id "
        "ledger_account_id"
    )
    expected = [key for key in keys.split() if key not in options.pop("without", ())]
    remote = {key: getattr(found, key) for key in expected if getattr(found, key) is not None}
    if options.pop("configured_side", False):
        options["normal_balance"] = Side(found.normal_side)
    return make_account(
        ProviderKind(provider),
        found.currency,
        remote=remote,
        id=f"acct_{name.replace(' ', '_')}",
        zone=options.pop("zone", "UTC"),
        **options,
    )


@pytest.fixture
async def connect(clock: FakeClock, sandbox: SandboxServer) -> AsyncIterator[Callable[..., Any]]:
    """Yield a function that connects an adapter to the sandbox with acme's credentials."""
    # Here, because the cases use this module.
    from tests.providers.contract import find_cases

    cases = {case.kind.value: case for case in find_cases()}
    created: list[Any] = []

    def connect_provider(provider: str, **options: Any) -> Any:
        created.append(cases[provider].connect(sandbox.url, clock, **options))  # type: ignore[attr-defined]
        return created[-1]

    yield connect_provider

    for provider in created:
        await provider.aclose()
