"""One HTTP/1.1 connection: sends a request, hands its answer back, watches its times."""

import asyncio
import math
from collections.abc import Callable
from typing import cast

import httpx

from balance_gateway.transport.errors import Sent, mark
from balance_gateway.transport.limits import Bounds
from balance_gateway.transport.messages import RawResponse
from balance_gateway.transport.reader import ResponseReader


class Connection(asyncio.Protocol):
    """One connection, used for one exchange at a time.

    Attributes:
        alive: connected, and nothing came that nobody asked for.
        resting: lies unused in the pool; set and cleared by the pool.
        due: loop time at which the present step, or rest, ends; long past when not alive.
        stale: the last exchange was lost without a single byte of an answer.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        bounds: Bounds,
        on_lost: Callable[["Connection"], None],
    ) -> None:
        """Not connected yet: made so by ``loop.create_connection``."""
        self._loop = loop
        self._on_lost = on_lost
        self._reader = ResponseReader(bounds)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[RawResponse] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._total_due = math.inf
        self._read_s = math.inf
        self._writing = False
        self.alive = False
        self.resting = False
        self.due = math.inf
        self.stale = False

    async def exchange(
        self, request: bytes, *, head_only: bool, write_s: float, read_s: float, total_due: float
    ) -> RawResponse:
        """Send the request's bytes and read its answer; on any failure the connection is gone.

        Raises:
            httpx.RequestError: see the table in ``errors``; marked with how far it got.
        """
        assert self._waiter is None
        assert self._transport is not None
        waiter: asyncio.Future[RawResponse] = self._loop.create_future()
        self._waiter = waiter
        self._total_due = total_due
        self._read_s = read_s
        self._reader.expect(head_only=head_only)
        try:
            self._transport.write(request)
            step_s = write_s if self._writing else read_s
            self._set_due(min(total_due, self._loop.time() + step_s))
            return await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                waiter.exception()  # Seen: a cancelled caller must not leave it to be logged.
            self._waiter = None
            self.abort()
            mark(error, self._sent())
            raise

    def _sent(self) -> Sent:
        return Sent.ANSWERED if self._reader.status else Sent.MAYBE

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self.alive = False
        self.due = -math.inf
        if self._transport is not None:
            self._transport.abort()

    def fail(self, error: Exception) -> None:
        """End the exchange under way, if any, with this error, and close."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self.abort()

    # Times: one lazy timer, only ever moved earlier; when it fires too soon it is set anew.

    def rest_until(self, due: float) -> None:
        """Lie in the pool until this loop time, then close."""
        self.resting = True
        self._set_due(due)

    def _set_due(self, due: float) -> None:
        self.due = due
        if due < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = due
            self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        if self._loop.time() < self.due:
            self._set_due(self.due)
        elif self._waiter is None:
            self.abort()
        elif self._writing:
            self.fail(httpx.WriteTimeout("The request was not sent in time."))
        else:
            self.fail(httpx.ReadTimeout("The answer did not come in time."))

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)
        # Pause as soon as anything is left over. Not 0: TLS on asyncio would then always pause.
        self._transport.set_write_buffer_limits(high=1)
        self.alive = True

    def pause_writing(self) -> None:
        """Not all of the request fitted into the socket."""
        self._writing = True

    def resume_writing(self) -> None:
        """The whole request is in the socket."""
        self._writing = False
        if self._waiter is not None:
            self._set_due(min(self._total_due, self._loop.time() + self._read_s))

    def data_received(self, data: bytes) -> None:
        """Read on in the answer; one nobody asked for must not meet the next request."""
        if self._waiter is None:
            self.abort()
            return
        reader = self._reader
        try:
            reader.feed(data)
        except httpx.RemoteProtocolError as error:
            self.fail(error)
            return
        if reader.done:
            self._finish(reuse=reader.reusable and not self._writing)
        elif not self._writing:
            self._set_due(min(self._total_due, self._loop.time() + self._read_s))

    def eof_received(self) -> None:
        """The server sends no more."""
        if self._waiter is not None:
            self._reader.end()
            if self._reader.done:
                self._finish(reuse=False)
        self._lose(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._lose(exc)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport = None
        self._on_lost(self)

    def _lose(self, exc: Exception | None) -> None:
        if self._waiter is None:
            self.abort()
            return
        self.stale = not self._reader.heard
        if self._writing:
            self.fail(httpx.WriteError(str(exc or "The connection was closed while sending.")))
        elif exc is not None:
            self.fail(httpx.ReadError(str(exc)))
        elif self._reader.heard:
            self.fail(httpx.RemoteProtocolError("The server closed before its answer was whole."))
        else:
            self.fail(httpx.RemoteProtocolError("Server disconnected without sending a response."))

    def _finish(self, *, reuse: bool) -> None:
        waiter, self._waiter = self._waiter, None
        if not reuse:
            self.abort()
        if waiter is None or waiter.done():
            return
        try:
            waiter.set_result(self._reader.answer())
        except httpx.RequestError as error:
            waiter.set_exception(error)
