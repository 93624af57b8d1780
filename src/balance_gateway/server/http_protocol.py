"""Deadlines for clients: uvicorn waits for ever, for headers, bodies, idlers, and to be read.

A connection that has not delivered a whole request in time is closed, and so is one whose headers
grow without end, or whose client takes nothing of an answer. An ordinary request arrives in one
piece and never starts a timer. Nobody is told to use another protocol, and nothing is logged of
requests that are none: anyone may send them.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

#: From a connection's opening, or from a request's first byte, to the request's last byte.
RECEIVE_S = 10.0

#: From one look to the next; who takes nothing of an answer in between is dropped.
UNREAD_S = 30.0

#: What may come before a request's headers are complete.
HEAD_BYTES_MAX = 131_072

#: What may come of one chunk of a body, or of all that follows the last: more than a whole body.
CHUNK_BYTES_MAX = 1_572_864


class _Unread(list[tuple[bytes, bytes]]):
    """Takes the fields that follow a body, and keeps none: a credential among them is none."""

    def append(self, field: tuple[bytes, bytes]) -> None:
        """Forgets it."""


_UNREAD = _Unread()


class DeadlineProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with a deadline for receiving, and bounds on what is not a body."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._receiving: asyncio.TimerHandle | None = None
        self._is_complete = False
        self._in_head = True
        self._in_chunks = False
        self._counted_bytes = 0
        self._unsent_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the deadline of the first request."""
        super().connection_made(transport)
        self._await_rest()

    def data_received(self, data: bytes) -> None:
        """Feeds the parser, and starts or ends the deadline by what has come of it."""
        self._is_complete = False
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        if self._is_complete:
            self._forget_deadline()
            return
        if self._in_head or self._in_chunks:
            # What came with the end of a head is counted by nobody: a body has its own bound.
            self._count(len(data))
        if self._receiving is None:
            self._await_rest()

    def on_headers_complete(self) -> None:
        """From here on comes a body, and what follows it is no header."""
        if self.parser.should_upgrade():
            return  # It comes again; see _feed.
        super().on_headers_complete()
        self._is_complete = False  # The one before it may have been, in the same piece.
        self._in_head = False
        self.headers = _UNREAD

    def on_chunk_header(self) -> None:
        """From here on a chunk is counted, or what follows the last."""
        self._in_chunks = True
        self._counted_bytes = 0

    def on_message_complete(self) -> None:
        """The request is whole; what comes next is another's head."""
        if self.parser.should_upgrade():
            return
        self._is_complete = True
        self._in_head = True
        self._in_chunks = False
        self._counted_bytes = 0
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Notes when, for the door to know how long the request has waited to be looked at.

        That is when its head is there, or its turn has come behind another of its connection.
        """
        cycle.scope["received_s"] = self.loop.time()  # type: ignore[typeddict-unknown-key]
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the deadline."""
        self._forget_deadline()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answers and closes; where another's answer is due, it is sent and nothing after it."""
        cycle = self.cycle
        if self._in_head:
            is_due = cycle is not None and not cycle.response_complete
        else:
            is_due = cycle.response_started or bool(self.pipeline)
        if is_due:
            self.shutdown()
        else:
            super().send_400_response(msg)

    def _count(self, size: int) -> None:
        """Counts what the parser may be holding, and ends a connection that has sent too much."""
        self._counted_bytes += size
        if self._counted_bytes <= (HEAD_BYTES_MAX if self._in_head else CHUNK_BYTES_MAX):
            return
        if not self.transport.is_closing():
            self.send_400_response(
                "The headers are too large."
                if self._in_head
                else "A chunk, or what follows the last one, is too large."
            )
            self.transport.close()

    def drop_if_unread(self) -> None:
        """Drops the connection when nothing was taken of an answer since this was called last.

        Closing waits until everything is sent; that is why connections that are closing count too.
        """
        unsent = self.transport.get_write_buffer_size()
        if unsent and unsent == self._unsent_bytes:
            self.transport.abort()
        self._unsent_bytes = unsent

    def _feed(self, data: bytes | memoryview) -> None:
        """Feeds the parser, and once more, without its wish, a head that asks for a protocol.

        A client may offer HTTP/2 with any request (curl and Java do), and is answered in HTTP/1.1
        when nobody takes it up. But the parser ends a request that offers something with its head,
        and would drop the body.

        Raises:
            HttpParserError: that is not HTTP.
        """
        while True:
            try:
                return self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                head = self._head_without_upgrade()
                self.parser = self._new_parser()
                self.parser.feed_data(head)
                data = memoryview(data)[upgrade.args[0] :]

    def _head_without_upgrade(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            raise httptools.HttpParserError("No tunnels.")
        lines = [b"%s %s HTTP/%s" % (method, self.url, version)]
        lines += [b"%s: %s" % field for field in self.headers if field[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _new_parser(self) -> httptools.HttpRequestParser:
        """A parser as uvicorn makes it: bytes after the last request are no mistake."""
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _await_rest(self) -> None:
        self._receiving = self.loop.call_later(RECEIVE_S, self._close_slow)

    def _forget_deadline(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None

    def _close_slow(self) -> None:
        self._receiving = None
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # Closing would wait until the rest of an answer is sent.
        else:
            self.transport.close()
