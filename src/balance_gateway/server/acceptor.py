"""Accepts connections for a server: all that are waiting at once, so that none ages unseen.

An event loop that accepts one connection in a turn leaves the others in the kernel's queue, where
nobody sees how many there are: under load each would be read when its caller has given up, and
be answered in vain. Accepted and read at once they are counted, and turned away in time.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

#: Accepted in one turn; more than that wait for the next one. Of a socket that several processes
#: listen on one takes a few at a time: it would take them all while the others wake up.
_AT_ONCE = 256
_AT_ONCE_SHARED = 16

#: The process or the machine has none left of what a connection needs. The connection stays in
#: the kernel's queue and the listener readable: whoever asks again at once asks without end.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

#: How long those who are served then have to free some.
PAUSE_S = 1.0


class Acceptor:
    """Hands the connections of a listening socket to protocols.

    Args:
        listener: listens already, and does not block.
        protocol: makes the protocol of one connection.
        shared: whether other processes accept from the same socket.
    """

    def __init__(
        self, listener: socket.socket, protocol: Callable[[], Any], *, shared: bool = False
    ) -> None:
        self._listener = listener
        self._protocol = protocol
        self._at_once = _AT_ONCE_SHARED if shared else _AT_ONCE
        self._loop = asyncio.get_running_loop()
        self._handing_over: set[asyncio.Task[Any]] = set()
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """From now on connections are accepted."""
        self._pause = None
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def stop(self) -> None:
        """Accepts no more; the socket is closed."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()

    def _accept(self) -> None:
        for _ in range(self._at_once):
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                logger.warning("server.accept_failed", extra={"errno": error.errno})
                if error.errno in _EXHAUSTED:
                    self._rest()
                return
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self._loop.create_task(self._hand_over(connection))
            self._handing_over.add(task)
            task.add_done_callback(self._handing_over.discard)

    def _rest(self) -> None:
        """Looks away from the listener for a while."""
        self._loop.remove_reader(self._listener.fileno())
        self._pause = self._loop.call_later(PAUSE_S, self.start)

    async def _hand_over(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:
            connection.close()
