"""A head that was parsed before is not parsed again, and means the same."""

import asyncio
import random
import re
from typing import Any
from urllib.parse import quote

import pytest
import uvicorn
from uvicorn.server import ServerState

from balance_gateway.server import known_heads
from balance_gateway.server.answering_protocol import AnsweringProtocol
from balance_gateway.server.draining import DrainState
from balance_gateway.server.known_heads import KnownHeads, RequestHead
from balance_gateway.server.server import Server, Service, bind
from balance_gateway.web.asked_heads import parse_head
from balance_gateway.web.auth import ApiKeys
from balance_gateway.web.graphql import EndpointLimits
from tests.api.fakes import ADMIN, OTHER, api_keys
from tests.server.test_answers_at_once import (
    LARGE,
    PARTIAL,
    QUERY,
    VALUE,
    Gateway,
    HeldCheck,
    connect,
    post,
)


def get(target: bytes, *headers: bytes) -> bytes:
    return post(b"", *headers).replace(b"POST /graphql", b"GET " + target, 1)


def remember_all(heads: KnownHeads, requests: list[bytes]) -> None:
    for request in requests:
        head, _, body = request.partition(b"\r\n\r\n")
        heads.remember(request, RequestHead("POST", head.decode(), b"", []), body)


class RecordedTransport(asyncio.Transport):
    """The connection of a protocol; keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Connection:
    """A connection to a gateway without a socket, so that a test decides what arrives together."""

    def __init__(self, gateway: Gateway, keep_alive_s: int = 75) -> None:
        config = uvicorn.Config(
            gateway, lifespan="off", log_config=None, timeout_keep_alive=keep_alive_s
        )
        config.load()
        config.loaded_app = gateway
        self.drain = DrainState()
        self.state = ServerState()
        self.protocol = AnsweringProtocol(
            config=config, server_state=self.state, app_state={}, drain=self.drain
        )
        self.transport = RecordedTransport()
        self.protocol.connection_made(self.transport)
        self.parsed = 0

    async def receive(self, data: bytes = b"") -> bytes:
        """Deliver bytes if there are any, and return what is written then."""
        before = len(self.transport.written)
        if data and not self.transport.is_closed:
            self.protocol.data_received(data)
        for _ in range(30):
            await asyncio.sleep(0)
        return self.transport.written[before:]

    async def make_known(self) -> None:
        """Let the head of ``post(QUERY)`` be known."""
        for _ in range(3):
            await self.receive(post(QUERY))

    async def receive_unparsed(self, data: bytes) -> bytes:
        """Deliver bytes that the parser must not see."""
        parser, self.protocol.parser = self.protocol.parser, None  # type: ignore[assignment]
        try:
            return await self.receive(data)
        finally:
            self.protocol.parser = parser


async def test_the_third_equal_request_is_not_parsed() -> None:
    connection = Connection(Gateway(at_once=True))

    first, second = [await connection.receive(post(QUERY)) for _ in range(2)]
    third = await connection.receive_unparsed(post(QUERY))

    assert first.endswith(b'{"data":{"nodes":[{"id":"a0"},{"id":"a1"}]}}')
    assert first == second == third
    assert connection.state.total_requests == 3


async def test_another_body_of_equal_length_is_not_parsed_either() -> None:
    connection = Connection(Gateway(at_once=True))
    other = QUERY.replace(b"a1", b"a2")
    for each in (QUERY, other, QUERY):
        await connection.receive(post(each))

    assert b"a2" in await connection.receive_unparsed(post(other))


async def test_a_known_head_with_a_body_that_needs_a_task_is_asked_for_once() -> None:
    gateway = Gateway(at_once=True)
    connection = Connection(gateway)
    for _ in range(3):
        await connection.receive(post(VALUE))
    asked, ask = [], gateway.web.answer_at_once
    connection.protocol._answer_at_once = lambda *each: asked.append(each) or ask(*each)  # type: ignore[func-returns-value]
    before = gateway.tasks

    answer = await connection.receive(post(VALUE.replace(b"a0", b"a3")))

    assert answer.startswith(b"HTTP/1.1 200")
    assert (len(asked), gateway.tasks - before) == (1, 1)


@pytest.mark.parametrize("key", ["nobody", OTHER])
async def test_a_credential_is_checked_for_each_request(key: str) -> None:
    gateway = Gateway(at_once=True)
    connection = Connection(gateway)
    known = [await connection.receive(post(QUERY)) for _ in range(3)][-1]
    # As after a reload that has removed the key.
    keys = ApiKeys([each for each in api_keys() if each.name == key])
    gateway.endpoint._authenticator = gateway.endpoint._answers._authenticator = keys

    answer = await connection.receive(post(QUERY))

    assert known.startswith(b"HTTP/1.1 200")
    assert answer.startswith(b"HTTP/1.1 401")


async def test_responses_while_the_server_drains_end_the_connection() -> None:
    connection = Connection(Gateway(at_once=True))
    await connection.make_known()
    connection.drain.begin(30.0)

    answer = await connection.receive(post(QUERY))

    assert b"connection: close" in answer
    assert connection.transport.is_closed


async def test_an_idle_connection_is_closed_after_its_last_answer() -> None:
    connection = Connection(Gateway(at_once=True), keep_alive_s=1)
    await connection.make_known()
    timer = connection.protocol.timeout_keep_alive_task
    assert timer is not None
    now_s = asyncio.get_running_loop().time()

    # The timer of the request that was parsed fires while the answers after it are recent.
    connection.protocol._used_s = now_s - 0.6
    connection.protocol.timeout_keep_alive_handler()
    again = connection.protocol.timeout_keep_alive_task
    assert again is not None
    assert again.when() == pytest.approx(now_s + 0.4, abs=0.2)
    assert not connection.transport.is_closed
    connection.protocol._used_s = now_s - 1.1
    connection.protocol.timeout_keep_alive_handler()
    assert connection.transport.is_closed


@pytest.mark.parametrize("between", [b"\r\n", b"\n\n"])
async def test_an_empty_line_before_a_known_request_changes_no_timer(between: bytes) -> None:
    """The connection had no idle timer from then on, and held up the drain."""
    connection = Connection(Gateway(at_once=True))
    await connection.make_known()
    await connection.receive(between)

    answer = await connection.receive(post(QUERY))

    assert answer.startswith(b"HTTP/1.1 200")
    assert connection.protocol.timeout_keep_alive_task is not None
    assert connection.protocol._deadline is None
    connection.protocol.shutdown()
    assert connection.transport.is_closed


async def test_a_delayed_request_with_a_known_head_is_not_parsed() -> None:
    gateway = Gateway(at_once=True)
    HeldCheck(gateway)
    connection = Connection(gateway)
    for _ in range(2):
        await connection.receive(post(QUERY))

    answer = await connection.receive_unparsed(post(QUERY))

    assert answer.startswith(b"HTTP/1.1 200")
    assert gateway.tasks == 0


async def test_bytes_that_arrive_while_a_known_request_is_delayed_are_answered_after_it() -> None:
    gateway = Gateway(at_once=True)
    check = HeldCheck(gateway)
    connection = Connection(gateway)
    await connection.make_known()
    check.allowed.clear()
    nothing = await connection.receive(post(QUERY))
    nothing += await connection.receive(post(QUERY.replace(b"a1", b"a2"))[:50])
    nothing += await connection.receive(post(QUERY.replace(b"a1", b"a2"))[50:])
    check.allowed.set()
    answers = await connection.receive()

    assert nothing == b""
    assert answers.count(b"HTTP/1.1 200") == 2
    assert answers.index(b"a1") < answers.index(b"a2")
    assert gateway.endpoint.load_shedder.reads == 0


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("is_announced", [True, False])
async def test_a_drain_that_begins_while_a_known_request_is_delayed_ends_its_connection(
    is_known: bool, is_announced: bool
) -> None:
    gateway = Gateway(at_once=True)
    check = HeldCheck(gateway)
    connection = Connection(gateway)
    await connection.make_known()
    check.allowed.clear()
    await connection.receive(post(QUERY))
    connection.drain.begin(30.0)
    if is_announced:
        connection.protocol.end_after_response()
    else:
        connection.protocol.shutdown()
    assert not connection.transport.is_closed
    check.is_known = is_known
    check.allowed.set()

    answer = await connection.receive()

    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer
    assert connection.transport.is_closed


async def test_a_known_request_waits_for_the_response_to_the_one_before_it() -> None:
    connection = Connection(Gateway(at_once=True))
    await connection.make_known()
    connection.protocol.data_received(post(VALUE))

    answers = await connection.receive(post(QUERY))

    assert answers.count(b"HTTP/1.1 200") == 2
    assert answers.index(b"source") < answers.index(b"a1")


async def test_a_known_request_waits_until_its_client_reads() -> None:
    connection = Connection(Gateway(at_once=True))
    await connection.make_known()

    connection.protocol.pause_writing()
    nothing = await connection.receive(post(QUERY))
    connection.protocol.resume_writing()

    assert nothing == b""
    assert (await connection.receive()).startswith(b"HTTP/1.1 200")


async def test_the_rest_of_a_head_is_not_remembered_as_a_head() -> None:
    connection = Connection(Gateway(at_once=True))
    usual = post(QUERY)
    await connection.receive(usual)
    for _ in range(2):
        await connection.receive(usual[:30])
        await connection.receive(usual[30:])

    answer = await connection.receive(usual[30:])

    assert answer.startswith(b"HTTP/1.1 400")


async def test_a_client_that_leaves_while_its_known_request_is_delayed_gets_nothing() -> None:
    gateway = Gateway(at_once=True)
    check = HeldCheck(gateway)
    connection = Connection(gateway)
    await connection.make_known()
    check.allowed.clear()
    await connection.receive(post(QUERY))
    before = len(connection.transport.written)
    connection.transport.is_closed = True
    connection.protocol.connection_lost(None)
    check.allowed.set()
    await asyncio.wait_for(gateway.ended.get(), 10)

    assert len(connection.transport.written) == before
    assert (gateway.count(200), gateway.count(499)) == (3, 1)


#: Generated ids differ; with the whole body at hand nothing is to be continued (RFC 9110, 10.1.1).
DIFFERENT = re.compile(rb"x-request-id: [0-9a-f]{32}|HTTP/1.1 100 Continue\r\n\r\n")

PIECES = [
    post(QUERY),
    post(QUERY.replace(b"a1", b"a2")),
    post(PARTIAL),
    post(QUERY, key=ADMIN),
    post(QUERY, key="unknown"),
    post(LARGE, b"Accept-Encoding: gzip"),
    post(QUERY, b"Origin: https://app.example"),
    post(QUERY, b"Expect: 100-continue"),
    post(QUERY, b"Upgrade: h2c", b"Connection: Upgrade"),
    post(QUERY, path=b"/other"),
    post(QUERY).replace(b"Content-Length: %d" % len(QUERY), b"Transfer-Encoding: chunked").replace(
        QUERY, b"%x\r\n%s\r\n0\r\n\r\n" % (len(QUERY), QUERY)
    ),
    post(QUERY).replace(b"\r\n", b"\n"),
    post(QUERY).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    get(b"/graphql?query=" + quote("{nodes(ids:[\"a0\"]){id}}").encode()),
    get(b"/graphql?query=%7B__typename%7D"),
    b"\r\n",
    b"\n",
    b"GET / HTTP/1.1\r\nX: ",
    b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Length: 9\r\n\r\n",
    b"nonsense",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(150))
async def test_any_bytes_get_the_responses_that_they_get_without_known_heads(seed: int) -> None:
    """Requests, parts of them and other bytes, which arrive whole, together or split."""
    rng = random.Random(seed)
    usual = rng.sample(PIECES[:16], 3)
    pieces = [rng.choice(usual if rng.random() < 0.9 else PIECES) for _ in range(14)]
    arrivals = []
    while pieces:
        data = b"".join(pieces.pop() for _ in range(min(len(pieces), rng.choice([1, 1, 1, 1, 2]))))
        # Anywhere, or between head and body.
        cut = rng.choice([0, 0, 0, rng.randrange(len(data)), data.find(b"\r\n\r\n") + 4])
        arrivals += [data[:cut], data[cut:]] if cut else [data]

    written = []
    for at_once in (True, False):
        connection = Connection(Gateway(at_once=at_once))
        # Generated ids differ.
        written.append([DIFFERENT.sub(b"", await connection.receive(data)) for data in arrivals])

    assert written[0] == written[1]


def split(request: bytes) -> tuple[bytes, bytes]:
    size = request.index(b"\r\n\r\n") + 4
    return request[:size], request[size:]


async def test_head_and_body_that_arrive_apart_need_no_task() -> None:
    gateway = Gateway(at_once=True)
    connection = Connection(gateway)
    head, body = split(post(QUERY))

    nothing = await connection.receive(head)
    first = await connection.receive(body)
    nothing += await connection.receive_unparsed(head)
    second = await connection.receive_unparsed(body)

    assert nothing == b""
    assert first.endswith(b'{"data":{"nodes":[{"id":"a0"},{"id":"a1"}]}}')
    assert second == first
    assert gateway.tasks == 0
    assert connection.protocol._deadline is None


@pytest.mark.parametrize(
    "request_",
    [post(QUERY, key="unknown"), post(QUERY, b"Accept: text/html"), post(QUERY + b" " * 3_000)],
    ids=["credential", "media type", "size"],
)
async def test_what_is_refused_by_its_head_does_not_wait_for_its_body(request_: bytes) -> None:
    connection = Connection(Gateway(at_once=True, limits=EndpointLimits(body_bytes=2_500)))

    answer = await connection.receive(split(request_)[0])

    assert answer.startswith(b"HTTP/1.1 4")


async def test_a_large_body_that_begins_with_its_head_is_read_on() -> None:
    """The protocol stops reading a large body until a task takes it."""
    gateway = Gateway(at_once=True)
    request = post(QUERY + b" " * 300_000)
    async with connect(gateway) as (reader, writer):
        writer.write(request[:100_000])
        await asyncio.sleep(0.02)
        writer.write(request[100_000:])
        answer = await reader.readuntil(b"}]}}")

    assert answer.startswith(b"HTTP/1.1 200")


async def test_a_client_that_expects_100_continue_gets_it_each_time() -> None:
    connection = Connection(Gateway(at_once=True))
    request = post(QUERY, b"Expect: 100-continue")
    await connection.receive(request)
    head, body = split(request)
    for _ in range(3):
        assert await connection.receive(head) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await connection.receive(body)).startswith(b"HTTP/1.1 200")


async def test_a_connection_is_not_idle_while_it_waits_for_a_body() -> None:
    connection = Connection(Gateway(at_once=True), keep_alive_s=1)
    await connection.make_known()
    connection.protocol._used_s -= 10

    await connection.receive(split(post(QUERY))[0])
    connection.protocol.timeout_keep_alive_handler()

    assert not connection.transport.is_closed


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("event", ["shutdown", "drain", "lost", "slow", "pieces"])
async def test_a_head_without_its_body_behaves_as_any_incomplete_request(
    event: str, is_known: bool
) -> None:
    written = []
    for at_once in (True, False):
        gateway = Gateway(at_once=at_once)
        connection = Connection(gateway)
        protocol = connection.protocol
        for _ in range(3):
            # One of its headers differs where the head must not be known.
            known = post(QUERY) if is_known else post(QUERY, b"X-Other: 1")
            await connection.receive(known)
        head, body = split(post(QUERY))
        answer = await connection.receive(head)
        if event == "shutdown":
            protocol.shutdown()
        elif event == "drain":
            connection.drain.begin(30.0)
            protocol.end_after_response()
            protocol.shutdown()
        elif event == "lost":
            protocol.connection_lost(None)
        elif event == "slow":
            assert protocol._deadline is not None
            protocol._close_slow_client()
            protocol.connection_lost(None)
        if event in ("lost", "slow"):
            for _ in range(30):
                await asyncio.sleep(0)
        else:
            answer += await connection.receive(body[:9])
            answer += await connection.receive(body[9:])
        counts = gateway.count(200), gateway.count(499)
        written.append((answer, counts, connection.transport.is_closed))

    assert written[0] == written[1]
    is_lost = event in ("lost", "slow")
    assert written[0][1] == ((3, 1) if is_lost else (4, 0))


async def test_known_heads_are_shared_by_the_connections_of_a_server() -> None:
    gateway = Gateway(at_once=True)
    with bind("127.0.0.1", 0) as listener:
        server = Server(Service(gateway, listener))
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        built = [server._build_protocol() for _ in range(2)]

    assert built[0]._known_heads is built[1]._known_heads is server._known_heads


def test_the_memory_of_known_heads_is_bounded_and_the_latest_stay() -> None:
    heads = KnownHeads(bytes_max=30_000)
    requests = [b"POST /%d HTTP/1.1\r\n\r\n{}" % number for number in range(100)]

    for request in requests:
        remember_all(heads, [request])
        assert heads.find(requests[0]) is not None

    assert heads.size_bytes <= 30_000
    assert len(heads) == 14
    assert heads.find(requests[50]) is None
    assert heads.find(requests[99]) is not None
    remember_all(heads, requests[99:])
    assert len(heads) == 14


def test_a_head_shows_no_credential_in_a_log() -> None:
    head = RequestHead("GET", "/graphql", b"", [(b"authorization", b"Bearer secret")])
    parsed = RequestHead(head.method, head.path, b"", head.headers, parse_head(head))

    assert "secret" not in repr(known_heads.KnownHead(parsed, 10, 0))


def test_a_long_head_is_not_remembered() -> None:
    heads = KnownHeads()
    longest = known_heads.KNOWN_HEAD_BYTES_MAX - len(b"POST /\r\n\r\n")
    remember_all(heads, [b"POST /%s\r\n\r\n" % (b"x" * size) for size in (longest, longest + 1)])

    assert len(heads) == 1


def test_only_a_complete_request_begins_with_a_known_head() -> None:
    heads = KnownHeads()
    remember_all(heads, [b"POST / HTTP/1.1\r\n\r\nbody"])

    found = [
        heads.find(b"POST / HTTP/1.1\r\n\r\n" + body) is not None
        for body in (b"body", b"four", b"bod", b"body5", b"")
    ]

    assert found == [True, True, False, False, False]
    assert heads.find(b"POST / HTTP/1.1") is None


def test_a_body_with_another_encoding_than_its_bytes_is_not_remembered() -> None:
    heads = KnownHeads()
    heads.remember(
        b"POST / HTTP/1.1\r\n\r\n4\r\nbody\r\n0\r\n\r\n", RequestHead("", "", b"", []), b"body"
    )

    assert len(heads) == 0
