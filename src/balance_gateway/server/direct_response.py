"""Write a response with a single system call, past uvicorn's own response path.

uvicorn writes head and body separately and validates each header. Each write is a system call that
wakes the client and costs as much as all other work for a small cached response. So the ordinary
response, with status 200 on a connection that stays open, is written in one piece. All others are
sent through ASGI, as is every response under another server.
"""

from starlette.types import Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

Headers = list[tuple[bytes, bytes]]

#: Larger bodies are sent through ASGI: copying them costs more than a second write.
_COPIED_BYTES_MAX = 262_144

_OK = STATUS_LINE[200]


def encode_head(headers: Headers) -> bytes:
    """Encode the status line and the headers that all responses of a kind share."""
    return _OK + b"".join(b"%s: %s\r\n" % header for header in headers)


def write_directly(send: Send, head: bytes, request_id: bytes, body: bytes) -> bool:
    """Write an ordinary response in one piece if possible.

    Args:
        send: ASGI's send function for this request.
        head: the result of ``encode_head``.
        request_id: the value of X-Request-Id; the caller ensures that it contains no line break.
        body: the whole body.

    Returns:
        Whether the response was written; if not, it must be sent through ASGI.
    """
    # uvicorn passes a bound method of its cycle; another server or a middleware does not.
    cycle = getattr(send, "__self__", None)
    if type(cycle) is not RequestResponseCycle or len(body) > _COPIED_BYTES_MAX:
        return False
    if not cycle.keep_alive or cycle.response_started or cycle.disconnected:
        return False
    flow: FlowControl = cycle.flow
    if flow.write_paused or cycle.scope["method"] == "HEAD":
        return False
    # The state that uvicorn's own send would leave behind.
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(
        b"%scontent-length: %d\r\nx-request-id: %s\r\n\r\n%s" % (head, len(body), request_id, body)
    )
    cycle.message_event.set()
    cycle.on_response()
    return True
