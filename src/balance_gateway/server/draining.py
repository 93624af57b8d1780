"""Stop a server without losing a request of a client that reuses its connection.

A client may send a request at the moment at which the server closes the connection, and cannot know
whether it was executed. So no connection is closed without notice: while a server drains, each
response carries ``Connection: close`` and ends its connection, and a connection on which nothing
happens stays open for ``IDLE_GRACE_S``.
"""

import asyncio
import ctypes
import select
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass

#: Time after SIGTERM in which new requests are still accepted, so that a load balancer notices the
#: state of ``/readyz`` and sends its last request before the socket closes.
DRAIN_NOTICE_S = 1.5

#: Time after SIGTERM for which idle connections stay open.
IDLE_GRACE_S = 5.0

#: Time for handshakes under way before a listening socket closes.
HANDSHAKE_S = 0.1

_CHECK_S = 0.02

# Missing in Python's socket module. The filter sees a packet from its TCP header on: if the flag
# SYN is set in byte 13, the packet is dropped, else it is kept.
_SO_ATTACH_FILTER = 26
_DROP_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFF_FFFF))


@dataclass(slots=True)
class DrainState:
    """What all connections of a server share.

    Attributes:
        has_begun: whether the server drains, so that each response ends its connection.
        idle_until_s: the time of the event loop until which idle connections stay open.
    """

    has_begun: bool = False
    idle_until_s: float = 0.0

    def begin(self, idle_grace_s: float) -> None:
        """Begin to drain; idle connections stay open for ``idle_grace_s`` seconds."""
        self.has_begun = True
        self.idle_until_s = asyncio.get_running_loop().time() + idle_grace_s

    async def wait_for_idle(self, connections: Collection[object]) -> None:
        """Wait until there are no connections, or idle ones may be closed."""
        loop = asyncio.get_running_loop()
        while connections and loop.time() < self.idle_until_s:  # noqa: ASYNC110
            await asyncio.sleep(_CHECK_S)


def has_unread_bytes(transport: asyncio.Transport) -> bool:
    """Return whether the kernel has bytes of the client that the process has not read."""
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is None or transport.is_closing():
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def ignore_new_connections(listener: socket.socket) -> None:
    """Ignore attempts to connect, so that no client is connected while the socket closes.

    Closing a listening socket resets the connections that are not accepted yet. A client
    with an ignored attempt tries again after a second, and is refused by then. Does nothing where
    the operating system is not Linux.
    """
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in _DROP_SYN)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(buffer))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError:
        return
