"""Answers that are written in one piece are the ones that ASGI would have sent, byte for byte."""

import asyncio
import logging
from urllib.parse import urlsplit

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from balance_gateway.server import direct_response
from balance_gateway.server.direct_response import encode_head, write_directly
from balance_gateway.web import graphql
from tests.api.fakes import READ, World, served

QUERY = b'{"query": "{ __typename }"}'
REFUSED = b'{"query": "{ nonsense }"}'


def post(body: bytes, *headers: bytes, version: bytes = b"1.1") -> bytes:
    lines = [
        b"POST /graphql HTTP/" + version,
        b"Host: gateway",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        b"Authorization: Bearer " + READ.encode(),
        b"X-Request-Id: r-1",
        *headers,
    ]
    return b"\r\n".join([*lines, b"", body])


KEPT = [
    post(QUERY),
    post(QUERY, b"Accept: application/graphql-response+json"),
    post(REFUSED),
    post(REFUSED, b"Accept: application/graphql-response+json"),
    post(QUERY, b"Accept: text/html"),
    post(QUERY, b"Expect: 100-continue"),
    b"GET /graphql?query=%7B__typename%7D HTTP/1.1\r\nHost: g\r\nX-Request-Id: r-2\r\n"
    b"Authorization: Bearer " + READ.encode() + b"\r\n\r\n",
    b"HEAD /graphql?query=%7B__typename%7D HTTP/1.1\r\nHost: g\r\nX-Request-Id: r-3\r\n"
    b"Authorization: Bearer " + READ.encode() + b"\r\n\r\n",
]
CLOSED = [post(QUERY, b"Connection: close"), post(QUERY, version=b"1.0")]


class Counted:
    """How many answers were written whole."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, allowed: bool) -> None:
        self.whole = 0
        original = direct_response.write_directly

        def write_counted(*arguments: object) -> bool:
            written = allowed and original(*arguments)  # type: ignore[arg-type]
            self.whole += written
            return written

        monkeypatch.setattr(graphql, "write_directly", write_counted)


async def everything(world: World, requests: list[bytes]) -> bytes:
    """All that is answered to these requests, sent at once on one connection."""
    world.app()
    # As the gateway serves it: straight from the server, with nothing in between.
    async with served(world.endpoint) as url, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        writer.write(b"".join(requests))
        answers = await reader.read(-1)
        writer.close()
    return answers


@pytest.mark.parametrize("last", CLOSED, ids=["close", "HTTP/1.0"])
async def test_whole_or_not_the_bytes_are_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch, last: bytes
) -> None:
    counted = Counted(monkeypatch, allowed=True)
    whole = await everything(world, [*KEPT, *KEPT, last])
    monkeypatch.undo()
    none = Counted(monkeypatch, allowed=False)
    apart = await everything(world, [*KEPT, *KEPT, last])

    assert whole == apart
    assert whole.count(b"HTTP/1.1 200 OK") > 8
    assert (counted.whole > 8, none.whole) == (True, 0)


class Transport:
    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data


def cycle_of(transport: Transport, method: str = "POST") -> RequestResponseCycle:
    return RequestResponseCycle(
        scope={"method": method},  # type: ignore[arg-type]
        transport=transport,  # type: ignore[arg-type]
        flow=FlowControl(transport),  # type: ignore[arg-type]
        logger=logging.getLogger(),
        access_logger=logging.getLogger(),
        access_log=False,
        default_headers=[],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=True,
        on_response=lambda: None,
    )


async def test_an_ordinary_answer_is_one_write_and_ends_its_cycle() -> None:
    transport = Transport()
    cycle = cycle_of(transport)

    written = write_directly(cycle.send, encode_head([(b"a", b"b")]), b"r-1", b"{}")

    assert written
    assert cycle.response_complete
    assert cycle.message_event.is_set()
    assert transport.written == (
        b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 2\r\nx-request-id: r-1\r\n\r\n{}"
    )


async def other_send(_message: object) -> None:
    """That of another server, or of something in between."""


@pytest.mark.parametrize(
    "why",
    ["closes", "has gone", "does not read", "HEAD", "has an answer", "large", "another server"],
)
async def test_any_other_is_left_to_asgi(why: str) -> None:
    transport = Transport()
    cycle = cycle_of(transport, "HEAD" if why == "HEAD" else "POST")
    cycle.keep_alive = why != "closes"
    cycle.disconnected = why == "has gone"
    cycle.response_started = why == "has an answer"
    cycle.flow.write_paused = why == "does not read"
    body = b"{}" * (200_000 if why == "large" else 1)
    send = other_send if why == "another server" else cycle.send

    written = write_directly(send, encode_head([]), b"r-1", body)  # type: ignore[arg-type]

    assert not written
    assert not transport.written
    assert not cycle.response_complete
