"""The errors of failed exchanges, each of which records how far its request got.

=============================================  ================================  ================
failure                                        class                             sent
=============================================  ================================  ================
URL is not usable                              ``InvalidURL``                    never
request violates HTTP                          ``InvalidRequest``                never
no free connection in time, queue full         ``PoolTimeout``                   never
DNS, refused, TLS, closed before the request   ``ConnectFailed``                 never
proxy refuses to connect                       ``ProxyRefused``                  never
no connection in time                          ``ConnectTimeout``                never
transport closed before the request            ``TransportClosed``               never
lost or timed out while sending                ``SendFailed SendTimeout``        maybe
closed without a response, malformed head      ``InvalidResponse``               maybe
reset, or transport closed, before a response  ``ReadFailed``                    maybe
response timed out (read or total)             ``ReadTimeout``                   maybe
response cut off or malformed in its body      ``InvalidResponse``               response started
reset or timed out within the body             ``ReadFailed ReadTimeout``        response started
head too large                                 ``ResponseTooLarge``              maybe
body too large, before or after inflating      ``ResponseTooLarge``              response started
content coding unknown                         ``UnknownCoding``                 response started
compressed body broken                         ``UndecodableBody``               response started
=============================================  ================================  ================

*Response started* means that the whole head of a final (not 1xx) response was read. A read that is
repeated on a new connection keeps *maybe*, even if that connection cannot be made.
"""

import enum
from collections.abc import Sequence
from typing import TypeVar

E = TypeVar("E", bound=BaseException)


class Sent(enum.Enum):
    """How far a request got before its exchange failed."""

    NEVER = "never"
    """No byte was sent: sending the request again cannot apply it twice."""
    MAYBE = "maybe"
    """Bytes were handed to the socket and no final response began."""
    RESPONSE_STARTED = "response_started"
    """The server acted: the head of its final response was read, the rest failed."""


class TransportError(Exception):
    """An exchange failed.

    Attributes:
        sent: How far the request got.
        status: Status of the response, once its head was read; None before.
        headers: Names and values of that head; empty before.
    """

    sent: Sent = Sent.MAYBE
    status: int | None = None
    headers: Sequence[tuple[bytes, bytes]] = ()

    def record_head(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Record the head of the response that was read before the failure."""
        self.sent, self.status, self.headers = Sent.RESPONSE_STARTED, status, headers


class TransportTimeout(TransportError):
    """A phase of the exchange, or the whole exchange, took too long."""


class InvalidURL(TransportError, ValueError):
    """The URL is malformed, or is not an http or https URL with a host."""

    sent = Sent.NEVER


class InvalidRequest(TransportError):
    """The request contains bytes that HTTP forbids."""

    sent = Sent.NEVER


class TransportClosed(TransportError):
    """The transport was closed before the request was sent."""

    sent = Sent.NEVER


class PoolTimeout(TransportTimeout):
    """No connection became free in time, or too many callers wait for one."""

    sent = Sent.NEVER


class ConnectFailed(TransportError):
    """No connection could be made: DNS, TCP or TLS failed."""

    sent = Sent.NEVER


class ProxyRefused(ConnectFailed):
    """The proxy refused to connect, or did not accept our user and password.

    Attributes:
        proxy_status: Status of the proxy's response.
    """

    def __init__(self, proxy_status: int) -> None:
        super().__init__(f"The proxy refused with HTTP {proxy_status}.")
        self.proxy_status = proxy_status


class ConnectTimeout(TransportTimeout):
    """No connection was made in time."""

    sent = Sent.NEVER


class SendFailed(TransportError):
    """The connection was lost while the request was sent."""


class SendTimeout(TransportTimeout):
    """The request was not sent in time."""


class ReadFailed(TransportError):
    """The connection was lost while the response was read."""


class ReadTimeout(TransportTimeout):
    """The response did not arrive in time."""


class InvalidResponse(TransportError):
    """The response is not HTTP, or ended early."""


class ResponseTooLarge(InvalidResponse):
    """The response's head, number of headers, or body exceeds its bound."""


class UndecodableBody(InvalidResponse):
    """The response's compressed body is broken."""


class UnknownCoding(UndecodableBody):
    """The response's content coding is neither gzip nor deflate."""


def set_sent(error: E, state: Sent) -> E:
    """Record on an error, such as a cancellation, how far its request got; return the error."""
    vars(error)["sent"] = state
    return error


def get_sent(error: BaseException) -> Sent:
    """Return how far the request got when its exchange ended in this error.

    Cancellation is recorded too: the state is read through the ``TimeoutError`` that
    ``asyncio.timeout`` raises from it. An error without a recorded state counts as maybe sent.
    """
    cause: BaseException | None = error
    while cause is not None:
        state = getattr(cause, "sent", None)
        if isinstance(state, Sent):
            return state
        cause = cause.__cause__
    return Sent.MAYBE
