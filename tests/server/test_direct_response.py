"""Responses written directly are identical to those sent through ASGI, byte for byte."""

import asyncio
import logging
from urllib.parse import urlsplit

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from balance_gateway.server import direct_response
from balance_gateway.server.direct_response import DirectAnswer, encode_head, write_directly
from balance_gateway.web import graphql_responses
from tests.api.fakes import READ, GatewayHarness, run_server

QUERY = b'{"query": "{ __typename }"}'
INVALID_QUERY = b'{"query": "{ nonsense }"}'


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


KEEP_ALIVE = [
    post(QUERY),
    post(QUERY, b"Accept: application/graphql-response+json"),
    post(INVALID_QUERY),
    post(INVALID_QUERY, b"Accept: application/graphql-response+json"),
    post(QUERY, b"Accept: text/html"),
    post(QUERY, b"Expect: 100-continue"),
    b"GET /graphql?query=%7B__typename%7D HTTP/1.1\r\nHost: g\r\nX-Request-Id: r-2\r\n"
    b"Authorization: Bearer " + READ.encode() + b"\r\n\r\n",
    b"GET /graphql?query=%7B__typename%7D HTTP/1.1\r\nHost: g\r\nX-Request-Id: r-4\r\n"
    b"If-None-Match: *\r\nAuthorization: Bearer " + READ.encode() + b"\r\n\r\n",
    b"HEAD /graphql?query=%7B__typename%7D HTTP/1.1\r\nHost: g\r\nX-Request-Id: r-3\r\n"
    b"Authorization: Bearer " + READ.encode() + b"\r\n\r\n",
]
CLOSING = [post(QUERY, b"Connection: close"), post(QUERY, version=b"1.0")]


class DirectWrites:
    """Counts the responses that are written directly."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, allowed: bool) -> None:
        self.count = 0
        original = direct_response.write_directly

        def write_and_count(*arguments: object) -> bool:
            written = allowed and original(*arguments)  # type: ignore[arg-type]
            self.count += written
            return written

        monkeypatch.setattr(graphql_responses, "write_directly", write_and_count)


async def send_all(harness: GatewayHarness, requests: list[bytes]) -> bytes:
    """Send the requests at once on one connection; return all bytes received."""
    harness.app()
    # The endpoint without Starlette in between, as the gateway serves it.
    async with run_server(harness.endpoint) as url, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        writer.write(b"".join(requests))
        received = await reader.read(-1)
        writer.close()
    return received


@pytest.mark.parametrize("last", CLOSING, ids=["close", "HTTP/1.0"])
async def test_direct_and_asgi_responses_have_the_same_bytes(
    harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch, last: bytes
) -> None:
    direct = DirectWrites(monkeypatch, allowed=True)
    direct_bytes = await send_all(harness, [*KEEP_ALIVE, *KEEP_ALIVE, last])
    monkeypatch.undo()
    indirect = DirectWrites(monkeypatch, allowed=False)
    asgi_bytes = await send_all(harness, [*KEEP_ALIVE, *KEEP_ALIVE, last])

    assert direct_bytes == asgi_bytes
    assert direct_bytes.count(b"HTTP/1.1 200 OK") > 8
    assert (direct.count, indirect.count) == (12, 0)


class RecordingTransport:
    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data


def make_cycle(transport: RecordingTransport, method: str = "POST") -> RequestResponseCycle:
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


async def test_an_ordinary_response_is_one_write_and_completes_its_cycle() -> None:
    transport = RecordingTransport()
    cycle = make_cycle(transport)

    written = write_directly(
        cycle.send, DirectAnswer(encode_head(200, [(b"a", b"b")]), b"r-1", b"{}")
    )

    assert written
    assert cycle.response_complete
    assert cycle.message_event.is_set()
    assert transport.written == (
        b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 2\r\nx-request-id: r-1\r\n\r\n{}"
    )


async def other_send(_message: object) -> None:
    """The send function of another server or of a middleware."""


@pytest.mark.parametrize(
    "case",
    ["closing", "disconnected", "not reading", "HEAD", "started", "large", "another server"],
)
async def test_any_other_response_is_left_to_asgi(case: str) -> None:
    transport = RecordingTransport()
    cycle = make_cycle(transport, "HEAD" if case == "HEAD" else "POST")
    cycle.keep_alive = case != "closing"
    cycle.disconnected = case == "disconnected"
    cycle.response_started = case == "started"
    cycle.flow.write_paused = case == "not reading"
    body = b"{}" * (200_000 if case == "large" else 1)
    send = other_send if case == "another server" else cycle.send

    written = write_directly(
        send,  # type: ignore[arg-type]
        DirectAnswer(encode_head(200, []), b"r-1", body),
    )

    assert not written
    assert not transport.written
    assert not cycle.response_complete
