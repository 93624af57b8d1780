"""Extend uvicorn's HTTP protocol with deadlines and size limits for clients.

uvicorn waits without a limit for headers, for bodies and for clients to read. Here a connection is
closed when a request is not complete in time, when its headers or trailers are too large, or when
its client does not read the response. An ordinary request arrives in one piece and starts no timer.
A request must name one host (RFC 9112, 3.2), which the HTTP parser does not check. Offers of
another protocol (``Upgrade``) are ignored. Malformed requests are not logged, since anyone can send
them.
"""

import asyncio
import re
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from balance_gateway.server.draining import DrainState, has_unread_bytes

#: Deadline for a complete request, from the opening of the connection or the request's first byte.
RECEIVE_S = 10.0

#: Interval of the checks for stalled clients; a client that reads nothing in between is dropped.
STALL_CHECK_S = 30.0

#: Maximum size of a request's head.
HEAD_BYTES_MAX = 131_072

#: Maximum size of one chunk of a body, and of the trailers: more than a whole body may have.
CHUNK_BYTES_MAX = 1_572_864

#: A valid Host: a name or an address, and a port. A comma, as in two joined hosts, is refused.
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%-]*)(?::[0-9]{0,5})?")

_INVALID_REQUEST = "Invalid HTTP request received."


class _DiscardedTrailers(list[tuple[bytes, bytes]]):
    """Discards trailers: an Authorization among them must not become a credential."""

    def append(self, field: tuple[bytes, bytes]) -> None:
        """Discard the field."""


_DISCARDED_TRAILERS = _DiscardedTrailers()


class DeadlineProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with deadlines, and size limits for heads, chunks and trailers.

    Args:
        args: uvicorn's arguments.
        drain: whether the server drains; None: it never does.
        kwargs: uvicorn's arguments.
    """

    def __init__(self, *args: Any, drain: DrainState | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._drain = drain or DrainState()
        self._ending_cycle: RequestResponseCycle | None = None
        self._is_receiving = False
        self._deadline: asyncio.TimerHandle | None = None
        self._is_complete = False
        self._in_head = True
        self._in_chunks = False
        self._counted_bytes = 0
        self._unsent_bytes = 0
        self._problem = _INVALID_REQUEST
        # Whether the parser expects the first byte of a request.
        self._is_between = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first request."""
        super().connection_made(transport)
        self._start_deadline()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; start a deadline if the request is incomplete, else cancel it."""
        self._is_complete = False
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self.send_400_response(self._problem)
        self._is_receiving = not self._is_complete
        if self._is_complete:
            self._cancel_deadline()
            return
        if self._in_head or self._in_chunks:
            # Bytes received together with the end of a head are not counted: the application limits
            # the size of a body.
            self._count_received(len(data))
        if self._deadline is None:
            self._start_deadline()

    def on_message_begin(self) -> None:
        """Expect the rest of a request from here on."""
        self._is_between = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Expect a body from here on; fields after it are trailers and not headers."""
        if self.parser.should_upgrade():
            return  # _feed parses the head a second time, without the offer.
        self._check_host()
        super().on_headers_complete()
        if self._drain.has_begun:
            self.end_after_response()
        self._is_complete = False  # A request before it, in the same bytes, may have been complete.
        self._in_head = False
        self.headers = _DISCARDED_TRAILERS

    def on_chunk_header(self) -> None:
        """Count a chunk, or the trailers after the last one, from here on."""
        self._in_chunks = True
        self._counted_bytes = 0

    def on_message_complete(self) -> None:
        """Complete the request; the next bytes belong to the head of another one."""
        if self.parser.should_upgrade():
            return
        self._is_complete = self._is_between = True
        self._in_head = True
        self._in_chunks = False
        self._counted_bytes = 0
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Record the time, from which load shedding computes how long the request has waited.

        It is the time at which the head is complete, or at which the response to the request before
        it on the connection has ended.
        """
        cycle.scope["received_s"] = self.loop.time()  # type: ignore[typeddict-unknown-key]
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline."""
        self._cancel_deadline()
        super().connection_lost(exc)

    def end_after_response(self) -> None:
        """Let the last response that is due say that it ends the connection, if it has not begun.

        A response that has begun cannot: the one after it does.
        """
        cycle, before = self.cycle, self._ending_cycle
        if cycle is None or cycle.response_started or not cycle.keep_alive:
            return
        # A request was sent before the response to the one before it: that one must not end the
        # connection.
        if before is not None and not before.response_started:
            before.keep_alive = True
        cycle.keep_alive = False
        self._ending_cycle = cycle

    def shutdown(self) -> None:
        """Close the connection: after a response that is due or a request that is arriving."""
        is_idle = self.cycle is None or self.cycle.response_complete
        if not is_idle or not (self._is_receiving or has_unread_bytes(self.transport)):
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Respond with 400 and close; if another request's response is due, send only that one."""
        cycle = self.cycle
        if self._in_head:
            is_due = cycle is not None and not cycle.response_complete
        else:
            is_due = cycle.response_started or bool(self.pipeline)
        if is_due:
            super().shutdown()
        else:
            self.transport.write(
                b"%scontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
                b"x-content-type-options: nosniff\r\nconnection: close\r\n\r\n%s"
                % (STATUS_LINE[400], len(msg), msg.encode("ascii"))
            )
            self.transport.close()

    def _check_host(self) -> None:
        """Check that the head names one host; HTTP/1.0 may leave it out.

        Raises:
            HttpParserError: it names none, several, or something else.
        """
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) == 1 and _HOST.fullmatch(hosts[0]):
            return
        if hosts or self.parser.get_http_version() != "1.0":
            self._problem = "The header Host must be sent once and must be valid."
            raise httptools.HttpParserError(self._problem)

    def _count_received(self, size: int) -> None:
        """Count bytes that the parser may buffer; close the connection above the limit."""
        self._counted_bytes += size
        if self._counted_bytes <= (HEAD_BYTES_MAX if self._in_head else CHUNK_BYTES_MAX):
            return
        if not self.transport.is_closing():
            self.send_400_response(
                f"The headers exceed {HEAD_BYTES_MAX} bytes."
                if self._in_head
                else f"A body chunk or the trailers exceed {CHUNK_BYTES_MAX} bytes."
            )
            self.transport.close()

    def drop_if_stalled(self) -> None:
        """Abort the connection if its client has read nothing of a response since the last call.

        This includes connections that are closing, since closing waits until everything is sent.
        """
        unsent = self.transport.get_write_buffer_size()
        if unsent and unsent == self._unsent_bytes:
            self.transport.abort()
        self._unsent_bytes = unsent

    def _feed(self, data: bytes | memoryview) -> None:
        """Feed the parser; parse a head with an Upgrade offer a second time, without the offer.

        Raises:
            HttpParserError: the data is not HTTP.
        """
        # A client may offer HTTP/2 with any request (curl and Java do) and expects HTTP/1.1 if the
        # offer is ignored. The parser however ends such a request after its head, and would drop
        # its body.
        while True:
            try:
                return self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                head = self._head_without_upgrade()
                self.parser = self._build_parser()
                self.parser.feed_data(head)
                data = memoryview(data)[upgrade.args[0] :]

    def _head_without_upgrade(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            raise httptools.HttpParserError("CONNECT is not supported.")
        lines = [b"%s %s HTTP/%s" % (method, self.url, version)]
        lines += [b"%s: %s" % field for field in self.headers if field[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _build_parser(self) -> httptools.HttpRequestParser:
        """Build a parser as uvicorn does: bytes after the last request are not an error."""
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _start_deadline(self) -> None:
        self._deadline = self.loop.call_later(RECEIVE_S, self._close_slow_client)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close_slow_client(self) -> None:
        self._deadline = None
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # Closing would wait until the rest of a response is sent.
        else:
            self.transport.close()
