"""Answers as values, and the ways to spoil them below HTTP: drop, cut short, drip, never end.

Dropping needs the socket. uvicorn hands its application the bound method `send` of a request cycle
that keeps its `transport` (httptools and h11 alike), so this only works as the outermost layer.
"""

import asyncio
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_CHUNK: Final = b"x" * 65_536


class Transport(Protocol):
    """The part of an asyncio transport that the faults use."""

    def abort(self) -> None:
        """Close at once, dropping what is not sent."""

    def close(self) -> None:
        """Close once what is buffered is sent."""

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""

    def get_write_buffer_size(self) -> int:
        """How many bytes wait to be sent."""


@dataclass(slots=True)
class CapturedResponse:
    """An HTTP response held as a value, so that a fault can change it."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def replace_body(self, body: bytes) -> None:
        """Put another body in, its length told truthfully."""
        self.body = body
        self.headers["content-length"] = str(len(body))

    def add_headers(self, headers: MutableMapping[str, str]) -> None:
        """Add headers; one of the same name, in any case, is replaced."""
        new = {name.lower() for name in headers}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in new}
        self.headers = {**kept, **headers}


async def capture_response(app: ASGIApp, scope: Scope, body: bytes) -> CapturedResponse:
    """Let `app` handle a request whose body is already read, and hold its response."""
    response = CapturedResponse(500)

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            response.status = message["status"]
            response.headers = {
                k.decode("latin-1"): v.decode("latin-1") for k, v in message["headers"]
            }
        else:
            response.body += message.get("body", b"")

    await app(scope, receive, send)
    return response


async def send_response(response: CapturedResponse, send: Send) -> None:
    """Send an response whole."""
    await _send_start(response, send)
    await send({"type": "http.response.body", "body": response.body})


async def send_slowly(response: CapturedResponse, send: Send, interval_s: float) -> None:
    """Send an response byte by byte."""
    await _send_start(response, send)
    for position in range(len(response.body)):
        byte = response.body[position : position + 1]
        await send({"type": "http.response.body", "body": byte, "more_body": True})
        await asyncio.sleep(interval_s)
    await send({"type": "http.response.body"})


async def send_truncated(response: CapturedResponse, receive: Receive, send: Send) -> None:
    """Send half of the body that `content-length` promises and close the connection."""
    await _send_start(response, send)
    half = response.body[: len(response.body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})
    find_transport(send).close()
    await _wait_for_disconnect(receive)


async def send_endless_body(response: CapturedResponse, send: Send, bytes_max: int) -> None:
    """Send a chunked body that only ends when the client hangs up or after `bytes_max`."""
    response.headers.pop("content-length", None)
    await _send_start(response, send)
    transport = find_transport(send)
    for _ in range(-(-bytes_max // len(_CHUNK))):
        if transport.is_closing():
            return
        await send({"type": "http.response.body", "body": _CHUNK, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body"})


async def send_endless_headers(receive: Receive, send: Send, bytes_max: int) -> None:
    """Send header after header, past ASGI, until the client hangs up or after `bytes_max`."""
    transport = find_transport(send)
    transport.write(b"HTTP/1.1 200 OK\r\n")
    line = b"x-filler: " + b"x" * 1_000 + b"\r\n"
    for _ in range(-(-bytes_max // len(line))):
        if transport.is_closing():
            break
        transport.write(line)
        # A client that stops reading must not fill our memory.
        await asyncio.sleep(0 if transport.get_write_buffer_size() < 2**20 else 0.05)
    transport.abort()
    await _wait_for_disconnect(receive)


async def drop_connection(receive: Receive, send: Send) -> None:
    """Drop the connection without a byte of an response."""
    find_transport(send).abort()
    await _wait_for_disconnect(receive)


def find_transport(send: Callable[..., Any]) -> Transport:
    """The socket under uvicorn's `send`.

    Raises:
        RuntimeError: another server, or something was put between it and the sandbox.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        message = "connection faults need uvicorn with the sandbox as its outermost application"
        raise RuntimeError(message)
    return cast("Transport", transport)


async def _send_start(response: CapturedResponse, send: Send) -> None:
    headers = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in response.headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})


async def _wait_for_disconnect(receive: Receive) -> None:
    """Wait until the server has noticed; it would response 500 for a request left unanswered."""
    while (await receive())["type"] != "http.disconnect":
        pass
