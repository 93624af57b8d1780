"""Every log line of a call to a provider names the request and the accounts."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from balance_gateway.config.settings import Settings
from balance_gateway.observability.logs import configure_logs
from tests.app.gateway_harness import GatewayHarness, SandboxClient, run_gateway, with_connector

LIGHT, ASSET = "light-operating-eur", ("asset-company-card", "asset-operating-checking")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """The logged JSON lines; the loggers are restored afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logs("DEBUG", terminal=False)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("balance_gateway").setLevel(logging.NOTSET)
    structlog.reset_defaults()


async def post(gateway: GatewayHarness, request_id: str, query: str) -> None:
    headers = {"Authorization": f"Bearer {gateway.key}", "X-Request-Id": request_id}
    await gateway.client.post("/graphql", json={"query": query}, headers=headers)


def ask(*account_ids: str) -> str:
    fields = '... on BankAccount { balance(asOf: "2026-02-02") { asOf } }'
    return f"{{ nodes(ids: {json.dumps(account_ids)}) {{ {fields} }} }}"


async def test_provider_log_lines_have_request_and_account_ids(
    demo_settings: Settings, sandbox: SandboxClient, lines: io.StringIO
) -> None:
    """They had neither: a line could not be found by the request that a caller reports."""
    # One call is tried again, one account has no call of its own, and one budget is spent.
    sandbox.inject_fault("status", provider="light", method="GET", status=503, times=1)
    settings = with_connector(demo_settings, "layer-acme", requests_per_minute=1)
    admin = next(one.key.reveal() for one in settings.api_keys if one.name == "demo-admin")
    async with run_gateway(settings) as gateway:
        await post(gateway, "read-light", ask(LIGHT))
        await post(gateway, "read-asset", ask(*ASSET))
        await post(gateway, "read-layer", ask("layer-operating-checking"))
        gateway.key = admin
        await post(
            gateway,
            "write-light",
            f'mutation {{ upsertOpeningBalance(input: {{accountId: "{LIGHT}",'
            ' amount: {amount: "1.00", currency: "EUR"}}) { __typename } }',
        )

    logged: list[dict[str, Any]] = [json.loads(line) for line in lines.getvalue().splitlines()]
    of_calls = [one for one in logged if one["event"].startswith(("provider.", "breaker."))]
    by_request: dict[str, list[dict[str, Any]]] = {}
    for one in of_calls:
        by_request.setdefault(one.get("request_id", "none"), []).append(one)
    assert set(by_request) == {"read-light", "read-asset", "read-layer", "write-light"}
    events = {name: {one["event"] for one in found} for name, found in by_request.items()}
    assert events["read-light"] == {"provider.called", "provider.tried_again"}
    assert "provider.held_back" in events["read-layer"]
    assert {one["because"] for one in by_request["write-light"]} >= {"write"}
    for name in ("read-light", "write-light"):
        assert {one["account_id"] for one in by_request[name]} == {LIGHT}
    for one in by_request["read-asset"]:
        assert (sorted(one["account_ids"]), one["accounts"]) == (sorted(ASSET), 2)
