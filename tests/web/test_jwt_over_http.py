"""API keys and tokens together, over HTTP and in a complete gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from balance_gateway.api.execution.engine import Engine
from balance_gateway.app.asgi import build_app
from balance_gateway.app.configuration import parse_settings
from balance_gateway.domain.errors import Unauthenticated
from balance_gateway.web.auth import INVALID_CREDENTIAL, ApiKeys, KeyOrTokenAuthenticator
from balance_gateway.web.graphql import GraphQLEndpoint
from balance_gateway.web.health_endpoints import HealthEndpoints
from balance_gateway.web.routes import build_web_app
from tests.api.fakes import READ, GatewayHarness, api_keys, run_server
from tests.http_clients import WITHOUT_TLS
from tests.servers import free_port
from tests.web.issuer import (
    AUDIENCE,
    ISSUER,
    NOW,
    TokenHarness,
    claims,
    header,
    rsa_key,
    run_issuer,
    token,
)
from tests.web.test_auth import make_api_key

#: The API key of the complete gateway.
CONFIGURED = "the-key-of-the-whole-gateway"
IDS = "{ bankAccounts(first: 100) { nodes { id } } }"
UPSERT = (
    'mutation { upsertOpeningBalance(input: {accountId: "acct_yen", amount: {minorUnits: 1, '
    'currency: "JPY"}}) { __typename } }'
)
REFUSAL = {
    "errors": [
        {
            "message": INVALID_CREDENTIAL,
            "extensions": {"code": "UNAUTHENTICATED", "retryable": False},
        }
    ]
}


@asynccontextmanager
async def serve() -> AsyncIterator[tuple[TokenHarness, httpx.AsyncClient]]:
    gateway = GatewayHarness()
    async with run_issuer() as harness:
        authenticator = KeyOrTokenAuthenticator(ApiKeys(api_keys()), harness.authenticator)
        app = build_web_app(
            graphql=GraphQLEndpoint(Engine(gateway.gateway), authenticator),
            operations=HealthEndpoints(checks={}, registry=CollectorRegistry()),
        )
        async with (
            run_server(app) as url,
            httpx.AsyncClient(
                base_url=url, trust_env=False, timeout=20, verify=WITHOUT_TLS
            ) as http,
        ):
            yield harness, http


async def send(http: httpx.AsyncClient, credential: str, query: str = IDS) -> httpx.Response:
    headers = {"Authorization": f"Bearer {credential}"}
    return await http.post("/graphql", json={"query": query}, headers=headers)


def code(response: httpx.Response) -> Any:
    return response.json()["errors"][0]["extensions"]["code"]


async def test_a_token_is_limited_to_its_tenant_and_scopes():
    async with serve() as (_, http):
        acme = (await send(http, token())).json()
        globex = (await send(http, token(claims(tenant="globex")))).json()
        unknown = (await send(http, token(claims(tenant="initech")))).json()
        reading = await send(http, token(), UPSERT)
        writing = await send(http, token(claims(scope="balances:read balances:write")), UPSERT)
        without = await send(http, token(claims(scope="openid")))

    assert len(acme["data"]["bankAccounts"]["nodes"]) == 5
    assert globex["data"]["bankAccounts"]["nodes"] == [{"id": "acct_foreign"}]
    assert unknown["data"]["bankAccounts"]["nodes"] == []
    assert code(reading) == code(without) == "FORBIDDEN"
    assert "errors" not in writing.json()


async def test_api_keys_work_beside_tokens_even_with_two_dots():
    async with run_issuer() as harness:
        authenticator = KeyOrTokenAuthenticator(
            ApiKeys([make_api_key("a.b.c", "dotted"), make_api_key("plain")]), harness.authenticator
        )

        assert (await authenticator.authenticate("a.b.c")).name == "dotted"
        assert (await authenticator.authenticate("plain")).name == "dashboard"
        assert (await authenticator.authenticate(token())).name == "ada"
        for other in ("a.b.d", "a.b", "a.b.c.d", "..", ""):
            with pytest.raises(Unauthenticated):
                await authenticator.authenticate(other)
        assert harness.issuer.requests == 1


async def test_all_rejected_credentials_get_the_same_response():
    invalid = [
        "unknown-key",
        token(claims(exp=1)),
        token(claims(iss="other")),
        token(head=header(alg="none"), algorithm="RS256"),
        token(head=header(kid="other")),
        token(key=rsa_key("evil")),
        token()[:-4],
        token() + ".A",
        "..",
    ]
    async with serve() as (harness, http):
        responses = [await send(http, credential) for credential in invalid]
        harness.issuer.status = 500
        harness.clocks.advance(90_000)
        responses.append(await send(http, token(claims(exp=claims()["exp"] + 90_000))))

    for response in responses:
        assert response.status_code == 401
        assert response.json() == REFUSAL
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Bearer {good}"), ("Authorization", "Bearer {good}")],
        [("Authorization", f"Bearer {READ}"), ("Authorization", "Bearer {good}")],
        [("Authorization", "Bearer {good}, Bearer {good}")],
        [("Authorization", "Bearer {good} x")],
        [("Authorization", "{good}")],
        [("Authorization", "JWT {good}")],
        [("Authorization", "Basic {good}")],
        [("X-Authorization", "Bearer {good}")],
        [("Cookie", "token={good}")],
    ],
)
async def test_only_one_well_formed_authorization_header_is_accepted(headers):
    filled = [(name, value.format(good=token())) for name, value in headers]
    async with serve() as (_, http):
        response = await http.post("/graphql", json={"query": IDS}, headers=filled)
        good = await send(http, token())

    assert (response.status_code, code(response)) == (401, "UNAUTHENTICATED")
    assert good.status_code == 200


@pytest.mark.parametrize("place", ["access_token", "token", "jwt"])
async def test_a_token_in_the_query_string_is_ignored(place):
    async with serve() as (_, http):
        response = await http.get("/graphql", params={"query": IDS, place: token()})

    assert response.status_code == 401


@asynccontextmanager
async def run_gateway(
    directory: Path, jwks_url: str | None, **server: Any
) -> AsyncIterator[httpx.AsyncClient]:
    (directory / "key").write_text(CONFIGURED)
    jwt = {"jwt": {"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": jwks_url}}
    api_key = {"name": "k", "key": "file:key", "tenant": "acme", "scopes": ["balances:read"]}
    values = {
        "server": server,
        "storage": {"url": f"sqlite:///{directory}/gateway.db"},
        "auth": {"api_keys": [api_key], **(jwt if jwks_url else {})},
        "connectors": {"books": {"provider": "local"}},
        "accounts": [
            {
                "id": "till",
                "tenant": "acme",
                "connector": "books",
                "name": "Till",
                "currency": "EUR",
            }
        ],
    }
    app = build_app(parse_settings(values, directory), clock=lambda: NOW)
    async with (
        app.running(),
        run_server(app) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=20, verify=WITHOUT_TLS) as http,
    ):
        yield http


async def test_a_configured_issuer_enables_tokens_beside_keys(tmp_path: Path):
    async with run_issuer() as harness, run_gateway(tmp_path, harness.issuer.url) as http:
        for credential in (CONFIGURED, token()):
            response = (await send(http, credential)).json()
            assert response["data"]["bankAccounts"]["nodes"] == [{"id": "till"}]
        assert (await send(http, token(claims(iss="other")))).status_code == 401


async def test_without_an_issuer_a_token_is_an_unknown_key(tmp_path: Path):
    async with run_gateway(tmp_path, None) as http:
        assert (await send(http, token())).json() == REFUSAL
        assert (await send(http, CONFIGURED)).status_code == 200


async def test_an_unavailable_issuer_affects_only_tokens(tmp_path: Path):
    async with run_gateway(tmp_path, f"http://127.0.0.1:{free_port()}/jwks") as http:
        assert (await send(http, token())).json() == REFUSAL
        assert (await send(http, CONFIGURED)).status_code == 200
        assert (await http.get("/readyz")).status_code == 200


async def test_the_console_is_served_only_when_it_is_enabled(tmp_path: Path):
    async with run_gateway(tmp_path, None) as http:
        for path in ("/graphiql", "/graphiql.js", "/graphiql.css", "/graphiql-schema.js"):
            assert (await http.get(path)).status_code == 404
    async with run_gateway(tmp_path, None, graphiql=True) as http:
        assert (await http.get("/graphiql")).status_code == 200
        assert (await http.post("/graphql", json={"query": IDS})).status_code == 401
