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
class Answer:
    """An HTTP answer held as a value, so that a fault can change it."""

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


async def capture(app: ASGIApp, scope: Scope, body: bytes) -> Answer:
    """Let `app` handle a request whose body is already read, and hold its answer."""
    answer = Answer(500)

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {
                k.decode("latin-1"): v.decode("latin-1") for k, v in message["headers"]
            }
        else:
            answer.body += message.get("body", b"")

    await app(scope, receive, send)
    return answer


async def send_answer(answer: Answer, send: Send) -> None:
    """Send an answer whole."""
    await _start(answer, send)
    await send({"type": "http.response.body", "body": answer.body})


async def send_slowly(answer: Answer, send: Send, interval_s: float) -> None:
    """Send an answer byte by byte."""
    await _start(answer, send)
    for position in range(len(answer.body)):
        byte = answer.body[position : position + 1]
        await send({"type": "http.response.body", "body": byte, "more_body": True})
        await asyncio.sleep(interval_s)
    await send({"type": "http.response.body"})


async def send_truncated(answer: Answer, receive: Receive, send: Send) -> None:
    """Send half of the body that `content-length` promises and close the connection."""
    await _start(answer, send)
    half = answer.body[: len(answer.body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})
    transport_of(send).close()
    await _disconnected(receive)


async def send_endless_body(answer: Answer, send: Send, bytes_max: int) -> None:
    """Send a chunked body that only ends when the client hangs up or after `bytes_max`."""
    answer.headers.pop("content-length", None)
    await _start(answer, send)
    transport = transport_of(send)
    for _ in range(-(-bytes_max // len(_CHUNK))):
        if transport.is_closing():
            return
        await send({"type": "http.response.body", "body": _CHUNK, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body"})


async def send_endless_headers(receive: Receive, send: Send, bytes_max: int) -> None:
    """Send header after header, past ASGI, until the client hangs up or after `bytes_max`."""
    transport = transport_of(send)
    transport.write(b"HTTP/1.1 200 OK\r\n")
    line = b"x-filler: " + b"x" * 1_000 + b"\r\n"
    for _ in range(-(-bytes_max // len(line))):
        if transport.is_closing():
            break
        transport.write(line)
        # A client that stops reading must not fill our memory.
        await asyncio.sleep(0 if transport.get_write_buffer_size() < 2**20 else 0.05)
    transport.abort()
    await _disconnected(receive)


async def drop(receive: Receive, send: Send) -> None:
    """Drop the connection without a byte of an answer."""
    transport_of(send).abort()
    await _disconnected(receive)


def transport_of(send: Callable[..., Any]) -> Transport:
    """The socket under uvicorn's `send`.

    Raises:
        RuntimeError: another server, or something was put between it and the sandbox.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        message = "connection faults need uvicorn with the sandbox as its outermost application"
        raise RuntimeError(message)
    return cast("Transport", transport)


async def _start(answer: Answer, send: Send) -> None:
    headers = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})


async def _disconnected(receive: Receive) -> None:
    """Wait until the server has noticed; it would answer 500 for a request left unanswered."""
    while (await receive())["type"] != "http.disconnect":
        pass
