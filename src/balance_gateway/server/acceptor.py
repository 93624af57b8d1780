"""Accept connections: all pending ones in one iteration of the event loop.

An event loop that accepts one connection per iteration leaves the others in the kernel's queue,
where load shedding cannot count them: under load each request would be read after its caller's
timeout, and its response would be useless. Accepted and read at once, excess requests are rejected
in time.
"""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any

from balance_gateway.server.draining import HANDSHAKE_S, ignore_new_connections

logger = logging.getLogger(__name__)

#: Maximum number of connections in the kernel's queue.
BACKLOG = 2048

#: Maximum number of connections accepted per iteration. It is lower for a socket that several
#: processes share: otherwise one of them would accept all connections before the others wake up.
_BATCH = 256
_BATCH_SHARED = 16

#: Errors of exhausted descriptors or memory. The connection stays in the kernel's queue and the
#: listener readable, so that retrying at once would be a busy loop.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

#: Pause after such an error, in which other connections may close.
PAUSE_S = 1.0


class Acceptor:
    """Accepts the connections of a listening socket and creates a protocol for each.

    Args:
        listener: a non-blocking socket that listens already.
        build_protocol: creates the protocol of a connection.
        shared: whether other processes accept from the same socket.
    """

    def __init__(
        self, listener: socket.socket, build_protocol: Callable[[], Any], *, shared: bool = False
    ) -> None:
        self._listener = listener
        self._build_protocol = build_protocol
        self._shared = shared
        self._batch = _BATCH_SHARED if shared else _BATCH
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[Any]] = set()
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start accepting connections."""
        self._pause = None
        self._loop.add_reader(self._listener.fileno(), self._accept)

    async def drain(self) -> None:
        """Stop, and return when all accepted connections have their protocol."""
        # Other processes may go on to accept from a shared socket.
        if not self._shared:
            ignore_new_connections(self._listener)
            await asyncio.sleep(HANDSHAKE_S)
        self.stop()
        await asyncio.gather(*self._connecting)

    def stop(self) -> None:
        """Accept what is pending, then close the socket."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener.fileno())
        # Closing the socket would reset connections that are not accepted.
        with contextlib.suppress(OSError):
            for _ in range(BACKLOG):
                self._accept_one()
        self._listener.close()

    def _accept(self) -> None:
        try:
            for _ in range(self._batch):
                self._accept_one()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            logger.warning("server.accept_failed", extra={"errno": error.errno})
            if error.errno in _EXHAUSTED:
                self._pause_accepting()

    def _accept_one(self) -> None:
        connection, _address = self._listener.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The event loop holds only weak references to its tasks.
        task = self._loop.create_task(self._connect(connection))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def _pause_accepting(self) -> None:
        """Stop watching the listener for ``PAUSE_S`` seconds."""
        self._loop.remove_reader(self._listener.fileno())
        self._pause = self._loop.call_later(PAUSE_S, self.start)

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._build_protocol, connection)
        except OSError:
            connection.close()
