"""GraphQL over HTTP: methods, media types, statuses, headers."""

import json
import sys

import pytest

from balance_gateway.web.graphql import EndpointLimits
from balance_gateway.web.load_shedding import LoadLimits
from balance_gateway.web.media_types import GRAPHQL_RESPONSE, JSON, is_json, negotiate
from tests.api.fakes import ADMIN, READ, GatewayHarness, open_client

AUTH = {"Authorization": f"Bearer {READ}"}
MUTATION = (
    'mutation { upsertOpeningBalance(input: {accountId: "acct_yen", amount: {minorUnits: 1, '
    'currency: "JPY"}}) { __typename } }'
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/json", JSON),
        ("application/graphql-response+json", GRAPHQL_RESPONSE),
        ("application/graphql-response+json, application/json", GRAPHQL_RESPONSE),
        ("application/json, application/graphql-response+json", JSON),
        ("application/json;q=0.5, application/graphql-response+json;q=0.6", GRAPHQL_RESPONSE),
        ("application/json;q=0, */*", GRAPHQL_RESPONSE),
        ("application/graphql-response+json, application/json; q=0.9, */*;q=0.1", GRAPHQL_RESPONSE),
        ("application/graphql-response+json; charset=utf-8", GRAPHQL_RESPONSE),
        ("APPLICATION/JSON", JSON),
        ("text/html, */*;q=0.1", JSON),
        ("text/event-stream;q=0, application/graphql-response+json", GRAPHQL_RESPONSE),
        ("text/html", None),
        ("application/json;q=0", None),
        ("application/json;q=x", None),
        ("multipart/mixed", None),
    ],
)
def test_media_type_is_negotiated_by_accept(accept, expected):
    assert negotiate(accept) == expected


@pytest.mark.parametrize("parse", [negotiate, is_json])
def test_a_long_header_is_parsed_and_not_cached(parse):
    header = ", ".join(["application/json", *["text/x"] * 10_000])
    references = sys.getrefcount(header)

    parse(header)

    assert sys.getrefcount(header) == references
    assert negotiate(header) == JSON


async def send(harness: GatewayHarness, query: str, accept: str, key: str = READ, **settings):
    async with open_client(harness, **settings) as client:
        return await client.http.post(
            "/graphql",
            json={"query": query},
            headers={"Authorization": f"Bearer {key}", "Accept": accept},
        )


@pytest.mark.parametrize(
    ("query", "key", "status"),
    [
        ("{ __typename }", READ, 200),
        ('{ bankAccount(id: "none") { id } }', READ, 294),
        ('{ nodes(ids: ["none", "acct_yen"]) { id } }', READ, 294),
        ("{ bankAccounts(first: 0) { totalCount } }", READ, 200),
        ('{ bankAccounts(after: "") { totalCount } }', READ, 200),
        ("{ bankAccounts(first: " + "9" * 4301 + ") { totalCount } }", READ, 400),
        ("{", READ, 400),
        ("{ nothing }", READ, 400),
        ("query ($a: ID!) { bankAccount(id: $a) { id } }", READ, 400),
        ("{" + "a: __typename " * 500 + "}", READ, 400),
        (MUTATION, READ, 403),
        (MUTATION, ADMIN, 200),
    ],
)
async def test_each_media_type_has_its_statuses(harness: GatewayHarness, query, key, status):
    strict = await send(harness, query, GRAPHQL_RESPONSE, key)
    plain = await send(harness, query, JSON, key)

    assert strict.status_code == status
    # A number that nothing may convert is refused like one in the JSON body.
    assert plain.status_code == (400 if "9999" in query else 200)
    assert strict.headers["content-type"] == f"{GRAPHQL_RESPONSE}; charset=utf-8"
    assert plain.headers["content-type"] == f"{JSON}; charset=utf-8"
    assert ("data" in strict.json()) is (status < 300)
    if status == 294:
        assert strict.json()["data"]
        assert strict.json()["errors"]


async def test_an_unacceptable_media_type_gets_a_406(harness: GatewayHarness):
    response = await send(harness, "{ __typename }", "text/html")

    assert response.status_code == 406
    assert "application/json" in response.json()["errors"][0]["message"]


async def test_a_get_executes_a_query(harness: GatewayHarness):
    async with open_client(harness) as client:
        response = await client.http.get(
            "/graphql",
            params={
                "query": "query A($id: ID!) { bankAccount(id: $id) { id } } query B { __typename }",
                "variables": json.dumps({"id": "acct_yen"}),
                "operationName": "A",
                "extensions": "{}",
            },
            headers=AUTH,
        )

    assert response.json() == {"data": {"bankAccount": {"id": "acct_yen"}}}


async def test_a_get_never_executes_a_mutation(harness: GatewayHarness):
    async with open_client(harness) as client:
        for accept in (JSON, GRAPHQL_RESPONSE):
            response = await client.http.get(
                "/graphql",
                params={"query": MUTATION},
                headers={"Authorization": f"Bearer {ADMIN}", "Accept": accept},
            )
            assert response.status_code == 405
            assert response.headers["allow"] == "POST"

    assert harness.writer.requests == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_get_a_405(harness: GatewayHarness, method):
    async with open_client(harness) as client:
        response = await client.http.request(method, "/graphql", headers=AUTH)

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, POST"


async def test_responses_are_not_cacheable_and_have_a_request_id(harness: GatewayHarness):
    async with open_client(harness) as client:
        response = await client.http.post(
            "/graphql",
            json={"query": "{ __typename }"},
            headers={**AUTH, "X-Request-Id": "from-the-client.1"},
        )
        forged = await client.http.post(
            "/graphql", json={}, headers={**AUTH, "X-Request-Id": "a b\tc"}
        )

    assert response.headers["cache-control"] == "no-store"
    assert "Accept" in response.headers["vary"]
    assert response.headers["x-request-id"] == "from-the-client.1"
    assert len(forged.headers["x-request-id"]) == 32


async def test_an_internal_error_is_masked(harness: GatewayHarness, caplog):
    class BrokenEngine:
        def prepare(self, request):
            raise RuntimeError("secret")

    async with open_client(harness) as client:
        assert harness.endpoint is not None
        harness.endpoint._engine = BrokenEngine()  # type: ignore[assignment]
        response = await client.post("{ __typename }")

    assert response.status_code == 500
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    assert response.headers["x-request-id"] in error["message"]
    assert "secret" not in response.text + " ".join(str(vars(record)) for record in caplog.records)


async def test_requests_above_the_limit_get_a_503_with_retry_after(harness: GatewayHarness):
    import asyncio

    harness.reads.gate = asyncio.Event()
    query = '{ bankAccount(id: "acct_yen") { balance { asOf } } }'

    limits = EndpointLimits(load=LoadLimits(reads=1))
    async with open_client(harness, endpoint_limits=limits) as client:
        first = asyncio.ensure_future(client.post(query))
        while not harness.reads.calls:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        rejected = await client.post(query)
        harness.reads.gate.set()
        completed = await first
        again = await client.post(query)

    assert rejected.status_code == 503
    assert rejected.headers["retry-after"] == "1"
    assert rejected.json()["errors"][0]["extensions"]["retryable"] is True
    assert (completed.status_code, again.status_code) == (200, 200)


async def test_a_head_is_answered_like_its_get_without_the_body(harness: GatewayHarness):
    """Monitors that ask with HEAD got a 405."""
    ask = {"params": {"query": "{ __typename }"}, "headers": AUTH}
    async with open_client(harness) as client:
        got = await client.http.get("/graphql", **ask)
        head = await client.http.head("/graphql", **ask)
        write = await client.http.head(
            "/graphql",
            params={"query": MUTATION},
            headers={"Authorization": f"Bearer {ADMIN}"},
        )

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]
    assert (write.status_code, write.headers["allow"]) == (405, "POST")
    assert harness.writer.requests == []


@pytest.mark.parametrize("name", ["", None])
async def test_an_empty_operation_name_is_none(harness: GatewayHarness, name):
    """POST refused what GET ignored."""
    async with open_client(harness) as client:
        posted = await client.post("{ __typename }", operationName=name)
        got = await client.http.get(
            "/graphql", params={"query": "{ __typename }", "operationName": ""}, headers=AUTH
        )

    assert posted.json() == got.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize("coding", ["identity", "Identity", "IDENTITY", ""])
async def test_the_identity_coding_is_accepted_in_any_case(harness: GatewayHarness, coding):
    async with open_client(harness) as client:
        response = await client.http.post(
            "/graphql", json={"query": "{ __typename }"},
            headers={**AUTH, "Content-Encoding": coding},
        )  # fmt: skip
        gzip = await client.http.post(
            "/graphql",
            json={"query": "{ __typename }"},
            headers={**AUTH, "Content-Encoding": "GZip"},
        )

    assert (response.status_code, gzip.status_code) == (200, 415)


@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
async def test_an_unchanged_response_to_a_get_is_not_sent_again(harness: GatewayHarness, coding):
    names = " ".join(f"a{number}: __typename" for number in range(150))
    ask = {"query": "{ " + names + " }"}
    headers = {**AUTH, "Accept-Encoding": coding}
    async with open_client(harness) as client:
        first = await client.http.get("/graphql", params=ask, headers=headers)
        known = {"If-None-Match": first.headers["etag"]}
        again = await client.http.get("/graphql", params=ask, headers={**headers, **known})
        other = await client.http.get(
            "/graphql", params={"query": "{ __typename }"}, headers={**headers, **known}
        )
        without_key = await client.http.get("/graphql", params=ask, headers=known)
        posted = await client.http.post("/graphql", json=ask, headers={**headers, **known})

    assert first.headers["etag"].endswith(f'-{coding}"') is (coding != "identity")
    assert first.headers["cache-control"] == again.headers["cache-control"] == "no-store"
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert "content-length" not in again.headers
    statuses = other.status_code, without_key.status_code, posted.status_code
    assert statuses == (200, 401, 200)
    assert "etag" not in posted.headers
