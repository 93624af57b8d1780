"""Deadlines for those who send requests: uvicorn waits for ever, for headers, bodies and idlers.

A connection that has not delivered a whole request in time is closed, and so is one whose headers
grow without end. An ordinary request arrives in one piece and never starts a timer.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: From a connection's opening, or from a request's first byte, to the request's last byte.
RECEIVE_S = 10.0

#: Names and values of one request's headers, and its URL, together.
HEAD_BYTES_MAX = 65_536


class DeadlineProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with a deadline for receiving and a bound on headers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._receiving: asyncio.TimerHandle | None = None
        self._is_complete = False
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the deadline of the first request."""
        super().connection_made(transport)
        self._await_rest()

    def data_received(self, data: bytes) -> None:
        """Feeds the parser, and starts or ends the deadline by what has come of it."""
        self._is_complete = False
        super().data_received(data)
        if self._is_complete:
            self._forget_deadline()
        elif self._receiving is None:
            self._await_rest()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._head_bytes = 0
        self._is_complete = False
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Counts the URL among the headers."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts the headers."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._is_complete = True
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the deadline."""
        self._forget_deadline()
        super().connection_lost(exc)

    def _await_rest(self) -> None:
        self._receiving = self.loop.call_later(RECEIVE_S, self._close_slow)

    def _forget_deadline(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None

    def _close_slow(self) -> None:
        self._receiving = None
        self.transport.close()

    def _count(self, length: int) -> None:
        self._head_bytes += length
        if self._head_bytes > HEAD_BYTES_MAX:
            # Raised inside of the parser, this is answered with 400 and ends the connection.
            raise HeadTooLarge


class HeadTooLarge(Exception):
    """The headers of a request are larger than HEAD_BYTES_MAX."""
