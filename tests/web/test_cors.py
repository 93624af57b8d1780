"""Pages of other origins: preflights, response headers, and the direct path."""

import httpx
import pytest

from balance_gateway.web.cors import CorsPolicy
from tests.api.fakes import READ, GatewayHarness, open_client
from tests.server.test_direct_response import DirectWrites

APP = "https://app.example"
QUERY = {"query": "{ __typename }"}


async def ask_preflight(
    harness: GatewayHarness, cors: CorsPolicy | None, headers: str, origin: str = APP
) -> httpx.Response:
    async with open_client(harness, cors=cors) as client:
        return await client.http.options(
            "/graphql",
            headers={
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": headers,
            },
        )


@pytest.mark.parametrize(
    "headers",
    [
        "authorization,content-type",
        "apollographql-client-name, apollographql-client-version",
        "traceparent,tracestate,baggage",
        "sentry-trace",
        "Authorization,X-Request-Id",
        "x-tenant",
    ],
)
async def test_usual_and_configured_headers_pass_a_preflight(harness: GatewayHarness, headers: str):
    """GraphQL clients and tracing libraries add headers; their preflights failed."""
    response = await ask_preflight(harness, CorsPolicy([APP], ["X-Tenant"]), headers)

    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == APP
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_other_origins_and_headers_fail_a_preflight(harness: GatewayHarness):
    without = await ask_preflight(harness, None, "authorization")
    header = await ask_preflight(harness, CorsPolicy([APP]), "x-unheard-of")
    origin = await ask_preflight(
        harness, CorsPolicy([APP]), "authorization", "https://evil.example"
    )

    assert (without.status_code, header.status_code, origin.status_code) == (405, 400, 400)
    for response in (without, origin):
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    ("origins", "sent", "allowed"),
    [
        ([APP], APP, APP),
        ([APP, "https://b.example"], "https://b.example", "https://b.example"),
        ([APP], "https://evil.example", None),
        ([APP], None, None),
        (["*"], "https://any.example", "*"),
    ],
)
async def test_every_response_names_the_allowed_origin(
    harness: GatewayHarness, origins, sent, allowed
):
    headers = {} if sent is None else {"Origin": sent}
    async with open_client(harness, cors=CorsPolicy(origins)) as client:
        client.http.headers.update(headers)
        good = await client.post("{ __typename }")
        refused = await client.post("{ __typename }", key="unknown")

    for response in (good, refused):
        assert response.headers.get("access-control-allow-origin") == allowed
        assert ("Origin" in response.headers["vary"]) is (origins != ["*"])
    assert (good.status_code, refused.status_code) == (200, 401)


async def test_responses_to_other_origins_are_written_directly(
    harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch
):
    """With ``cors_origins`` every response took the slow path."""
    direct = DirectWrites(monkeypatch, allowed=True)
    async with open_client(harness, cors=CorsPolicy([APP])) as client:
        response = await client.http.post(
            "/graphql", json=QUERY, headers={"Authorization": f"Bearer {READ}", "Origin": APP}
        )

    assert direct.count == 1
    assert response.headers["access-control-allow-origin"] == APP
