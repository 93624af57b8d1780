"""A bounded pool of connections to one origin, and the one rule about sending again.

A read (GET, HEAD) prefers the connection used last. When the server closed that connection
without a byte of an answer, the read is sent once more, on a fresh one. Everything else is a
write: it is never sent again, and always dials, because the server may be closing any kept
connection at this very moment; on a fresh one a failure before the first byte is known to be
*never sent*, and the race that makes it *maybe sent* for no other reason cannot happen.
"""

import asyncio
import functools
import math
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable

import certifi
import httpx

from balance_gateway.transport.connection import Connection
from balance_gateway.transport.errors import Sent, mark, sent
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
    READS,
    RawResponse,
    encode_head,
    encode_request,
    require_method,
)

_PORTS = {"http": 80, "https": 443}


@functools.cache
def verified_ssl_context() -> ssl.SSLContext:
    """The shared TLS settings: certifi's authorities, host name checked, HTTP/1.1 offered."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


def _closed() -> RuntimeError:
    return mark(RuntimeError("The connection pool is closed."), Sent.NEVER)


class Pool:
    """Connections to one origin. Belongs to the event loop that first uses it."""

    def __init__(
        self,
        url: str | httpx.URL,
        *,
        limits: Limits = DEFAULT_LIMITS,
        bounds: Bounds = DEFAULT_BOUNDS,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Take an http or https URL, of which only the origin counts; connects to nothing yet.

        Raises:
            httpx.UnsupportedProtocol: the URL is not http or https, or names no host.
        """
        origin = httpx.URL(url)
        if origin.scheme not in _PORTS or not origin.raw_host:
            raise mark(httpx.UnsupportedProtocol("The URL needs http:// or https://."), Sent.NEVER)
        self._host = origin.raw_host.decode("ascii")
        self._port = origin.port if origin.port is not None else _PORTS[origin.scheme]
        self._host_header = origin.netloc
        self._ssl = (ssl_context or verified_ssl_context()) if origin.scheme == "https" else None
        self._limits = limits
        self._bounds = bounds
        self._open = 0
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._connections: set[Connection] = set()
        self._dials: set[asyncio.Timeout] = set()
        self._is_closed = False
        self._head: tuple[object, bytes] = (None, b"")

    @property
    def usage(self) -> Usage:
        """What is taken at this moment."""
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
        """Send one request (target: path and query) and return its whole answer.

        Headers that are given as the same tuple every time are checked and joined only once.
        ``before_repeat`` is awaited before a read is sent a second time; what it raises is raised.

        Raises:
            httpx.RequestError: see the table in ``errors``; ``sent(error)`` tells how far it got.
            RuntimeError: the pool is closed.
        """
        if self._is_closed:
            raise _closed()
        method = require_method(method)
        target = target.encode("utf-8") if isinstance(target, str) else target
        request = encode_request(method, target, self._head_of(headers), body)
        now = asyncio.get_running_loop().time()
        due = now + timeouts.total_s
        is_read = method in READS
        if is_read and self._idle and self._idle[-1].due > now:
            connection, reused = self._idle.pop(), True
            connection.resting = False
        else:
            connection, reused = await self._obtain(timeouts, due, reuse=is_read)
        again = False
        try:
            try:
                answer = await self._send(connection, request, method, timeouts, due)
            except httpx.TransportError:
                again = is_read and reused and connection.stale and not self._is_closed
                if not again:
                    raise
                if before_repeat is not None:
                    await before_repeat()
                connection = await self._dial(timeouts, due)
                answer = await self._send(connection, request, method, timeouts, due)
        except BaseException as error:
            self._free()
            if again and sent(error) is Sent.NEVER:
                mark(error, Sent.MAYBE)  # The first try may have arrived.
            raise
        self._release(connection)
        return answer

    async def aclose(self) -> None:
        """Close every connection; exchanges under way and callers waiting end with an error."""
        self._is_closed = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(_closed())
        now = asyncio.get_running_loop().time()
        for dial in self._dials:
            if not dial.expired():
                dial.reschedule(now)
        for connection in list(self._connections):
            connection.fail(httpx.ReadError("The connection pool was closed."))
        for _ in range(1000):  # The loop closes the sockets in its next rounds.
            if not self._connections:
                break
            await asyncio.sleep(0)

    def _head_of(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        known, head = self._head
        if headers is known:
            return head
        head = encode_head(self._host_header, headers)
        if type(headers) is tuple:  # Anything else may be changed, or used up, by now.
            self._head = headers, head
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
    # is in use, and one given back goes to the caller that waits longest.

    async def _obtain(
        self, timeouts: Timeouts, due: float, *, reuse: bool
    ) -> tuple[Connection, bool]:
        """Take a slot and a connection on it: an idle one's place, a new one, or another's."""
        if self._open < self._limits.connections_max:
            self._open += 1
        elif self._idle:
            self._drop(self._idle.pop(0))
        else:
            connection = await self._wait(timeouts.pool_s, due)
            if connection is not None:
                if reuse and connection.alive:
                    return connection, True
                connection.abort()
        try:
            return await self._dial(timeouts, due), False
        except BaseException:
            self._free()
            raise

    async def _wait(self, pool_s: float, due: float) -> Connection | None:
        """Wait for a slot; with it comes the connection on it, if one is left there."""
        if len(self._waiting) >= self._limits.waiting_max:
            raise mark(httpx.PoolTimeout("Too many callers wait for a connection."), Sent.NEVER)
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self._waiting.append(waiter)
        late = _at(min(due, loop.time() + pool_s))
        timer = None if late is None else loop.call_at(late, _give_up, waiter)
        try:
            return await waiter
        except BaseException as error:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._release(waiter.result())  # It came together with the cancellation.
            mark(error, Sent.NEVER)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _release(self, connection: Connection | None) -> None:
        """Give a slot back, with the connection on it if that can serve again."""
        if connection is None or not connection.alive or self._is_closed:
            if connection is not None:
                connection.abort()
            self._free()
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        if len(self._idle) < self._limits.idle_max:
            self._idle.append(connection)
            now = asyncio.get_running_loop().time()
            connection.rest_until(now + self._limits.idle_expiry_s)
        else:
            connection.abort()
            self._open -= 1

    def _free(self) -> None:
        """Give back a slot with nothing on it."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._open -= 1

    def _drop(self, connection: Connection) -> None:
        connection.resting = False
        connection.abort()

    def _on_lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if connection.resting:
            connection.resting = False
            self._idle.remove(connection)
            self._free()

    async def _dial(self, timeouts: Timeouts, due: float) -> Connection:
        """Connect, on a slot already held."""
        if self._is_closed:
            raise _closed()
        loop = asyncio.get_running_loop()
        connection = Connection(loop, self._bounds, self._on_lost)
        scope = asyncio.timeout_at(_at(min(due, loop.time() + timeouts.connect_s)))
        self._connections.add(connection)
        try:
            async with scope:
                self._dials.add(scope)
                await loop.create_connection(
                    lambda: connection,
                    self._host,
                    self._port,
                    ssl=self._ssl,
                    server_hostname=self._host if self._ssl else None,
                )
            if self._is_closed:
                raise _closed()
            if not connection.alive:
                raise ConnectionResetError("The server closed before the request was sent.")
        except BaseException as error:
            self._connections.discard(connection)
            connection.abort()
            raise mark(self._dial_error(error), Sent.NEVER) from error
        finally:
            self._dials.discard(scope)
        return connection

    def _dial_error(self, error: BaseException) -> BaseException:
        """What a caller is told of a failed dial."""
        if self._is_closed and isinstance(error, TimeoutError):
            return _closed()
        if isinstance(error, TimeoutError):
            return httpx.ConnectTimeout(f"No connection to {self._host} in time.")
        if isinstance(error, OSError | UnicodeError | ssl.CertificateError):
            return httpx.ConnectError(f"No connection to {self._host}: {error}")
        return error


def _give_up(waiter: "asyncio.Future[Connection | None]") -> None:
    if not waiter.done():
        waiter.set_exception(httpx.PoolTimeout("No connection became free in time."))


def _at(due: float) -> float | None:
    return None if due == math.inf else due
