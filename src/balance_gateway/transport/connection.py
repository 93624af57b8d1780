"""One HTTP/1.1 connection: sends a request, returns its response, enforces its timeouts."""

import asyncio
import math
from collections.abc import Callable
from typing import Protocol, cast

from balance_gateway.transport.errors import (
    InvalidResponse,
    ReadFailed,
    ReadTimeout,
    SendFailed,
    SendTimeout,
    Sent,
    TransportError,
    set_sent,
)
from balance_gateway.transport.limits import Bounds
from balance_gateway.transport.messages import RawResponse
from balance_gateway.transport.reader import ResponseReader


class ResponseReceiver(Protocol):
    """Receives the outcome of an exchange: a future, or an object with a part of its methods."""

    def done(self) -> bool:
        """Return whether it needs no outcome any more."""
        ...

    def set_result(self, result: RawResponse, /) -> None:
        """Receive the response."""
        ...

    def set_exception(self, exception: Exception, /) -> None:
        """Receive the error."""
        ...


class Connection(asyncio.Protocol):
    """One connection, used for one exchange at a time.

    Attributes:
        alive: Connected, and no unexpected bytes have arrived.
        idle: Held unused by the pool; set and cleared by the pool.
        due: Loop time at which the current step or the idle period ends; minus infinity after an
            abort.
        stale: The last exchange was lost before any byte of a response arrived.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        bounds: Bounds,
        on_lost: Callable[["Connection"], None],
    ) -> None:
        """Create an unconnected protocol; ``loop.create_connection`` connects it."""
        self._loop = loop
        self._on_lost = on_lost
        self._reader = ResponseReader(bounds)
        self._transport: asyncio.Transport | None = None
        self._waiter: ResponseReceiver | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._total_due = math.inf
        self._read_s = math.inf
        self._writing = False
        self.alive = False
        self.idle = False
        self.due = math.inf
        self.stale = False

    async def exchange(
        self, request: bytes, *, head_only: bool, write_s: float, read_s: float, total_due: float
    ) -> RawResponse:
        """Send the request's bytes and return the response; any failure closes the connection.

        Args:
            request: The whole request.
            head_only: Whether the request is a HEAD, so that the response has no body.
            write_s: Seconds for handing the request to the socket.
            read_s: Seconds between two arrivals of bytes.
            total_due: Loop time at which the exchange must be over.

        Raises:
            TransportError: See the table in ``errors``.
        """
        waiter: asyncio.Future[RawResponse] = self._loop.create_future()
        try:
            self.send(
                request,
                waiter,
                head_only=head_only,
                write_s=write_s,
                read_s=read_s,
                total_due=total_due,
            )
            return await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                # Marks it as retrieved, or asyncio logs it when the caller was cancelled.
                waiter.exception()
            self._waiter = None
            self.abort()
            self.record_progress(error)
            raise

    def send(
        self,
        request: bytes,
        receiver: ResponseReceiver,
        *,
        head_only: bool,
        write_s: float,
        read_s: float,
        total_due: float,
    ) -> None:
        """Send the request's bytes; the receiver gets the response or the error, at most once.

        Args:
            request: See ``exchange``.
            receiver: After an error it must call ``abort`` and ``record_progress``.
            head_only: See ``exchange``.
            write_s: See ``exchange``.
            read_s: See ``exchange``.
            total_due: See ``exchange``.
        """
        assert self._waiter is None
        assert self._transport is not None
        self._waiter = receiver
        self._total_due = total_due
        self._read_s = read_s
        self._reader.expect(head_only=head_only)
        self._transport.write(request)
        step_s = write_s if self._writing else read_s
        self._set_due(min(total_due, self._loop.time() + step_s))

    def record_progress(self, error: BaseException) -> None:
        """Record on the error of the last exchange how far its request got."""
        reader = self._reader
        set_sent(error, Sent.RESPONSE_STARTED if reader.status else Sent.MAYBE)
        if reader.status and isinstance(error, TransportError):
            error.record_head(reader.status, reader.headers)

    def abort(self) -> None:
        """Close the connection at once, even during an exchange."""
        self.alive = False
        self.due = -math.inf
        if self._transport is not None:
            self._transport.abort()

    def fail(self, error: Exception) -> None:
        """End the current exchange, if any, with this error, and close the connection."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self.abort()

    # Timeouts use one lazy timer that only moves to an earlier time; when it fires before the
    # deadline, it is set again. This costs less than a new timer for every step.

    def close_idle_at(self, due: float) -> None:
        """Stay idle in the pool until this loop time, then close."""
        self.idle = True
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
            self.fail(SendTimeout("The request was not sent in time."))
        else:
            self.fail(ReadTimeout("The response did not arrive in time."))

    # Callbacks of the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.Transport", transport)
        # Pause as soon as any byte is left over. Not 0: TLS on asyncio would then always pause.
        self._transport.set_write_buffer_limits(high=1)
        self.alive = True

    def pause_writing(self) -> None:
        """Note that part of the request does not fit into the socket yet."""
        self._writing = True

    def resume_writing(self) -> None:
        """Note that the whole request is in the socket, and start the read timeout."""
        self._writing = False
        if self._waiter is not None:
            self._set_due(min(self._total_due, self._loop.time() + self._read_s))

    def data_received(self, data: bytes) -> None:
        """Feed the bytes to the reader; close the connection when no response is expected."""
        if self._waiter is None:
            # Or the next request would take these bytes for its response.
            self.abort()
            return
        reader = self._reader
        try:
            reader.feed(data)
        except InvalidResponse as error:
            self.fail(error)
            return
        if reader.done:
            self._finish(reuse=reader.reusable and not self._writing)
        elif not self._writing:
            self._set_due(min(self._total_due, self._loop.time() + self._read_s))

    def eof_received(self) -> None:
        """End a response that has no length of its own, and close the connection."""
        if self._waiter is not None:
            self._reader.end()
            if self._reader.done:
                self._finish(reuse=False)
        self._lose(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the closed socket and inform the pool."""
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
        self.stale = not self._reader.has_data
        if self._writing:
            self.fail(SendFailed(str(exc or "The connection was closed while sending.")))
        elif exc is not None:
            error = ReadFailed(str(exc))
            # The server's TLS alert is read from it.
            error.__cause__ = exc
            self.fail(error)
        elif self._reader.has_data:
            message = "The server closed the connection before the response was complete."
            self.fail(InvalidResponse(message))
        else:
            self.fail(InvalidResponse("Server disconnected without sending a response."))

    def _finish(self, *, reuse: bool) -> None:
        waiter, self._waiter = self._waiter, None
        if not reuse:
            self.abort()
        if waiter is None or waiter.done():
            return
        try:
            response = self._reader.take_response()
        except TransportError as error:
            waiter.set_exception(error)
            return
        waiter.set_result(response)
