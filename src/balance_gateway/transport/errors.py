"""Records on the error of a failed exchange how far its request got.

The error classes are httpx's own, so that callers of httpx's API can handle them as usual:

=============================================  =============================  ================
failure                                        class                          sent
=============================================  =============================  ================
request violates HTTP                          ``LocalProtocolError``         never
no free connection in time, queue full         ``PoolTimeout``                never
DNS, refused, TLS, closed before the request   ``ConnectError``               never
no connection in time                          ``ConnectTimeout``             never
pool closed before the request                 ``RuntimeError``               never
lost or timed out while sending                ``WriteError WriteTimeout``    maybe
closed without a response, malformed head      ``RemoteProtocolError``        maybe
reset, or pool closed, before a response       ``ReadError``                  maybe
response timed out (read or total)             ``ReadTimeout``                maybe
response cut off or malformed in its body      ``RemoteProtocolError``        response started
reset or timed out within the body             ``ReadError ReadTimeout``      response started
head too large                                 ``ResponseTooLarge``           maybe
body too large, before or after inflating      ``ResponseTooLarge``           response started
content coding unknown or broken               ``DecodingError``              response started
=============================================  =============================  ================

*Response started* means that the whole head of a final (not 1xx) response was read.
"""

import enum
from typing import TypeVar

import httpx

E = TypeVar("E", bound=BaseException)


class Sent(enum.Enum):
    """How far a request got before its exchange failed."""

    NEVER = "never"
    """No byte was sent: sending the request again cannot apply it twice."""
    MAYBE = "maybe"
    """Bytes were handed to the socket and no final response began."""
    RESPONSE_STARTED = "response_started"
    """The server acted: the head of its final response was read, the rest failed."""


class ResponseTooLarge(httpx.RemoteProtocolError):
    """The response's head, number of headers, or body exceeds its bound."""


def set_sent(error: E, state: Sent) -> E:
    """Record on an error how far its request got, and return the error."""
    vars(error)["sent"] = state
    return error


def get_sent(error: BaseException) -> Sent:
    """Return how far the request got when its exchange ended in this error.

    Cancellation is recorded too: the state is read through the ``TimeoutError`` that
    ``asyncio.timeout`` raises from it. An error without a recorded state counts as maybe sent.
    """
    cause: BaseException | None = error
    while cause is not None:
        state = vars(cause).get("sent")
        if isinstance(state, Sent):
            return state
        cause = cause.__cause__
    return Sent.MAYBE
