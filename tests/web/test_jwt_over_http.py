"""Keys and tokens side by side, over a real server and in the assembled gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from balance_gateway.api.execution.engine import Engine
from balance_gateway.app import build_app
from balance_gateway.config.reader import parse_settings
from balance_gateway.domain.errors import Unauthenticated
from balance_gateway.web.auth import ApiKeys, Authenticators
from balance_gateway.web.graphql import GraphQLEndpoint
from balance_gateway.web.health_endpoints import HealthEndpoints
from balance_gateway.web.routes import build_web_app
from tests.api.fakes import ADMIN, READ, World, api_keys, served
from tests.servers import free_port
from tests.web.issuer import (
    AUDIENCE,
    ISSUER,
    NOW,
    Parts,
    claims,
    header,
    issuing,
    rsa_key,
    token,
)
from tests.web.test_auth import key

IDS = "{ bankAccounts(first: 100) { nodes { id } } }"
UPSERT = (
    'mutation { upsertOpeningBalance(input: {accountId: "acct_yen", amount: {minorUnits: 1, '
    'currency: "JPY"}}) { __typename } }'
)
REFUSAL = {
    "errors": [
        {
            "message": "This credential is not known, or no longer good.",
            "extensions": {"code": "UNAUTHENTICATED", "retryable": False},
        }
    ]
}


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Parts, httpx.AsyncClient]]:
    world = World()
    async with issuing() as parts:
        authenticator = Authenticators(ApiKeys(api_keys()), parts.authenticator)
        app = build_web_app(
            graphql=GraphQLEndpoint(Engine(world.gateway), authenticator),
            operations=HealthEndpoints(checks={}, registry=CollectorRegistry()),
        )
        async with (
            served(app) as url,
            httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http,
        ):
            yield parts, http


async def asked(http: httpx.AsyncClient, credential: str, query: str = IDS) -> httpx.Response:
    headers = {"Authorization": f"Bearer {credential}"}
    return await http.post("/graphql", json={"query": query}, headers=headers)


def code(response: httpx.Response) -> Any:
    return response.json()["errors"][0]["extensions"]["code"]


async def test_a_token_sees_its_tenant_and_does_what_its_scopes_allow():
    async with serving() as (_, http):
        acme = (await asked(http, token())).json()
        globex = (await asked(http, token(claims(tenant="globex")))).json()
        nobody = (await asked(http, token(claims(tenant="initech")))).json()
        reading = await asked(http, token(), UPSERT)
        writing = await asked(http, token(claims(scope="balances:read balances:write")), UPSERT)
        without = await asked(http, token(claims(scope="openid")))

    assert len(acme["data"]["bankAccounts"]["nodes"]) == 5
    assert globex["data"]["bankAccounts"]["nodes"] == [{"id": "acct_foreign"}]
    assert nobody["data"]["bankAccounts"]["nodes"] == []
    assert code(reading) == code(without) == "FORBIDDEN"
    assert "errors" not in writing.json()


async def test_keys_are_good_beside_tokens_also_one_with_two_dots():
    async with issuing() as parts:
        both = Authenticators(ApiKeys([key("a.b.c", "dotted"), key("plain")]), parts.authenticator)

        assert (await both.authenticate("a.b.c")).name == "dotted"
        assert (await both.authenticate("plain")).name == "dashboard"
        assert (await both.authenticate(token())).name == "ada"
        for other in ("a.b.d", "a.b", "a.b.c.d", "..", ""):
            with pytest.raises(Unauthenticated):
                await both.authenticate(other)
        assert parts.issuer.requests == 1


async def test_every_refusal_is_the_same_answer():
    bad = [
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
    async with serving() as (parts, http):
        answers = [await asked(http, credential) for credential in bad]
        parts.issuer.status = 500
        parts.times.pass_by(90_000)
        answers.append(await asked(http, token(claims(exp=claims()["exp"] + 90_000))))

    for answer in answers:
        assert answer.status_code == 401
        assert answer.json() == REFUSAL
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["cache-control"] == "no-store"


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
async def test_only_one_authorization_header_of_its_form_is_read(headers):
    filled = [(name, value.format(good=token())) for name, value in headers]
    async with serving() as (_, http):
        response = await http.post("/graphql", json={"query": IDS}, headers=filled)
        good = await asked(http, token())

    assert (response.status_code, code(response)) == (401, "UNAUTHENTICATED")
    assert good.status_code == 200


@pytest.mark.parametrize("place", ["access_token", "token", "jwt"])
async def test_a_token_in_the_query_string_is_no_credential(place):
    async with serving() as (_, http):
        response = await http.get("/graphql", params={"query": IDS, place: token()})

    assert response.status_code == 401


@asynccontextmanager
async def assembled_gateway(
    directory: Path, jwks_url: str | None, **server: Any
) -> AsyncIterator[httpx.AsyncClient]:
    (directory / "key").write_text(ADMIN)
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
        served(app) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http,
    ):
        yield http


async def test_the_gateway_takes_both_when_it_is_told_of_an_issuer(tmp_path: Path):
    async with issuing() as parts, assembled_gateway(tmp_path, parts.issuer.url) as http:
        for credential in (ADMIN, token()):
            answer = (await asked(http, credential)).json()
            assert answer["data"]["bankAccounts"]["nodes"] == [{"id": "till"}]
        assert (await asked(http, token(claims(iss="other")))).status_code == 401


async def test_without_an_issuer_a_token_is_an_unknown_key(tmp_path: Path):
    async with assembled_gateway(tmp_path, None) as http:
        assert (await asked(http, token())).json() == REFUSAL
        assert (await asked(http, ADMIN)).status_code == 200


async def test_an_issuer_that_is_down_hinders_neither_start_nor_readiness_nor_keys(tmp_path: Path):
    async with assembled_gateway(tmp_path, f"http://127.0.0.1:{free_port()}/jwks") as http:
        assert (await asked(http, token())).json() == REFUSAL
        assert (await asked(http, ADMIN)).status_code == 200
        assert (await http.get("/readyz")).status_code == 200


async def test_the_console_is_there_only_when_it_is_switched_on(tmp_path: Path):
    async with assembled_gateway(tmp_path, None) as http:
        for path in ("/graphiql", "/graphiql.js", "/graphiql.css", "/graphiql-schema.js"):
            assert (await http.get(path)).status_code == 404
    async with assembled_gateway(tmp_path, None, graphiql=True) as http:
        assert (await http.get("/graphiql")).status_code == 200
        assert (await http.post("/graphql", json={"query": IDS})).status_code == 401
