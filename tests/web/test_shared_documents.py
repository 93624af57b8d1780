"""Persisted queries that all processes share: found elsewhere, bounded, and never in the way."""

import asyncio
import hashlib

import pytest

from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.ports.document_store import KEPT_S
from balance_gateway.web.graphql import EndpointLimits
from balance_gateway.web.load_shedding import LoadLimits
from balance_gateway.web.persisted_queries import PersistedQueries
from balance_gateway.web.shared_documents import SharedDocuments
from tests.api.fakes import ADMIN, open_client
from tests.web.test_graphql_over_http import MUTATION
from tests.web.test_persisted_queries import DATA, QUERY, extension, post


def compute_hash(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()


class FakeStore:
    """A store in memory that fails or waits on request."""

    def __init__(self) -> None:
        self.documents: dict[str, str] = {}
        self.lookups: list[str] = []
        self.writes = 0
        self.fails = False
        self.open = asyncio.Event()
        self.open.set()

    async def find(self, digest: str) -> str | None:
        self.lookups.append(digest)
        await self.open.wait()
        self._check()
        return self.documents.get(digest)

    async def store(self, digest: str, document: str) -> None:
        self.writes += 1
        await self.open.wait()
        self._check()
        self.documents[digest] = document

    def _check(self) -> None:
        if self.fails:
            raise CacheUnavailable("The shared cache is unreachable.")


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def make_queries(store: FakeStore) -> PersistedQueries:
    return PersistedQueries(shared=SharedDocuments(store))


async def test_a_hash_registered_at_one_process_is_found_by_another(harness, store):
    """Behind a load balancer each process made the client send each document again."""
    one, other = make_queries(store), make_queries(store)
    async with open_client(harness, persisted_queries=one) as client:
        unknown = await post(client, extensions=extension(QUERY))
        await post(client, query=QUERY, extensions=extension(QUERY))
        await one.drain()
    async with open_client(harness, persisted_queries=other) as client:
        found = await post(client, extensions=extension(QUERY))
        again = await post(client, extensions=extension(QUERY), variables={})

    assert unknown.json()["errors"][0]["message"] == "PersistedQueryNotFound"
    assert DATA in found.text
    assert again.json() == found.json()
    assert store.lookups == [compute_hash(QUERY)] * 2, "one lookup of each process"


async def test_without_the_store_a_hash_is_not_found_and_documents_work(harness, store):
    store.fails = True
    persisted = make_queries(store)
    async with open_client(harness, persisted_queries=persisted) as client:
        unknown = await post(client, extensions=extension(QUERY))
        await post(client, query=QUERY, extensions=extension(QUERY))
        known = await post(client, extensions=extension(QUERY))
        await persisted.drain()
        store.fails = False
        await post(client, query=QUERY, extensions=extension(QUERY))
        await persisted.drain()

    code = unknown.json()["errors"][0]["extensions"]["code"]
    assert (unknown.status_code, code) == (200, "PERSISTED_QUERY_NOT_FOUND")
    assert DATA in known.text
    assert store.documents == {compute_hash(QUERY): QUERY}, "the next client registers it"


async def test_no_answer_waits_for_a_registration(harness, store):
    store.open.clear()
    persisted = make_queries(store)
    async with open_client(harness, persisted_queries=persisted) as client:
        answer = await post(client, query=QUERY, extensions=extension(QUERY))
        store_at_answer = dict(store.documents)
        store.open.set()
        await persisted.drain()

    assert DATA in answer.text
    assert store_at_answer == {}
    assert store.documents == {compute_hash(QUERY): QUERY}


async def test_a_stored_document_with_another_hash_is_not_executed(harness, store):
    """Whoever can write to Redis could otherwise choose what other callers execute."""
    store.documents[compute_hash(QUERY)] = MUTATION
    async with open_client(harness, persisted_queries=make_queries(store)) as client:
        answer = await post(client, ADMIN, extensions=extension(QUERY))

    assert answer.json()["errors"][0]["message"] == "PersistedQueryNotFound"
    assert harness.writer.requests == []


@pytest.mark.parametrize("digest", [compute_hash(MUTATION), compute_hash(MUTATION).upper()])
async def test_a_mutation_that_another_process_knows_counts_as_a_write(harness, store, digest):
    """A flood of reads must not turn it away, however its hash is written."""
    store.documents[compute_hash(MUTATION)] = MUTATION
    limits = EndpointLimits(load=LoadLimits(reads=0))
    persisted = make_queries(store)
    async with open_client(harness, persisted_queries=persisted, endpoint_limits=limits) as client:
        first = await post(client, ADMIN, extensions=extension(MUTATION, sha256Hash=digest))
        known = await post(client, ADMIN, extensions=extension(MUTATION, sha256Hash=digest))

    assert "OpeningBalanceApplied" in first.text
    assert "OpeningBalanceApplied" in known.text


async def test_requests_for_the_same_hash_share_one_lookup(store):
    store.open.clear()
    store.documents[compute_hash(QUERY)] = QUERY
    shared = SharedDocuments(store)
    finds = [asyncio.ensure_future(shared.find(compute_hash(QUERY))) for _ in range(5)]
    await asyncio.sleep(0)
    finds[0].cancel()
    store.open.set()

    assert await asyncio.gather(*finds[1:]) == [QUERY] * 4
    assert len(store.lookups) == 1


async def test_lookups_at_once_are_bounded(store):
    store.open.clear()
    shared = SharedDocuments(store)
    finds = [asyncio.ensure_future(shared.find(compute_hash(str(each)))) for each in range(1_000)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting = len(store.lookups)
    store.open.set()

    assert await asyncio.gather(*finds) == [None] * 1_000
    assert waiting == len(store.lookups) == 64


async def test_a_caller_cannot_fill_the_store(store):
    now = [0.0]
    shared = SharedDocuments(store, registered_bytes_max=1_000, monotonic_s=lambda: now[0])

    async def register(*documents: str) -> int:
        for document in documents:
            shared.register(compute_hash(document), document)
        await shared.drain()
        return sum(len(each.encode()) for each in store.documents.values())

    flood = [f"{{ a{number:095} }}" for number in range(100)]
    first = await register(*flood)
    now[0] += KEPT_S / 2
    later = await register(*flood[50:])

    assert 800 < first <= 1_000
    assert first < later <= 1_500


async def test_a_document_is_registered_again_only_after_half_its_time(store):
    """A client that always sends text and hash would use the limit up."""
    now = [0.0]
    shared = SharedDocuments(store, monotonic_s=lambda: now[0])
    writes = []
    for passed_s in (0.0, 1.0, KEPT_S / 2):
        now[0] += passed_s
        for _ in range(3):
            shared.register(compute_hash(QUERY), QUERY)
        await shared.drain()
        writes.append(store.writes)

    assert writes == [1, 1, 2]
