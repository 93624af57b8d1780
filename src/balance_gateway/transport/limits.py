"""Timeouts, limits and size bounds of a pool, with their defaults."""

from typing import NamedTuple


class Timeouts(NamedTuple):
    """Seconds that each phase may take; infinity for no limit.

    Attributes:
        connect_s: Name look-up, TCP and TLS together.
        write_s: Until the request is handed to the socket.
        read_s: Between two arrivals of bytes.
        pool_s: Waiting for a free connection.
        total_s: The whole exchange, so that a response that trickles in ends too.
    """

    connect_s: float = 5.0
    write_s: float = 5.0
    read_s: float = 10.0
    pool_s: float = 5.0
    total_s: float = 30.0


class Limits(NamedTuple):
    """The largest size of a pool.

    Attributes:
        connections_max: Connections being made, in use and idle, together.
        idle_max: Connections kept idle.
        idle_expiry_s: Seconds after which an idle connection is closed.
        waiting_max: Callers that wait for a connection; a further one is refused at once.
    """

    connections_max: int = 50
    idle_max: int = 50
    idle_expiry_s: float = 20.0
    waiting_max: int = 10_000


class Usage(NamedTuple):
    """The current use of a pool.

    Attributes:
        open: Connections being made, in use and idle, together.
        idle: Idle connections.
        waiting: Callers that wait for a connection.
    """

    open: int
    idle: int
    waiting: int


class Bounds(NamedTuple):
    """The largest size of a response.

    Attributes:
        head_bytes_max: Bytes of status line and headers, those of interim responses included;
            also the largest number of bytes between two bytes of the body or after the last one
            (chunk extensions, trailers).
        headers_max: Number of headers without trailers.
        body_bytes_max: Bytes of the body, both as sent and inflated.
    """

    head_bytes_max: int = 64 * 1024
    headers_max: int = 200
    body_bytes_max: int = 8 * 1024 * 1024


DEFAULT_TIMEOUTS = Timeouts()
DEFAULT_LIMITS = Limits()
DEFAULT_BOUNDS = Bounds()
