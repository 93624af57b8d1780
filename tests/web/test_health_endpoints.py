"""/healthz, /readyz and /metrics, which need no credential."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry, Counter

from balance_gateway.web.health_endpoints import HealthEndpoints
from tests.api.fakes import READ, GatewayHarness, open_client


async def pass_check():
    return None


async def test_healthz_returns_200(harness: GatewayHarness):
    async with open_client(harness) as client:
        response = await client.http.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert response.headers["cache-control"] == "no-store"


async def test_it_is_ready_when_every_check_passes(harness: GatewayHarness):
    harness.checks.update(storage=pass_check, cache=pass_check)

    async with open_client(harness) as client:
        response = await client.http.get("/readyz")

    assert response.status_code == 200
    assert response.json() == {"status": "ready", "checks": {"storage": "ok", "cache": "ok"}}


async def test_a_failing_check_makes_it_not_ready_and_is_named(harness: GatewayHarness):
    async def fail():
        raise RuntimeError("secret dsn")

    async def return_false():
        return False

    async def hang():
        await asyncio.Event().wait()

    harness.checks.update(storage=pass_check, cache=fail, other=return_false, slow=hang)

    async with open_client(harness) as client:
        response = await client.http.get("/readyz")
        health = await client.http.get("/healthz")

    assert response.status_code == 503
    assert response.json() == {
        "status": "not ready",
        "checks": {"storage": "ok", "cache": "failed", "other": "failed", "slow": "failed"},
    }
    assert "secret" not in response.text
    assert health.status_code == 200


async def test_it_is_not_ready_while_draining_and_still_serves(harness: GatewayHarness):
    async with open_client(harness) as client:
        assert harness.operations is not None
        harness.operations.start_draining()
        ready = await client.http.get("/readyz")
        data = await client.data("{ __typename }")

    assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
    assert data == {"__typename": "Query"}


async def test_metrics_are_read_from_the_registry(harness: GatewayHarness):
    async with open_client(harness) as client:
        registry = CollectorRegistry()
        Counter("balance_gateway_test", "A test.", registry=registry).inc(3)
        assert harness.operations is not None
        harness.operations._registry = registry
        response = await client.http.get("/metrics")

    assert response.status_code == 200
    assert "balance_gateway_test_total 3.0" in response.text
    assert response.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ([], 401),
        (["Bearer wrong"], 401),
        (["metrics-key"], 401),
        (["Bearer metrics-key", "Bearer metrics-key"], 401),
        (["Bearer metrics-key\u00e9".encode("latin-1")], 401),
        ([f"Bearer {READ}"], 401),
        (["Bearer metrics-key"], 200),
        (["bearer metrics-key"], 200),
    ],
)
async def test_metrics_require_their_key_where_one_is_set(
    harness: GatewayHarness, authorization, status
):
    async with open_client(harness, metrics_key="metrics-key") as client:
        headers = [("Authorization", value) for value in authorization]
        response = await client.http.get("/metrics", headers=headers)
        probe = await client.http.get("/readyz")

    assert response.status_code == status
    assert ("python_" in response.text or "error" not in response.text) is (status == 200)
    assert probe.status_code == 200


def test_endpoints_can_be_built_outside_an_event_loop():
    assert HealthEndpoints(checks={}, registry=CollectorRegistry())
