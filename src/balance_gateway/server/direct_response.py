"""An answer as one write: uvicorn writes head and body apart, and checks and joins each header.

Each write is a system call that wakes the client, and costs as much as all that the gateway does
for a small answer that is at hand. The ordinary answer, with a status of 200 on a connection that
stays open, is written here in one piece; all others go through ASGI as ever, and so does this one
under any other server.
"""

from starlette.types import Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

Headers = list[tuple[bytes, bytes]]

#: Larger bodies are not worth another copy.
_COPIED_BYTES_MAX = 262_144

_OK = STATUS_LINE[200]


def encode_head(headers: Headers) -> bytes:
    """Status line and headers of an ordinary answer, up to where its own headers begin."""
    return _OK + b"".join(b"%s: %s\r\n" % header for header in headers)


def write_directly(send: Send, head: bytes, request_id: bytes, body: bytes) -> bool:
    """Writes an ordinary answer; False: it has to go through ASGI.

    Args:
        send: what the server gave the application for this request.
        head: see ``encode_head``.
        request_id: known to hold nothing that ends a header.
        body: whole.
    """
    cycle = getattr(send, "__self__", None)
    if type(cycle) is not RequestResponseCycle or len(body) > _COPIED_BYTES_MAX:
        return False
    if not cycle.keep_alive or cycle.response_started or cycle.disconnected:
        return False
    flow: FlowControl = cycle.flow
    if flow.write_paused or cycle.scope["method"] == "HEAD":
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(
        b"%scontent-length: %d\r\nx-request-id: %s\r\n\r\n%s" % (head, len(body), request_id, body)
    )
    cycle.message_event.set()
    cycle.on_response()
    return True
