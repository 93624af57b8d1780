"""Capture responses and send them with connection-level faults.

Faults include dropping the connection, truncating the body, sending it slowly or without end.
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
        """Close immediately and discard unsent data."""

    def close(self) -> None:
        """Close after sending the buffered data."""

    def is_closing(self) -> bool:
        """Return whether the transport is closed or closing."""

    def write(self, data: bytes) -> None:
        """Send bytes unchanged."""

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes waiting to be sent."""


@dataclass(slots=True)
class CapturedResponse:
    """An HTTP response stored as a value, so that a fault can change it."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def replace_body(self, body: bytes) -> None:
        """Replace the body and update `content-length`."""
        self.body = body
        self.headers["content-length"] = str(len(body))

    def add_headers(self, headers: MutableMapping[str, str]) -> None:
        """Add headers. An existing header of the same name, in any case, is replaced."""
        new = {name.lower() for name in headers}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in new}
        self.headers = {**kept, **headers}


async def capture_response(app: ASGIApp, scope: Scope, body: bytes) -> CapturedResponse:
    """Run `app` on a request with the given body and return its response."""
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
    """Send a complete response."""
    await _send_start(response, send)
    await send({"type": "http.response.body", "body": response.body})


async def send_slowly(response: CapturedResponse, send: Send, interval_s: float) -> None:
    """Send a response one byte at a time."""
    await _send_start(response, send)
    for position in range(len(response.body)):
        byte = response.body[position : position + 1]
        await send({"type": "http.response.body", "body": byte, "more_body": True})
        await asyncio.sleep(interval_s)
    await send({"type": "http.response.body"})


async def send_truncated(response: CapturedResponse, receive: Receive, send: Send) -> None:
    """Send half of the body that `content-length` announces, then close the connection."""
    await _send_start(response, send)
    half = response.body[: len(response.body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})
    find_transport(send).close()
    await _wait_for_disconnect(receive)


async def send_endless_body(response: CapturedResponse, send: Send, bytes_max: int) -> None:
    """Send a chunked body until the client disconnects or `bytes_max` bytes are sent."""
    response.headers.pop("content-length", None)
    await _send_start(response, send)
    transport = find_transport(send)
    for _ in range(-(-bytes_max // len(_CHUNK))):
        if transport.is_closing():
            return
        await send({"type": "http.response.body", "body": _CHUNK, "more_body": True})
        # Let other connections run.
        await asyncio.sleep(0)
    await send({"type": "http.response.body"})


async def send_endless_headers(receive: Receive, send: Send, bytes_max: int) -> None:
    """Send headers until the client disconnects or `bytes_max` bytes are sent."""
    transport = find_transport(send)
    # ASGI sends all headers in one message, so the bytes are written to the socket directly.
    transport.write(b"HTTP/1.1 200 OK\r\n")
    line = b"x-filler: " + b"x" * 1_000 + b"\r\n"
    for _ in range(-(-bytes_max // len(line))):
        if transport.is_closing():
            break
        transport.write(line)
        # Slow down when the client stops reading, so that the buffer does not grow without limit.
        await asyncio.sleep(0 if transport.get_write_buffer_size() < 2**20 else 0.05)
    transport.abort()
    await _wait_for_disconnect(receive)


async def drop_connection(receive: Receive, send: Send) -> None:
    """Close the connection without sending any response bytes."""
    find_transport(send).abort()
    await _wait_for_disconnect(receive)


def find_transport(send: Callable[..., Any]) -> Transport:
    """Return the socket transport behind uvicorn's `send`.

    Raises:
        RuntimeError: The server is not uvicorn, or another application wraps the sandbox.
    """
    # uvicorn passes the bound method `send` of a request cycle that keeps its `transport`, with
    # httptools and with h11. A wrapper around `send` hides it.
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        message = "connection faults require uvicorn with the sandbox as outermost application"
        raise RuntimeError(message)
    return cast("Transport", transport)


async def _send_start(response: CapturedResponse, send: Send) -> None:
    headers = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in response.headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})


async def _wait_for_disconnect(receive: Receive) -> None:
    """Wait until the server notices the disconnect. Otherwise it would respond with 500."""
    while (await receive())["type"] != "http.disconnect":
        pass
