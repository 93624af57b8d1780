"""Tells of a failed exchange how far the request got: never sent, maybe sent, or answered.

The classes are httpx's own, so that callers of httpx's API see what they know:

=============================================  =============================  =================
what happened                                  class                          sent
=============================================  =============================  =================
request breaks the rules of HTTP               ``LocalProtocolError``         never
no free connection in time, queue full         ``PoolTimeout``                never
DNS, refused, TLS, closed before the request   ``ConnectError``               never
no connection in time                          ``ConnectTimeout``             never
pool closed before the request                 ``RuntimeError``               never
lost, or late, while sending                   ``WriteError WriteTimeout``    maybe
closed without an answer, malformed head       ``RemoteProtocolError``        maybe
reset, or pool closed, before an answer        ``ReadError``                  maybe
late answer (read or total)                    ``ReadTimeout``                maybe
answer cut off or malformed in its body        ``RemoteProtocolError``        answered
reset, or late, within the body                ``ReadError ReadTimeout``      answered
head too large                                 ``ResponseTooLarge``           maybe
body too large, before or after inflating      ``ResponseTooLarge``           answered
content coding unknown or broken               ``DecodingError``              answered
=============================================  =============================  =================

*Answered* means that the whole head of a final (not 1xx) answer was read.
"""

import enum
from typing import TypeVar

import httpx

E = TypeVar("E", bound=BaseException)


class Sent(enum.Enum):
    """How far a request got before its exchange failed."""

    NEVER = "never"
    """Not one byte left: sending it again cannot do anything twice."""
    MAYBE = "maybe"
    """Bytes were handed to the socket and no final answer began."""
    ANSWERED = "answered"
    """The server acted: the head of its final answer was read, the rest failed."""


class ResponseTooLarge(httpx.RemoteProtocolError):
    """The answer's head, number of headers, or body passed its bound."""


def mark(error: E, state: Sent) -> E:
    """Note on an error how far its request got."""
    vars(error)["sent"] = state
    return error


def sent(error: BaseException) -> Sent:
    """How far the request got whose exchange ended in this error.

    Cancellation is marked as well, and is found beneath the ``TimeoutError`` that
    ``asyncio.timeout`` makes of it. An error nobody marked counts as maybe sent.
    """
    cause: BaseException | None = error
    while cause is not None:
        state = vars(cause).get("sent")
        if isinstance(state, Sent):
            return state
        cause = cause.__cause__
    return Sent.MAYBE
