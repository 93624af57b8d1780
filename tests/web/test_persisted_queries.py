"""Automatic persisted queries: hashes in place of documents, in the shape of Apollo's clients."""

import hashlib
import json
from typing import Any

import httpx
import pytest

from balance_gateway.domain.errors import ErrorCode
from balance_gateway.web.graphql import EndpointLimits
from balance_gateway.web.load_shedding import LoadLimits
from balance_gateway.web.media_types import GRAPHQL_RESPONSE
from balance_gateway.web.persisted_queries import PersistedQueries, SentRequest
from tests.api.fakes import ADMIN, OTHER, READ, Client, GatewayHarness, open_client
from tests.web.test_graphql_over_http import MUTATION

QUERY = "query Names { bankAccounts { nodes { id } } }"
DATA = "acct_operating"


def extension(query: str, **changes: Any) -> dict[str, Any]:
    digest = hashlib.sha256(query.encode()).hexdigest()
    return {"persistedQuery": {"version": 1, "sha256Hash": digest, **changes}}


async def post(client: Client, key: str = READ, **body: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return await client.http.post("/graphql", json=body, headers=headers)


async def test_a_hash_is_found_after_its_document_was_sent(harness: GatewayHarness):
    """Apollo's link sends the hash first: every query failed with "query is missing"."""
    async with open_client(harness, persisted_queries=PersistedQueries()) as client:
        first = await post(client, extensions=extension(QUERY), operationName="Names")
        registered = await post(client, query=QUERY, extensions=extension(QUERY))
        by_hash = await post(client, extensions=extension(QUERY), operationName="Names")
        digest = extension(QUERY)["persistedQuery"]["sha256Hash"].upper()
        upper = await post(client, extensions=extension(QUERY, sha256Hash=digest), query=None)
        got = await client.http.get(
            "/graphql",
            params={"extensions": json.dumps(extension(QUERY)), "query": ""},
            headers={"Authorization": f"Bearer {READ}"},
        )
        other = await post(client, OTHER, extensions=extension(QUERY))

    assert first.status_code == 200
    assert first.json() == {
        "errors": [
            {
                "message": "PersistedQueryNotFound",
                "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND", "retryable": False},
            }
        ]
    }
    assert DATA in registered.text
    assert registered.json() == by_hash.json() == upper.json() == got.json()
    assert [node["id"] for node in other.json()["data"]["bankAccounts"]["nodes"]] == [
        "acct_foreign"
    ]


@pytest.mark.parametrize("settings", [None, PersistedQueries(enabled=False)])
async def test_without_persisted_queries_a_hash_is_not_supported(harness: GatewayHarness, settings):
    async with open_client(harness, persisted_queries=settings) as client:
        hash_only = await post(client, extensions=extension(QUERY))
        with_text = await post(client, query=QUERY, extensions=extension(QUERY))
        again = await post(client, extensions=extension(QUERY))
        client.http.headers["Accept"] = GRAPHQL_RESPONSE
        strict = await post(client, extensions=extension(QUERY))

    [error] = hash_only.json()["errors"]
    assert error["message"] == "PersistedQueryNotSupported"
    assert error["extensions"]["code"] == ErrorCode.PERSISTED_QUERY_NOT_SUPPORTED
    assert (hash_only.status_code, again.json(), strict.status_code) == (200, hash_only.json(), 400)
    assert DATA in with_text.text


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ("x", "extensions.persistedQuery must be a JSON object."),
        ([], "extensions.persistedQuery must be a JSON object."),
        ({}, "extensions.persistedQuery.version must be 1."),
        ({"version": 2, "sha256Hash": "0" * 64}, "extensions.persistedQuery.version must be 1."),
        ({"version": True, "sha256Hash": "0" * 64}, "extensions.persistedQuery.version must be 1."),
        ({"version": 1}, "extensions.persistedQuery.sha256Hash must be 64 hexadecimal digits."),
        (
            {"version": 1, "sha256Hash": "0" * 63},
            "extensions.persistedQuery.sha256Hash must be 64 hexadecimal digits.",
        ),
    ],
)
async def test_a_malformed_extension_gets_a_400(harness: GatewayHarness, sent, message):
    async with open_client(harness, persisted_queries=PersistedQueries()) as client:
        response = await post(client, query=QUERY, extensions={"persistedQuery": sent})

    assert (response.status_code, response.json()["errors"][0]["message"]) == (400, message)


async def test_a_document_under_another_hash_is_refused(harness: GatewayHarness):
    """Otherwise a caller could put a document of its own under the hash of another's."""
    async with open_client(harness, persisted_queries=PersistedQueries()) as client:
        forged = await post(client, query="{ __typename }", extensions=extension(QUERY))
        after = await post(client, extensions=extension(QUERY))

    assert forged.json()["errors"][0]["extensions"]["field"] == "extensions"
    assert after.json()["errors"][0]["message"] == "PersistedQueryNotFound"


async def test_an_invalid_document_is_not_kept(harness: GatewayHarness):
    async with open_client(harness, persisted_queries=PersistedQueries()) as client:
        await post(client, query="{ nothing }", extensions=extension("{ nothing }"))
        unknown = await post(client, "wrong", query=QUERY, extensions=extension(QUERY))
        answers = [await post(client, extensions=extension(q)) for q in ("{ nothing }", QUERY)]

    assert unknown.status_code == 401
    for answer in answers:
        assert answer.json()["errors"][0]["message"] == "PersistedQueryNotFound"


async def test_a_mutation_named_by_its_hash_counts_as_a_write(harness: GatewayHarness):
    """Reads must not take the place of writes, however these are sent."""
    limits = EndpointLimits(load=LoadLimits(reads=0))
    persisted = PersistedQueries()
    async with open_client(harness, persisted_queries=persisted, endpoint_limits=limits) as client:
        await post(client, ADMIN, query=MUTATION, extensions=extension(MUTATION))
        digest = extension(MUTATION)["persistedQuery"]["sha256Hash"].upper()
        written = await post(client, ADMIN, extensions=extension(MUTATION, sha256Hash=digest))
        got = await client.http.get(
            "/graphql",
            params={"extensions": json.dumps(extension(MUTATION))},
            headers={"Authorization": f"Bearer {ADMIN}"},
        )
        read = await post(client, query=QUERY)

    assert "OpeningBalanceApplied" in written.text
    assert (read.status_code, len(harness.writer.requests)) == (503, 2)
    assert got.status_code == 503


def sent(query: str | None, digest: str) -> SentRequest:
    return SentRequest(query, None, None, digest)


@pytest.mark.parametrize("limits", [{"documents_max": 2}, {"characters_max": 25}])
def test_kept_documents_are_bounded(limits: dict[str, int]):
    persisted = PersistedQueries(**limits)
    for digest in ("a", "b"):
        persisted.keep(sent("{ " + digest * 8 + " }", digest))
    persisted.complete(sent(None, "a"))
    persisted.keep(sent("{ cccccccc }", "c"))

    assert persisted.complete(sent(None, "a")).query == "{ aaaaaaaa }"
    assert persisted.complete(sent(None, "c")).query == "{ cccccccc }"
    with pytest.raises(Exception, match="PersistedQueryNotFound"):
        persisted.complete(sent(None, "b"))
