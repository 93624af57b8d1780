"""A whole gateway in this process: real wiring and storage, in front of the sandbox over HTTP."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import httpx

from balance_gateway.app.asgi import GatewayApp, build_app
from balance_gateway.app.gateway_builder import GatewayComponents
from balance_gateway.config.settings import Settings
from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.calendar_days import system_clock
from balance_gateway.ports.reads import (
    BalanceRequest,
)
from balance_gateway.service.opening_balances import UpsertRequest, UpsertResult

ADMIN = Principal("admin", "acme", frozenset(Scope))
LIGHT = "light-operating-eur"
DAY = date(2026, 2, 2)


@dataclass
class Sandbox:
    """The providers, imitated over HTTP."""

    url: str
    client: httpx.Client

    def control(self, method: str, path: str, body: Any = None) -> Any:
        response = self.client.request(method, f"/_control/{path}", json=body)
        assert response.is_success, response.text
        return response.json() if response.content else None

    def fault(self, kind: str, **spec: Any) -> None:
        self.control("POST", "faults", {"kind": kind, "times": None, **spec})

    def calls(self, provider: str, method: str | None = None) -> int:
        """How many were made, tokens included."""
        requests = self.control("GET", "requests")["requests"]
        methods = [one["method"] for one in requests if one["provider"] == provider]
        return len([one for one in methods if method in (None, one)])


class PassingClock:
    """The clock on the wall, which a test can put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> Any:
        return system_clock() + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@dataclass
class House:
    """A running gateway, asked past its web where nothing of the web is meant."""

    app: GatewayApp
    assembly: GatewayComponents
    client: httpx.AsyncClient
    key: str

    async def read(self, *accounts: str, day: date = DAY, is_today: bool = False) -> list[Any]:
        """The answers for a day: values with their state, or errors."""
        found = self.assembly.gateway.directory
        requests = [
            BalanceRequest(found.account(ADMIN, one), day, is_today) for one in accounts or (LIGHT,)
        ]
        return list(await self.assembly.gateway.reads.balances(requests))

    async def read_opening_balance(self, account_id: str) -> list[Any]:
        found = self.assembly.gateway.directory.account(ADMIN, account_id)
        return list(await self.assembly.gateway.reads.opening_balances([found]))

    async def write(self, minor_units: int, account_id: str = LIGHT) -> UpsertResult:
        found = self.assembly.gateway.directory.account(ADMIN, account_id)
        request = UpsertRequest(account_id, minor_units, None, found.currency)
        return await self.assembly.gateway.writes.upsert(ADMIN, request)

    def accounts(self, connector: str) -> list[str]:
        found = self.assembly.gateway.directory.select(ADMIN)
        return [account.id for account in found if account.connector == connector]

    async def metric(self, name: str, **labels: str) -> float | None:
        """What ``/metrics`` tells; None: nothing."""
        text = (await self.client.get("/metrics")).text
        for line in text.splitlines():
            written = re.fullmatch(rf"balance_gateway_{name}(?:\{{(.*)\}})? (\S+)", line)
            if written and dict(re.findall(r'(\w+)="([^"]*)"', written[1] or "")) == labels:
                return float(written[2])
        return None

    async def ask(self, query: str) -> Any:
        """The answer to a query, over HTTP."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return (await self.client.post("/graphql", json={"query": query}, headers=headers)).json()

    async def status_of_a_request_received_long_ago(self) -> int:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await self.app({**scope, "received_s": 0.0}, receive, send)

        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            headers = {"Authorization": f"Bearer {self.key}"}
            query = {"query": "{ __typename }"}
            return (await client.post("/graphql", json=query, headers=headers)).status_code

    async def ready(self) -> Any:
        return (await self.client.get("/readyz")).json()


@asynccontextmanager
async def running(settings: Settings, clock: Any = system_clock) -> AsyncIterator[House]:
    """The gateway of these settings."""
    app = build_app(settings, clock)
    async with app.running() as assembly:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield House(app, assembly, client, settings.api_keys[0].key.reveal())


def changed(settings: Settings, connector: str = "light-acme", **changes: Any) -> Settings:
    """The settings with changes to a connector."""
    assert connector in [one.name for one in settings.connectors]
    connectors = [
        replace(one, **changes) if one.name == connector else one for one in settings.connectors
    ]
    return replace(settings, connectors=tuple(connectors))


def caching(settings: Settings, **changes: Any) -> Settings:
    """The settings with changes to the cache."""
    return replace(settings, cache=replace(settings.cache, **changes))


def impatient(settings: Settings, request_timeout_s: float = 1.0) -> Settings:
    """The settings with a short deadline of requests, so that nobody waits for a budget."""
    return replace(settings, server=replace(settings.server, request_timeout_s=request_timeout_s))
