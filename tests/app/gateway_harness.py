"""A complete gateway inside the test process, with real storage and the sandbox over HTTP."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import httpx
from msgspec import structs

from balance_gateway.app.asgi import GatewayApp, build_app
from balance_gateway.app.gateway_builder import GatewayComponents
from balance_gateway.config.settings import Settings
from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.calendar_days import system_clock
from balance_gateway.ports.reads import BalanceRequest
from balance_gateway.service.opening_balances import UpsertRequest, UpsertResult

ADMIN = Principal("admin", "acme", frozenset(Scope))
LIGHT = "light-operating-eur"
DAY = date(2026, 2, 2)


@dataclass
class SandboxClient:
    """Controls the sandbox that imitates the providers."""

    url: str
    client: httpx.Client

    def control(self, method: str, path: str, body: Any = None) -> Any:
        response = self.client.request(method, f"/_control/{path}", json=body)
        assert response.is_success, response.text
        return response.json() if response.content else None

    def inject_fault(self, kind: str, **spec: Any) -> None:
        self.control("POST", "faults", {"kind": kind, "times": None, **spec})

    def count_calls(self, provider: str, method: str | None = None) -> int:
        """Return how many calls the provider received, token requests included."""
        requests = self.control("GET", "requests")["requests"]
        methods = [one["method"] for one in requests if one["provider"] == provider]
        return len([one for one in methods if method in (None, one)])


class AdvancingClock:
    """The system clock plus an offset that a test can advance."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def __call__(self) -> Any:
        return system_clock() + self.offset

    def advance(self, seconds: float) -> None:
        self.offset += timedelta(seconds=seconds)


@dataclass
class GatewayHarness:
    """A running gateway, and shortcuts to its use cases and HTTP endpoints."""

    app: GatewayApp
    components: GatewayComponents
    client: httpx.AsyncClient
    key: str

    async def read(self, *accounts: str, day: date = DAY, is_today: bool = False) -> list[Any]:
        """Return the balances of a day: values with their state, or errors."""
        directory = self.components.gateway.directory
        requests = [
            BalanceRequest(directory.account(ADMIN, one), day, is_today)
            for one in accounts or (LIGHT,)
        ]
        return list(await self.components.gateway.reads.balances(requests))

    async def read_opening_balance(self, account_id: str) -> list[Any]:
        account = self.components.gateway.directory.account(ADMIN, account_id)
        return list(await self.components.gateway.reads.opening_balances([account]))

    async def write(self, minor_units: int, account_id: str = LIGHT) -> UpsertResult:
        account = self.components.gateway.directory.account(ADMIN, account_id)
        request = UpsertRequest(account_id, minor_units, None, account.currency)
        return await self.components.gateway.writes.upsert(ADMIN, request)

    def list_accounts(self, connector: str) -> list[str]:
        selected = self.components.gateway.directory.select(ADMIN)
        return [account.id for account in selected if account.connector == connector]

    async def read_metric(self, name: str, **labels: str) -> float | None:
        """Return the value of a metric, or None if ``/metrics`` does not list it."""
        text = (await self.client.get("/metrics")).text
        for line in text.splitlines():
            written = re.fullmatch(rf"balance_gateway_{name}(?:\{{(.*)\}})? (\S+)", line)
            if written and dict(re.findall(r'(\w+)="([^"]*)"', written[1] or "")) == labels:
                return float(written[2])
        return None

    async def query(self, query: str) -> Any:
        """Send a query over HTTP and return the response."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return (await self.client.post("/graphql", json={"query": query}, headers=headers)).json()

    async def send_delayed_request(self) -> int:
        """Send a request that has waited too long, and return the response's status."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await self.app({**scope, "received_s": 0.0}, receive, send)

        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            headers = {"Authorization": f"Bearer {self.key}"}
            query = {"query": "{ __typename }"}
            return (await client.post("/graphql", json=query, headers=headers)).status_code

    async def read_readiness(self) -> Any:
        """Return what ``/readyz`` reports, without the version of the configuration."""
        readiness = (await self.client.get("/readyz")).json()
        readiness.pop("configuration", None)
        return readiness

    async def reload(self) -> bool:
        """Reload the configuration; return whether it is used."""
        is_used = await self.app.reload()
        self.components = self.app.components
        return is_used


@asynccontextmanager
async def run_gateway(
    settings: Settings,
    clock: Any = system_clock,
    read_settings: Callable[[], Settings] | None = None,
) -> AsyncIterator[GatewayHarness]:
    """Run a gateway with these settings; ``read_settings`` reads those of a reload."""
    app = build_app(settings, clock, read_settings)
    async with app.running() as components:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield GatewayHarness(app, components, client, settings.api_keys[0].key.reveal())


def with_connector(settings: Settings, connector: str = "light-acme", **changes: Any) -> Settings:
    """Return the settings with changes to a connector."""
    assert connector in [one.name for one in settings.connectors]
    connectors = [
        replace(one, settings=structs.replace(one.settings, **changes))
        if one.name == connector
        else one
        for one in settings.connectors
    ]
    return replace(settings, connectors=tuple(connectors))


def with_cache(settings: Settings, **changes: Any) -> Settings:
    """Return the settings with changes to the cache."""
    return replace(settings, cache=structs.replace(settings.cache, **changes))


def with_request_timeout(settings: Settings, request_timeout_s: float = 1.0) -> Settings:
    """Return the settings with a short request timeout, so that no read waits for a budget."""
    return replace(
        settings, server=structs.replace(settings.server, request_timeout_s=request_timeout_s)
    )
