"""What needs no read is written without a task, with the bytes that a task would write."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from balance_gateway.api.compiled.engine import CompiledOperation
from balance_gateway.api.compiled.kept_responses import KeptResponses
from balance_gateway.api.execution.engine import GraphQLRequest
from balance_gateway.observability.request_metrics import DISCONNECTED, RequestMetrics
from balance_gateway.web.auth import ApiKeys
from balance_gateway.web.cors import CorsPolicy
from balance_gateway.web.graphql import EndpointLimits, GraphQLEndpoint
from balance_gateway.web.load_shedding import LoadLimits
from balance_gateway.web.persisted_queries import PersistedQueries
from balance_gateway.web.routes import WebApp
from tests.api.compiled.gateway_harness import GatewayHarness
from tests.api.fakes import ADMIN, READ, api_keys, build_idle_load_shedder, run_server

QUERY = b'{"query": "{ nodes(ids: [\\"a0\\", \\"a1\\"]) { id } }"}'
VALUE = (
    b'{"query": "{ nodes(ids: [\\"a0\\"]) { ... on BankAccount { openingBalance { source } } } }"}'
)
PARTIAL = b'{"query": "{ nodes(ids: [\\"a0\\", \\"none\\"]) { id } }"}'
LARGE = json.dumps(
    {"query": "{ nodes(ids: %s) { id __typename } }" % json.dumps(["a0", "a1"] * 400)}  # noqa: UP031
).encode()
GRAPHQL = b"Accept: application/graphql-response+json"


def post(body: bytes, *headers: bytes, path: bytes = b"/graphql", key: str = READ) -> bytes:
    lines = [
        b"POST %s HTTP/1.1" % path,
        b"Host: gateway",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        b"Authorization: Bearer " + key.encode(),
        b"X-Request-Id: r-1",
        *headers,
    ]
    return b"\r\n".join([*lines, b"", body])


class Gateway:
    """The web application of a compiled engine, with the number of its tasks."""

    def __init__(
        self,
        *,
        at_once: bool,
        limits: EndpointLimits | None = None,
        persisted_queries: PersistedQueries | None = None,
    ) -> None:
        self.requests = RequestMetrics()
        self.engine = GatewayHarness().compiled
        self.persisted_queries = persisted_queries or PersistedQueries(enabled=False)
        self.endpoint = GraphQLEndpoint(
            self.engine,
            ApiKeys(api_keys()),
            limits,
            persisted_queries=self.persisted_queries,
            cors=CorsPolicy(["https://app.example"]),
            requests=self.requests,
            load_shedder=build_idle_load_shedder(limits),
        )
        self.web = WebApp(self.endpoint, self.endpoint)
        self.tasks = 0
        self.ended: asyncio.Queue[None] = asyncio.Queue()
        if at_once:
            self.answer_at_once = self.web.answer_at_once
            self.expects_body = self.web.expects_body

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.tasks += 1
        try:
            await self.web(scope, receive, send)
        finally:
            self.ended.put_nowait(None)

    def count(self, status: int) -> int:
        return self.requests._slots[status]


@asynccontextmanager
async def connect(gateway: Any) -> AsyncIterator[Any]:
    async with run_server(gateway) as url, asyncio.timeout(10):
        streams = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        yield streams
        streams[1].close()


async def exchange(gateway: Any, requests: Sequence[bytes]) -> list[bytes]:
    """Send the requests one by one on one connection, and return the responses."""
    responses = []
    async with connect(gateway) as (reader, writer):
        for request in requests:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"HTTP/1.1 100"):
                head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            responses.append(head + await reader.readexactly(length))
    return responses


CASES = {
    "plain": (post(QUERY), True),
    "media type of GraphQL": (post(QUERY, GRAPHQL), True),
    "errors under JSON": (post(PARTIAL), True),
    "zstd": (post(LARGE, b"Accept-Encoding: zstd"), True),
    "gzip": (post(LARGE, b"Accept-Encoding: gzip"), True),
    "no coding": (post(LARGE, b"Accept-Encoding: br"), True),
    "small with a coding": (post(QUERY, b"Accept-Encoding: gzip"), True),
    "another origin": (post(QUERY, b"Origin: https://app.example"), True),
    "a foreign origin": (post(QUERY, b"Origin: https://other.example"), True),
    "expect": (post(QUERY, b"Expect: 100-continue"), True),
    "below a slash": (post(QUERY, path=b"/graphql/"), True),
    "errors under GraphQL": (post(PARTIAL, GRAPHQL), True),
    "no media type": (post(QUERY, b"Accept: text/html"), False),
    "no key": (post(QUERY, key="unknown"), False),
    "two keys": (post(QUERY, b"Authorization: Bearer x"), False),
    "content coding": (post(QUERY, b"Content-Encoding: gzip"), False),
    "two media types": (post(QUERY, b"Content-Type: text/plain"), False),
    "another document": (post(b'{"query": "{ nonsense }"}'), False),
    "not JSON": (post(b"{"), False),
    "too large": (post(QUERY + b" " * 3000), False),
}


@pytest.mark.parametrize(("request_", "at_once"), CASES.values(), ids=CASES)
async def test_a_repeated_request_gets_the_bytes_that_a_task_would_write(
    request_: bytes, at_once: bool
) -> None:
    limits = EndpointLimits(body_bytes=2_500 if b"too" not in request_ else 10)
    if b"nodes(ids: " in request_ and len(request_) > 5_000:
        limits = EndpointLimits()
    direct, tasks = (Gateway(at_once=each, limits=limits) for each in (True, False))

    answers = [await exchange(each, [request_] * 4) for each in (direct, tasks)]

    assert answers[0] == answers[1]
    assert (direct.tasks, tasks.tasks) == (0 if at_once else 4, 4)
    statuses = [[gateway.count(status) for status in range(600)] for gateway in (direct, tasks)]
    assert statuses[0] == statuses[1]
    assert sum(statuses[0]) == 4


async def test_values_that_must_be_read_need_a_task_and_are_kept_for_other_requests() -> None:
    gateway = Gateway(at_once=True)
    other = VALUE.replace(b"{ source }", b"{ source  }")

    answers = await exchange(gateway, [post(VALUE), post(VALUE), post(other)])

    assert gateway.tasks == 1
    assert answers[0] == answers[1] == answers[2]


async def test_a_request_is_prepared_twice_however_often_its_values_change() -> None:
    gateway = Gateway(at_once=True)
    engine = gateway.engine
    prepared: list[str] = []
    prepare = engine.prepare

    def prepare_and_note(request: GraphQLRequest) -> CompiledOperation:
        prepared.append(request.query)
        return prepare(request)

    engine.prepare = prepare_and_note  # type: ignore[method-assign]
    answers = []
    for _ in range(4):
        engine._kept_responses = KeptResponses()
        answers += await exchange(gateway, [post(VALUE)])

    assert len(set(answers)) == 1
    # It is kept from the second time on. A task takes what was prepared for it.
    assert len(prepared) == 2
    assert gateway.tasks == 1


async def test_a_hash_with_its_text_is_registered_each_time() -> None:
    """Another process may have lost it, or this one."""
    query = json.loads(VALUE)["query"]
    digest = hashlib.sha256(query.encode()).hexdigest()
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": digest}}
    both = json.dumps({"query": query, "extensions": extensions}).encode()
    only = json.dumps({"extensions": extensions}).encode()
    gateway = Gateway(at_once=True, persisted_queries=PersistedQueries())
    await exchange(gateway, [post(both)])
    gateway.engine._kept_responses = KeptResponses()
    gateway.persisted_queries._documents.clear()

    answers = await exchange(gateway, [post(both), post(only)])

    assert [b"PROVIDER" in each for each in answers] == [True, True], answers


async def test_a_mutation_by_hash_needs_its_document_each_time() -> None:
    mutation = """mutation { upsertOpeningBalance(input: {accountId: "a0",
        amount: {amount: "1.00", currency: "EUR"}}) { __typename } }"""
    digest = hashlib.sha256(mutation.encode()).hexdigest()
    persisted_queries = PersistedQueries()
    persisted_queries._add(digest, mutation)
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": digest}}
    only = json.dumps({"extensions": extensions}).encode()
    gateway = Gateway(at_once=True, persisted_queries=persisted_queries)
    answers = await exchange(gateway, [post(only, key=ADMIN), post(only, key=ADMIN)])
    persisted_queries._documents.clear()
    answers += await exchange(gateway, [post(only, key=ADMIN)])

    is_unknown = [b"PersistedQueryNotFound" in each for each in answers]
    assert is_unknown == [False, False, True]


async def test_kept_responses_are_measured_as_load() -> None:
    """A process that answers nothing else may be busy with them."""
    gateway = Gateway(at_once=True)
    shedder = gateway.endpoint.load_shedder
    await exchange(gateway, [post(QUERY), post(QUERY)])
    shedder.close()
    # As after a while without requests.
    shedder._loop = None
    await exchange(gateway, [post(QUERY)])

    assert shedder._loop is not None
    shedder.close()


def read_headers(request: bytes) -> list[tuple[bytes, bytes]]:
    lines = request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return [(name.lower(), value) for name, _, value in (line.partition(b": ") for line in lines)]


async def test_a_mutation_needs_a_task() -> None:
    gateway = Gateway(at_once=True)
    mutation = b'{"query": "mutation { __typename }"}'

    answers = await exchange(gateway, [post(mutation, key=ADMIN)] * 3)

    assert gateway.tasks == 3
    assert answers[0].endswith(b'{"data":{"__typename":"Mutation"}}')


@pytest.mark.parametrize(("turn_s", "tasks"), [(0.3, 0), (0.5, 1)])
async def test_nothing_new_is_written_in_a_turn_that_lasts_too_long(
    turn_s: float, tasks: int
) -> None:
    """Requests that have waited for long go through load shedding."""
    gateway = Gateway(at_once=True)
    shedder = gateway.endpoint.load_shedder
    answer, now_s = gateway.web.answer_at_once, 0.0
    shedder._monotonic_s = lambda: now_s

    def answer_slowly(*asked: Any) -> Any:
        nonlocal now_s
        # Another request that was received in the same turn took so long.
        shedder.is_late()
        now_s += turn_s
        return answer(*asked)

    gateway.answer_at_once = answer_slowly
    requests = [post(QUERY.replace(b"a1", b"a%d" % number)) for number in range(3)]
    await exchange(gateway, requests)

    assert gateway.tasks == 3 * tasks


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_body_like_the_key_of_a_get_is_not_answered_with_its_response(
    at_once: bool,
) -> None:
    get = post(b"").replace(b"POST /graphql", b"GET /graphql?query=%7B__typename%7D", 1)

    answers = await exchange(
        Gateway(at_once=at_once), [get, get, post(b"GET query=%7B__typename%7D")]
    )

    assert answers[1].startswith(b"HTTP/1.1 200")
    assert answers[2].startswith(b"HTTP/1.1 400")


async def test_callers_with_other_rights_do_not_share_a_response() -> None:
    gateway = Gateway(at_once=True)

    await exchange(gateway, [post(QUERY), post(QUERY, key=ADMIN)] * 3)

    assert len(gateway.endpoint._engine._kept_responses) == 2  # type: ignore[attr-defined]


async def test_pipelined_and_split_requests_are_answered_in_order() -> None:
    direct, tasks = Gateway(at_once=True), Gateway(at_once=False)
    received = []
    for gateway in (direct, tasks):
        await exchange(gateway, [post(QUERY), post(PARTIAL)])
        async with connect(gateway) as (reader, writer):
            whole = post(QUERY) + post(PARTIAL) + post(b"{") + post(QUERY)
            for part in (whole[:30], whole[30:700], whole[700:], post(QUERY, b"Connection: close")):
                writer.write(part)
                await asyncio.sleep(0.01)
            received.append(await reader.read(-1))

    assert received[0] == received[1]
    assert received[0].count(b"HTTP/1.1 ") == 5
    assert direct.tasks < tasks.tasks


async def test_bytes_that_are_not_http_end_the_connection_after_the_due_response() -> None:
    direct, tasks = Gateway(at_once=True), Gateway(at_once=False)
    received = []
    for gateway in (direct, tasks):
        await exchange(gateway, [post(QUERY)])
        async with connect(gateway) as (reader, writer):
            writer.write(post(QUERY) + b"nonsense\r\n\r\n")
            received.append(await reader.read(-1))

    assert received[0] == received[1]
    assert received[0].startswith(b"HTTP/1.1 200 OK")


async def test_a_read_beyond_the_limit_is_not_answered_at_once() -> None:
    gateway = Gateway(at_once=True, limits=EndpointLimits(load=LoadLimits(reads=1)))
    await exchange(gateway, [post(QUERY)] * 2)
    shedder = gateway.endpoint.load_shedder
    shedder.enter(write=False)

    [answer] = await exchange(gateway, [post(QUERY)])

    assert answer.startswith(b"HTTP/1.1 503")
    shedder.leave(write=False)
    [answer] = await exchange(gateway, [post(QUERY)])
    assert answer.startswith(b"HTTP/1.1 200")


async def test_a_defect_is_reported_by_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(at_once=True)
    await exchange(gateway, [post(QUERY)])

    def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    for name in ("cached_response", "recall"):
        monkeypatch.setattr(gateway.endpoint._engine, name, fail)
    [answer] = await exchange(gateway, [post(QUERY)])

    assert answer.startswith(b"HTTP/1.1 500")
    assert gateway.count(500) == 1


class HeldCheck:
    """The check of a log that other processes write, held back until a test allows it."""

    def __init__(self, gateway: Gateway) -> None:
        self.asked = 0
        self.arrivals: asyncio.Queue[None] = asyncio.Queue()
        self.allowed = asyncio.Event()
        self.allowed.set()
        self.is_known = True
        gateway.endpoint._engine._change_check = self.check  # type: ignore[attr-defined]

    async def check(self) -> bool:
        self.asked += 1
        self.arrivals.put_nowait(None)
        await self.allowed.wait()
        return self.is_known

    async def wait_for(self, count: int) -> None:
        """Wait until so many checks have arrived, and none more."""
        while self.asked < count or not self.arrivals.empty():
            await self.arrivals.get()


async def test_where_replicas_share_the_cache_they_are_asked_once_a_request() -> None:
    """The requests need no task; they are answered when the log was read."""
    gateway = Gateway(at_once=True)
    check = HeldCheck(gateway)

    answers = await exchange(gateway, [post(QUERY)] * 3)

    assert (gateway.tasks, check.asked) == (0, 3)
    assert answers[0] == answers[1] == answers[2]
    assert gateway.count(200) == 3


async def test_nothing_kept_is_used_while_the_log_cannot_be_read() -> None:
    gateway = Gateway(at_once=True)
    check = HeldCheck(gateway)
    async with connect(gateway) as (reader, writer):
        for check.is_known in (True, True, False):
            writer.write(post(QUERY))
            await reader.readuntil(b"}]}}")

    # The task of the last one asks again, and uses nothing that is kept.
    assert (gateway.tasks, check.asked) == (1, 4)


async def test_a_value_that_was_replaced_while_the_log_is_read_is_not_used() -> None:
    gateway = Gateway(at_once=True)
    check = HeldCheck(gateway)
    async with connect(gateway) as (reader, writer):
        writer.write(post(VALUE))
        await reader.readuntil(b"}}]}}")
        check.allowed.clear()
        writer.write(post(VALUE))
        await check.wait_for(3)
        # As the log does when it was lost.
        gateway.endpoint._engine._versions.end_all()  # type: ignore[attr-defined]
        kept_tasks, busy = gateway.tasks, gateway.endpoint.load_shedder.reads
        check.allowed.set()
        await reader.readuntil(b"}}]}}")

    assert (kept_tasks, gateway.tasks) == (1, 2)
    assert (busy, gateway.endpoint.load_shedder.reads) == (1, 0)


async def test_requests_sent_while_the_log_is_read_are_answered_in_order() -> None:
    gateway = Gateway(at_once=True)
    check = HeldCheck(gateway)
    other = QUERY.replace(b"a1", b"a2")
    async with connect(gateway) as (reader, writer):
        for each in (QUERY, other):
            writer.write(post(each))
            await reader.readuntil(b"}]}}")
        check.allowed.clear()
        writer.write(post(QUERY) + post(other) + post(QUERY))
        await check.wait_for(3)
        check.allowed.set()
        answers = [await reader.readuntil(b"}]}}") for _ in range(3)]

    bodies = [answer.partition(b"\r\n\r\n")[2] for answer in answers]
    assert [b"a1" in body for body in bodies] == [True, False, True]


async def test_a_client_that_leaves_while_the_log_is_read_gets_nothing() -> None:
    gateway = Gateway(at_once=True)
    check = HeldCheck(gateway)
    async with run_server(gateway) as url, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        writer.write(post(QUERY))
        await reader.readuntil(b"}]}}")
        check.allowed.clear()
        writer.write(post(QUERY))
        await check.wait_for(2)
        writer.transport.abort()
        await asyncio.sleep(0.01)
        check.allowed.set()
        await gateway.ended.get()

    assert (gateway.count(200), gateway.count(DISCONNECTED)) == (1, 1)
    assert gateway.endpoint.load_shedder.reads == 0
