"""Kept responses and values of two processes that share Redis."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest

from balance_gateway.domain.access import Principal
from balance_gateway.pipeline.cache.cache_store import RedisStore
from balance_gateway.pipeline.cache.redis_fence import RedisFences
from balance_gateway.pipeline.redis_client import RedisClient
from balance_gateway.web.graphql import GraphQLEndpoint
from tests.api.compiled.gateway_harness import READER, FiguresProvider, GatewayHarness
from tests.servers import redis_url as open_redis

PLAIN = "{ balance { ledger { amount } } }"
UNCACHED = "{ balance(maxAgeSeconds: 0) { ledger { amount } } }"
FIRST = "{ bankAccounts(first: 3) { nodes { balance { ledger { amount } } } } }"
TOTALS = "{ balanceTotals { currency ledger { amount } } }"


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with open_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


async def has_no_writes() -> bool:
    return False


@pytest.fixture
async def replicas(redis_url: str) -> AsyncIterator[list[GatewayHarness]]:
    provider, harnesses = FiguresProvider(), []
    for _ in range(2):
        redis = RedisClient.open(redis_url)
        await redis.client.flushdb()
        fences = RedisFences(redis, 30.0, has_no_writes)
        values = RedisStore(redis, 100.0)
        harnesses.append(GatewayHarness(provider=provider, fences=fences, values=values))
    yield harnesses
    for each in harnesses:
        await each.reads.aclose()
        await each.reads._fences.aclose()


async def read(harness: GatewayHarness, query: str) -> Any:
    response = orjson.loads(await harness.send(harness.compiled, query))
    assert "errors" not in response
    return response["data"]


async def read_amount(harness: GatewayHarness, selection: str = PLAIN) -> str:
    data = await read(harness, f'{{ bankAccount(id: "a0") {selection} }}')
    return str(data["bankAccount"]["balance"]["ledger"]["amount"])


async def count_looks(harness: GatewayHarness, query: str) -> int:
    """Send a query and return how many values were looked up for it."""
    looks = 0
    store: Any = harness.reads._store
    original = store.get

    async def get(keys: list[str]) -> Any:
        nonlocal looks
        looks += len(keys)
        return await original(keys)

    store.get = get
    await read(harness, query)
    store.get = original
    return looks


@pytest.mark.parametrize("query", [FIRST, TOTALS])
async def test_answers_are_kept_until_a_replica_changes_a_value(
    replicas: list[GatewayHarness], query: str
) -> None:
    first, second = replicas
    # The first request stores the values, which its own log then names once.
    for _ in range(3):
        older = await read(first, query)
    looks = [await count_looks(first, query)]
    first.provider.offset += 100
    await second.write("a0")

    newer = await read(first, query)

    assert looks == [0]
    assert newer != older
    assert await read(second, query) == newer


async def test_values_are_kept_for_other_documents(replicas: list[GatewayHarness]) -> None:
    first, _ = replicas
    for _ in range(3):
        await read(first, FIRST)

    assert await count_looks(first, FIRST.replace("first: 3", "first: 2")) == 0


async def test_a_newer_value_of_another_replica_is_not_followed_by_an_older_one(
    replicas: list[GatewayHarness],
) -> None:
    first, second = replicas
    older = [await read_amount(first) for _ in range(4)]
    first.provider.offset += 100

    newer = await read_amount(second, UNCACHED)

    assert newer not in older
    assert [await read_amount(first) for _ in range(3)] == [newer] * 3


async def test_nothing_kept_is_used_while_redis_does_not_answer(
    replicas: list[GatewayHarness],
) -> None:
    first, second = replicas
    older = [await read_amount(first) for _ in range(4)][-1]
    await second.write("a0")
    fences: Any = first.reads._fences
    fences._redis.note_failure(OSError())

    during = await read_amount(first)
    fences._redis.note_success()

    assert during != older
    assert await read_amount(first) == during


class AnyKey:
    """Takes any key for that of a reader."""

    async def authenticate(self, token: str) -> Principal:
        return READER


class HeldChanges:
    """Holds the check of the log back until a test allows it."""

    def __init__(self, harness: GatewayHarness) -> None:
        self.is_allowed = asyncio.Event()
        self.is_asked = asyncio.Event()
        self._check: Any = harness.reads.get_change_check()
        harness.compiled._change_check = self.check

    async def check(self) -> bool:
        self.is_asked.set()
        await self.is_allowed.wait()
        return bool(await self._check())


async def post(endpoint: GraphQLEndpoint, query: str) -> bytes:
    """Send a request to the endpoint, and return the body of the response."""
    sent: list[Any] = []
    body = orjson.dumps({"query": query})
    headers = [
        (b"authorization", b"Bearer key"),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    scope = {"type": "http", "method": "POST", "headers": headers, "query_string": b""}
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    await endpoint(scope, receive, send)
    return b"".join(each.get("body", b"") for each in sent)


async def test_no_kept_answer_is_sent_before_the_log_was_read(
    replicas: list[GatewayHarness],
) -> None:
    """Another replica's write is acknowledged while the request waits for the log."""
    first, second = replicas
    endpoint = GraphQLEndpoint(first.compiled, AnyKey())
    query = f'{{ bankAccount(id: "a0") {PLAIN} }}'
    older = [await post(endpoint, query) for _ in range(4)][-1]
    held = HeldChanges(first)

    answering = asyncio.create_task(post(endpoint, query))
    await held.is_asked.wait()
    await second.write("a0")
    held.is_allowed.set()
    newer = await answering

    assert b'"amount"' in newer
    assert newer != older
