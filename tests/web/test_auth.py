"""Authentication: one known bearer token, in one header of bounded size."""

import hashlib

import pytest

from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.errors import Unauthenticated
from balance_gateway.web.auth import ApiKey, ApiKeys, parse_bearer_token
from balance_gateway.web.request_headers import headers_by_name
from tests.api.fakes import READ, GatewayHarness, open_client

BODY = {"query": "{ __typename }"}


def make_api_key(secret: str, name: str = "dashboard", tenant: str = "acme") -> ApiKey:
    digest = hashlib.sha256(secret.encode()).digest()
    return ApiKey(name, digest, tenant, frozenset({Scope.BALANCES_READ}))


async def test_a_configured_key_authenticates_its_principal():
    keys = ApiKeys([make_api_key("a", "one", "acme"), make_api_key("b", "two", "globex")])

    assert await keys.authenticate("b") == Principal(
        "two", "globex", frozenset({Scope.BALANCES_READ})
    )


@pytest.mark.parametrize("token", ["", "c", "a ", "A", "a" * 8000])
async def test_any_other_key_is_rejected(token):
    with pytest.raises(Unauthenticated):
        await ApiKeys([make_api_key("a")]).authenticate(token)


async def test_without_configured_keys_every_key_is_rejected():
    with pytest.raises(Unauthenticated):
        await ApiKeys([]).authenticate("")


def test_keys_are_neither_stored_nor_shown():
    api_key = make_api_key("top-secret")

    assert "top-secret" not in repr(api_key) + repr(vars(ApiKeys([api_key])))
    assert api_key.key_sha256.hex() not in repr(api_key)


@pytest.mark.parametrize(
    "value", [b"Bearer abc", b"bearer abc", b"BEARER   abc ", b"Bearer a.b-c=="]
)
def test_a_bearer_token_is_parsed(value):
    assert parse_bearer_token(value).startswith("a")


@pytest.mark.parametrize(
    "values",
    [
        [],
        [b""],
        [b"Bearer"],
        [b"Bearer "],
        [b"Basic abc"],
        [b"abc"],
        [b"Bearer a b"],
        [b"Bearer \xe9"],
        [b"Bearer a\x00"],
        [b"Bearer a, Bearer b"],
        [b"Bearer abc", b"Bearer abc"],
        [b"Bearer " + b"a" * 8192],
    ],
)
def test_any_other_authorization_is_rejected(values):
    headers = headers_by_name([(b"authorization", value) for value in values])

    with pytest.raises(Unauthenticated):
        parse_bearer_token(headers.get(b"authorization"))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Bearer unknown")],
        [("Authorization", f"Basic {READ}")],
        [("Authorization", f"Bearer {READ}"), ("Authorization", f"Bearer {READ}")],
        [("Authorization", f"Bearer {READ}" + "a" * 9000)],
        [("X-Api-Key", READ)],
        [("Cookie", f"authorization={READ}")],
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json", "x/y"])
async def test_a_request_without_a_valid_credential_gets_a_401(
    harness: GatewayHarness, headers, accept
):
    async with open_client(harness) as client:
        responses = [
            await client.http.post("/graphql", json=BODY, headers=[*headers, ("Accept", accept)]),
            await client.http.get("/graphql", params=BODY, headers=[*headers, ("Accept", accept)]),
            await client.http.get("/graphql", headers=[*headers, ("Accept", accept)]),
        ]

    for response in responses:
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["cache-control"] == "no-store"
        assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert "data" not in response.json()


async def test_a_key_in_the_query_string_is_ignored(harness: GatewayHarness):
    async with open_client(harness) as client:
        response = await client.http.get("/graphql", params={**BODY, "access_token": READ})

    assert response.status_code == 401
