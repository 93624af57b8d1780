"""The fields ``viewer`` and ``gateway``: for any credential, without a call to a provider."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from balance_gateway import __version__
from balance_gateway.api.execution.engine import Engine, GraphQLRequest
from balance_gateway.api.request.context import Caller
from balance_gateway.domain.access import Principal, Scope
from tests.api.fakes import ADMIN, AUDITOR, OTHER, GatewayHarness, open_client

VIEWER = "{ viewer { name tenant scopes expiresAt } }"


@pytest.mark.parametrize(
    ("key", "tenant", "scopes"),
    [
        (ADMIN, "acme", ["balances:read", "balances:write"]),
        (OTHER, "globex", ["balances:read", "balances:write"]),
        (AUDITOR, "acme", ["audit:read"]),
    ],
)
async def test_viewer_is_the_credential_of_the_request(
    harness: GatewayHarness, key: str, tenant: str, scopes: list[str]
):
    async with open_client(harness) as client:
        data = await client.data(VIEWER, key=key)

    expected = {"name": key, "tenant": tenant, "scopes": scopes, "expiresAt": None}
    assert data == {"viewer": expected}
    assert harness.reads.calls == []


async def execute(harness: GatewayHarness, principal: Principal, query: str) -> bytes:
    engine = Engine(harness.gateway)
    operation = engine.prepare(GraphQLRequest(query))
    return (await engine.execute(operation, Caller(principal, "request"))).body


async def test_viewer_shows_the_expiry_of_a_token_also_without_scopes(harness: GatewayHarness):
    expires_at = datetime(2026, 11, 21, 13, tzinfo=UTC)
    principal = Principal("ada", "acme", frozenset(), expires_at)

    body = await execute(harness, principal, "{ viewer { scopes expiresAt } }")

    assert body == b'{"data":{"viewer":{"scopes":[],"expiresAt":"2026-11-21T13:00:00Z"}}}'


@pytest.mark.parametrize(("configured", "shown"), [("", "null"), ("staging", '"staging"')])
async def test_gateway_shows_version_and_environment(
    harness: GatewayHarness, configured: str, shown: str
):
    harness.gateway = replace(harness.gateway, environment=configured)
    principal = Principal("ada", "acme", frozenset())

    body = await execute(harness, principal, "{ gateway { version environment } }")

    gateway = f'{{"version":"{__version__}","environment":{shown}}}'
    assert body.decode() == f'{{"data":{{"gateway":{gateway}}}}}'


async def test_callers_with_another_scope_missing_see_themselves(harness: GatewayHarness):
    """The rest of the document keeps its own scope."""
    async with open_client(harness) as client:
        answer = await client.ask('{ viewer { name } node(id: "x") { id } }', key=AUDITOR)

    assert answer["data"] == {"viewer": {"name": AUDITOR}, "node": None}
    assert [error["path"] for error in answer["errors"]] == [["node"]]


def test_principals_that_differ_in_expiry_alone_are_equal():
    scopes = frozenset({Scope.BALANCES_READ})
    principal = Principal("ada", "acme", scopes, datetime(2026, 1, 1, tzinfo=UTC))

    assert principal == Principal("ada", "acme", scopes)
    assert hash(principal) == hash(Principal("ada", "acme", scopes))
