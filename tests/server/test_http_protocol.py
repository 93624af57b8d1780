"""Deadlines over real sockets: connections with incomplete requests are closed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn

from balance_gateway.server import http_protocol
from balance_gateway.server.answering_protocol import AnsweringProtocol

POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n"


async def app(scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(http_protocol, "RECEIVE_S", 0.3)
    config = uvicorn.Config(
        app, port=0, http=AnsweringProtocol, ws="none", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server._serve())
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = server.force_exit = True
    await task


async def read_until_closed(reader: asyncio.StreamReader) -> bytes:
    """Return all bytes received until the server closes the connection."""
    async with asyncio.timeout(5):
        try:
            return await reader.read()
        except ConnectionResetError:  # The server closed while a byte was being sent.
            return b""


@pytest.mark.parametrize(
    "sent",
    [b"", b"P", b"POST / HTTP/1.1\r\nHos", POST + b"\r\n", POST + b"\r\nhalf", b"\r\n"],
    ids=["nothing", "a byte", "half a head", "no body", "half a body", "a line break"],
)
async def test_a_connection_without_a_complete_request_is_closed(port: int, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)

    received = await read_until_closed(reader)

    assert received == b""
    writer.close()


async def test_slowly_sent_bytes_do_not_extend_the_deadline(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    reading = asyncio.ensure_future(read_until_closed(reader))
    sent_bytes = 0
    for byte in POST + b"\r\n0123456789":
        if reading.done():
            break
        writer.write(bytes([byte]))
        sent_bytes += 1
        await asyncio.sleep(0.02)

    assert await reading == b""
    assert sent_bytes < len(POST)
    writer.close()


async def test_split_requests_and_several_requests_get_responses(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for pieces in ([POST, b"\r\n01234", b"56789"], [POST + b"\r\n0123456789"]):
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.02)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(2) == b"ok"
    writer.close()


async def test_an_idle_connection_outlasts_the_deadline(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(POST + b"\r\n0123456789")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.5)
    writer.close()


async def test_the_deadline_applies_to_later_requests(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(POST + b"\r\n0123456789")
    assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200")
    writer.write(POST + b"\r\nhalf")

    received = await read_until_closed(reader)

    assert received == b""
    writer.close()


async def test_the_deadline_applies_to_a_pipelined_request(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(POST + b"\r\n0123456789" + POST + b"\r\nhalf")
    assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200")

    received = await read_until_closed(reader)

    assert received == b""
    writer.close()


async def test_the_size_of_headers_is_limited(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = 0
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
        async with asyncio.timeout(5):
            while not reader.at_eof():
                writer.write(b"y" * 10_000)
                await writer.drain()
                sent += 10_000
                await asyncio.sleep(0)
        assert (await reader.read()).startswith((b"HTTP/1.1 400", b""))
    except ConnectionError:
        pass  # The server closed while more bytes were being sent.

    assert sent < 10_000_000
    writer.close()


async def test_a_large_body_sent_with_its_head_is_accepted(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n" + b"z" * 900_000)

    head = await reader.readuntil(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200")
    writer.close()
