"""A read that was sent without waiting, from then on until its response or error is taken."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from balance_gateway.transport.connection import Connection
from balance_gateway.transport.errors import ReadFailed, TransportError
from balance_gateway.transport.limits import Timeouts
from balance_gateway.transport.messages import RawResponse


class SentReadPool(Protocol):
    """What a sent read needs of the pool that sent it; see ``Pool``."""

    def release(self, connection: Connection) -> None:
        """Release a slot together with its connection."""
        ...

    def release_slot(self) -> None:
        """Release a slot without a connection."""
        ...

    async def finish_read(
        self,
        sent: "SentRead",
        error: TransportError,
        before_repeat: Callable[[], Awaitable[None]] | None,
    ) -> RawResponse:
        """Raise the error, or send the read once more."""
        ...


class SentRead:
    """Receives the outcome of its connection; after an error it holds a slot until ``finish``.

    Attributes:
        connection: The connection that it was sent on.
        request: The whole request.
        timeouts: Seconds that each phase may take.
        due: Loop time at which the exchange must be over.
        response: The response; None before it has arrived, and after an error.
    """

    __slots__ = (
        *("_error", "_on_end", "_pool"),
        *("connection", "due", "request", "response", "timeouts"),
    )

    def __init__(
        self,
        pool: SentReadPool,
        connection: Connection,
        request: bytes,
        timeouts: Timeouts,
        due: float,
        on_end: Callable[[], None],
    ) -> None:
        self._pool = pool
        self.connection = connection
        self.request = request
        self.timeouts = timeouts
        self.due = due
        self.response: RawResponse | None = None
        self._error: TransportError | None = None
        self._on_end: Callable[[], None] | None = on_end

    def done(self) -> bool:
        """Return whether the outcome has arrived."""
        return self.response is not None or self._error is not None

    def set_result(self, response: RawResponse) -> None:
        """Store the response and give the connection back."""
        self.response = response
        self._pool.release(self.connection)
        self._end()

    def set_exception(self, error: Exception) -> None:
        """Store the error; the connection is closed."""
        assert isinstance(error, TransportError)
        self._error = error
        self.connection.abort()
        self.connection.record_progress(error)
        self._end()

    def _end(self) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()

    async def finish(
        self, before_repeat: Callable[[], Awaitable[None]] | None = None
    ) -> RawResponse:
        """Return the response, which may be that of a second attempt; see ``Transport.exchange``.

        Raises:
            TransportError: The read failed.
        """
        if self._error is not None:
            return await self._pool.finish_read(self, self._error, before_repeat)
        assert self.response is not None
        return self.response

    def cancel(self) -> None:
        """Close the connection and free the slot, unless the outcome has arrived."""
        if not self.done():
            self._on_end = None
            self.connection.fail(ReadFailed("The read was cancelled."))
            self._pool.release_slot()
