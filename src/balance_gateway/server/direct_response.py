"""Write a response with a single system call, past uvicorn's own response path.

An application may further have ``answer_at_once``, which ``server/answering_protocol.py`` calls
with a complete request before it starts a task for it. It returns the answer, or None for a task,
or ``LATER`` and then calls back with the function that finds the answer.

uvicorn writes head and body separately and validates each header. Each write is a system call that
wakes the client and costs as much as all other work for a small cached response. So the ordinary
responses, with status 200 or 304 on a connection that stays open, are written in one piece. All
others are sent through ASGI, as is every response under another server.
"""

import asyncio
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final, Literal, NamedTuple

from starlette.types import Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

Headers = list[tuple[bytes, bytes]]

#: Larger bodies are sent through ASGI: copying them costs more than a second write.
_COPIED_BYTES_MAX = 262_144


class DirectAnswer(NamedTuple):
    """An ordinary response that is known without waiting.

    Attributes:
        head: the result of ``encode_head``, and of ``encode_headers`` for its own headers.
        request_id: the value of X-Request-Id; it contains no line break.
        body: the whole body; empty for a 304, which has no length either.
    """

    head: bytes
    request_id: bytes
    body: bytes


class Wait(Enum):
    """That the callback is called later."""

    LATER = "later"


LATER: Final = Wait.LATER

#: Gets a function that returns the answer now, or None for a task; None for a task without asking.
OnReady = Callable[[Callable[[], DirectAnswer | None] | None], None]

AnswerAtOnce = DirectAnswer | Literal[Wait.LATER] | None


def encode_head(status: int, headers: Headers) -> bytes:
    """Encode the status line and the headers that all responses of a kind share."""
    return STATUS_LINE[status] + encode_headers(headers)


def encode_headers(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Encode headers; the caller ensures that they contain no line break."""
    return b"".join(b"%s: %s\r\n" % header for header in headers)


def write_directly(send: Send, answer: DirectAnswer) -> bool:
    """Write an ordinary response in one piece if possible.

    Args:
        send: ASGI's send function for this request.
        answer: the response.

    Returns:
        Whether the response was written; if not, it must be sent through ASGI.
    """
    # uvicorn passes a bound method of its cycle; another server or a middleware does not.
    cycle = getattr(send, "__self__", None)
    if type(cycle) is not RequestResponseCycle or len(answer.body) > _COPIED_BYTES_MAX:
        return False
    if not can_write(cycle):
        return False
    write(cycle, answer)
    return True


def can_write(cycle: RequestResponseCycle) -> bool:
    """Whether ``write`` may be used for a request."""
    if not cycle.keep_alive or cycle.response_started or cycle.disconnected:
        return False
    flow: FlowControl = cycle.flow
    return not flow.write_paused and cycle.scope["method"] != "HEAD"


def write(cycle: RequestResponseCycle, answer: DirectAnswer) -> None:
    """Write a response, and leave uvicorn's cycle in the state in which its own send would."""
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    write_answer(cycle.transport, answer)
    cycle.message_event.set()
    cycle.on_response()


def write_answer(transport: asyncio.Transport, answer: DirectAnswer) -> None:
    """Write the bytes of a response."""
    head, request_id, body = answer
    length = b"content-length: %d\r\n" % len(body) if body else b""
    start = b"%s%sx-request-id: %s\r\n\r\n" % (head, length, request_id)
    if len(body) > _COPIED_BYTES_MAX:
        transport.writelines((start, body))
    else:
        transport.write(start + body)
