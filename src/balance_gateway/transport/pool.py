"""A bounded pool of connections to one origin, with the rules for reuse and resending.

A read (GET, HEAD) prefers the connection used last. When the server closed that connection
without a byte of a response, the read is sent once more, on a new one. Every other method is a
write: it is never sent again and always uses a new connection, because the server may be closing
any idle connection at that moment. On a new connection a failure before the first byte is certain
to be *never sent*; on a reused one the same race would leave it at *maybe sent*.
"""

import asyncio
import math
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable

from balance_gateway.transport.connection import Connection
from balance_gateway.transport.errors import (
    ConnectFailed,
    ConnectTimeout,
    PoolTimeout,
    ReadFailed,
    Sent,
    TransportClosed,
    TransportError,
    get_sent,
    set_sent,
)
from balance_gateway.transport.limits import (
    DEFAULT_BOUNDS,
    DEFAULT_LIMITS,
    DEFAULT_TIMEOUTS,
    Bounds,
    Limits,
    Timeouts,
    Usage,
)
from balance_gateway.transport.messages import (
    READ_METHODS,
    RawResponse,
    encode_head,
    encode_request,
    require_method,
)
from balance_gateway.transport.sent_read import SentRead
from balance_gateway.transport.tls import verified_ssl_context
from balance_gateway.transport.urls import parse_url


def _closed_error() -> TransportClosed:
    return TransportClosed("The connection pool is closed.")


class Pool:
    """Connections to one origin. Belongs to the event loop that first uses it.

    Args:
        url: An http or https URL, of which only the origin is used.
        limits: Limits of the pool.
        bounds: Size bounds of every response.
        ssl_context: TLS settings; None for ``verified_ssl_context()``.

    Raises:
        InvalidURL: The URL is not an http or https URL with a host and without a user.
    """

    def __init__(
        self,
        url: str,
        *,
        limits: Limits = DEFAULT_LIMITS,
        bounds: Bounds = DEFAULT_BOUNDS,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        origin = parse_url(url)
        self._host = origin.host
        self._port = origin.port
        self._host_header = origin.host_header.encode("ascii")
        self._ssl = (ssl_context or verified_ssl_context()) if origin.scheme == "https" else None
        self._limits = limits
        self._bounds = bounds
        self._open = 0
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._connections: set[Connection] = set()
        self._dial_timeouts: set[asyncio.Timeout] = set()
        self._is_closed = False
        self._last_head: tuple[object, bytes] = (None, b"")

    @property
    def usage(self) -> Usage:
        """The current use of the pool."""
        return Usage(self._open, len(self._idle), len(self._waiting))

    async def exchange(
        self,
        method: str | bytes,
        target: str | bytes,
        headers: Iterable[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        *,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        before_repeat: Callable[[], Awaitable[None]] | None = None,
    ) -> RawResponse:
        """Send one request and return its whole response.

        Args:
            method: The HTTP method.
            target: Path and query.
            headers: Names and values. The same tuple object is checked and encoded only once.
            body: The whole body.
            timeouts: Seconds that each phase may take.
            before_repeat: Awaited before a read is sent a second time; its errors are raised.

        Raises:
            TransportError: See the table in ``errors``.
        """
        if self._is_closed:
            raise _closed_error()
        method = require_method(method)
        target = target.encode("utf-8") if isinstance(target, str) else target
        request = encode_request(method, target, self._encode_head(headers), body)
        now = asyncio.get_running_loop().time()
        due = now + timeouts.total_s
        is_read = method in READ_METHODS
        if is_read and self._idle and self._idle[-1].due > now:
            connection, reused = self._idle.pop(), True
            connection.idle = False
        else:
            connection, reused = await self._acquire(timeouts, due, reuse=is_read)
        try:
            response = await self._send(connection, request, method, timeouts, due)
        except BaseException as error:
            if is_read and reused and isinstance(error, TransportError):
                return await self._repeat(
                    error, connection, request, method, timeouts, due, before_repeat
                )
            self.release_slot()
            raise
        self.release(connection)
        return response

    def begin_read(
        self,
        target: str,
        headers: Iterable[tuple[bytes, bytes]],
        timeouts: Timeouts,
        on_end: Callable[[], None],
    ) -> SentRead:
        """Send a GET on an idle connection; ``has_idle`` must have said that there is one.

        Args:
            target: Path and query.
            headers: See ``exchange``.
            timeouts: See ``exchange``.
            on_end: Called once the response or the error has arrived.

        Raises:
            InvalidRequest: The request violates HTTP; nothing was sent.
        """
        request = encode_request(b"GET", target.encode(), self._encode_head(headers), b"")
        connection = self._idle.pop()
        connection.idle = False
        due = asyncio.get_running_loop().time() + timeouts.total_s
        sent = SentRead(self, connection, request, timeouts, due, on_end)
        connection.send(
            request,
            sent,
            head_only=False,
            write_s=timeouts.write_s,
            read_s=timeouts.read_s,
            total_due=due,
        )
        return sent

    def has_idle(self) -> bool:
        """Return whether a read can be sent at once."""
        if not self._idle or self._is_closed:
            return False
        return self._idle[-1].due > asyncio.get_running_loop().time()

    async def finish_read(
        self,
        sent: SentRead,
        error: TransportError,
        before_repeat: Callable[[], Awaitable[None]] | None,
    ) -> RawResponse:
        """Do what follows the error of a begun read: raise it, or send the read once more."""
        return await self._repeat(
            error, sent.connection, sent.request, b"GET", sent.timeouts, sent.due, before_repeat
        )

    async def _repeat(
        self,
        error: TransportError,
        failed: Connection,
        request: bytes,
        method: bytes,
        timeouts: Timeouts,
        due: float,
        before_repeat: Callable[[], Awaitable[None]] | None,
    ) -> RawResponse:
        """Send a read again whose kept connection the server had closed; else raise the error."""
        if not failed.stale or self._is_closed:
            self.release_slot()
            raise error
        try:
            if before_repeat is not None:
                await before_repeat()
            connection = await self._dial(timeouts, due)
            response = await self._send(connection, request, method, timeouts, due)
        except BaseException as again:
            self.release_slot()
            if get_sent(again) is Sent.NEVER:
                set_sent(again, Sent.MAYBE)  # The first attempt may have arrived.
            raise
        self.release(connection)
        return response

    async def aclose(self) -> None:
        """Close every connection; current exchanges and waiting callers end with an error."""
        self._is_closed = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(_closed_error())
        now = asyncio.get_running_loop().time()
        for timeout in self._dial_timeouts:
            if not timeout.expired():
                timeout.reschedule(now)
        for connection in list(self._connections):
            connection.fail(ReadFailed("The connection pool was closed."))
        for _ in range(1000):  # The loop closes the sockets in its next iterations.
            if not self._connections:
                break
            await asyncio.sleep(0)

    def _encode_head(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        last_headers, head = self._last_head
        if headers is last_headers:
            return head
        head = encode_head(self._host_header, headers)
        if type(headers) is tuple:  # Anything else may change or be exhausted by the next call.
            self._last_head = headers, head
        return head

    @staticmethod
    def _send(
        connection: Connection, request: bytes, method: bytes, timeouts: Timeouts, due: float
    ) -> Coroutine[None, None, RawResponse]:
        return connection.exchange(
            request,
            head_only=method == b"HEAD",
            write_s=timeouts.write_s,
            read_s=timeouts.read_s,
            total_due=due,
        )

    # Slots: each connection being made, in use or idle holds one. While callers wait, every slot
    # is in use, and a released one goes to the caller that has waited longest.

    async def _acquire(
        self, timeouts: Timeouts, due: float, *, reuse: bool
    ) -> tuple[Connection, bool]:
        """Acquire a slot and a connection on it; also return whether the connection is reused."""
        if self._open < self._limits.connections_max:
            self._open += 1
        elif self._idle:
            self._drop_idle(self._idle.pop(0))
        else:
            connection = await self._wait_for_slot(timeouts.pool_s, due)
            if connection is not None:
                if reuse and connection.alive:
                    return connection, True
                connection.abort()
        try:
            return await self._dial(timeouts, due), False
        except BaseException:
            self.release_slot()
            raise

    async def _wait_for_slot(self, pool_s: float, due: float) -> Connection | None:
        """Wait for a slot; return the connection on it, or None when it has none."""
        if len(self._waiting) >= self._limits.waiting_max:
            message = "Too many callers wait for a connection."
            raise PoolTimeout(message)
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self._waiting.append(waiter)
        give_up_at = _finite_or_none(min(due, loop.time() + pool_s))
        timer = None if give_up_at is None else loop.call_at(give_up_at, _time_out, waiter)
        try:
            return await waiter
        except BaseException as error:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release(waiter.result())  # It arrived together with the cancellation.
            set_sent(error, Sent.NEVER)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def release(self, connection: Connection | None) -> None:
        """Release a slot, together with its connection if that can be used again."""
        if connection is None or not connection.alive or self._is_closed:
            if connection is not None:
                connection.abort()
            self.release_slot()
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        if len(self._idle) < self._limits.idle_max:
            self._idle.append(connection)
            now = asyncio.get_running_loop().time()
            connection.close_idle_at(now + self._limits.idle_expiry_s)
        else:
            connection.abort()
            self._open -= 1

    def release_slot(self) -> None:
        """Release a slot without a connection."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._open -= 1

    def _drop_idle(self, connection: Connection) -> None:
        connection.idle = False
        connection.abort()

    def _on_lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if connection.idle:
            connection.idle = False
            self._idle.remove(connection)
            self.release_slot()

    async def _dial(self, timeouts: Timeouts, due: float) -> Connection:
        """Connect, on a slot that the caller holds."""
        if self._is_closed:
            raise _closed_error()
        loop = asyncio.get_running_loop()
        connection = Connection(loop, self._bounds, self._on_lost)
        give_up_at = _finite_or_none(min(due, loop.time() + timeouts.connect_s))
        timeout = asyncio.timeout_at(give_up_at)
        self._connections.add(connection)
        try:
            async with timeout:
                self._dial_timeouts.add(timeout)
                await loop.create_connection(
                    lambda: connection,
                    self._host,
                    self._port,
                    ssl=self._ssl,
                    server_hostname=self._host if self._ssl else None,
                )
            if self._is_closed:
                raise _closed_error()
            if not connection.alive:
                raise ConnectionResetError(
                    "The server closed the connection before the request was sent."
                )
        except BaseException as error:
            self._connections.discard(connection)
            connection.abort()
            raise set_sent(self._translate_dial_error(error), Sent.NEVER) from error
        finally:
            self._dial_timeouts.discard(timeout)
        return connection

    def _translate_dial_error(self, error: BaseException) -> BaseException:
        """Return the error that a caller receives for a failed connection attempt."""
        # aclose ends connection attempts by their timeout.
        if self._is_closed and isinstance(error, TimeoutError):
            return _closed_error()
        if isinstance(error, TimeoutError):
            return ConnectTimeout(f"No connection to {self._host} in time.")
        if isinstance(error, OSError | UnicodeError | ssl.CertificateError):
            return ConnectFailed(f"No connection to {self._host}: {error}")
        return error


def _time_out(waiter: "asyncio.Future[Connection | None]") -> None:
    if not waiter.done():
        waiter.set_exception(PoolTimeout("No connection became free in time."))


def _finite_or_none(due: float) -> float | None:
    return None if due == math.inf else due
