"""Deadlines for those who send requests: uvicorn waits for ever, for headers, bodies and idlers.

A connection that has not delivered a whole request in time is closed, and so is one whose headers
grow without end. An ordinary request arrives in one piece and never starts a timer.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: From a connection's opening, or from a request's first byte, to the request's last byte.
RECEIVE_S = 10.0

#: What may come before a request's headers are complete.
HEAD_BYTES_MAX = 131_072


class DeadlineProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with a deadline for receiving and a bound on headers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._receiving: asyncio.TimerHandle | None = None
        self._is_complete = False
        self._in_head = True
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the deadline of the first request."""
        super().connection_made(transport)
        self._await_rest()

    def data_received(self, data: bytes) -> None:
        """Feeds the parser, and starts or ends the deadline by what has come of it."""
        self._is_complete = False
        super().data_received(data)
        if self._in_head and not self._is_complete:
            # What came with the end of a head is counted by nobody: a body has its own bound.
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                self.send_400_response("The headers are too large.")
        if self._is_complete:
            self._forget_deadline()
        elif self._receiving is None:
            self._await_rest()

    def on_headers_complete(self) -> None:
        """Notes when, for the door to know how long the request has waited."""
        self._in_head = False
        self.scope["received_s"] = self.loop.time()  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole; what comes next is another's head."""
        self._is_complete = True
        self._in_head = True
        self._head_bytes = 0
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
