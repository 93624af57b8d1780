"""How long, how many and how large: what a pool allows, and its defaults."""

from typing import NamedTuple


class Timeouts(NamedTuple):
    """Seconds each phase may take; infinity for no limit.

    Attributes:
        connect_s: name look-up, TCP and TLS together.
        write_s: until the request is handed to the socket.
        read_s: between two arrivals of bytes.
        pool_s: waiting for a free connection.
        total_s: everything together, so that a trickle of bytes comes to an end.
    """

    connect_s: float = 5.0
    write_s: float = 5.0
    read_s: float = 10.0
    pool_s: float = 5.0
    total_s: float = 30.0


class Limits(NamedTuple):
    """The most a pool holds.

    Attributes:
        connections_max: connections being made, in use and idle, together.
        idle_max: connections kept unused.
        idle_expiry_s: seconds after which an unused connection is closed.
        waiting_max: callers waiting for a connection; one more is refused at once.
    """

    connections_max: int = 50
    idle_max: int = 50
    idle_expiry_s: float = 20.0
    waiting_max: int = 10_000


class Usage(NamedTuple):
    """How much of a pool is taken: connections held (idle ones included), idle, callers waiting."""

    open: int
    idle: int
    waiting: int


class Bounds(NamedTuple):
    """The most that is read of one answer.

    Attributes:
        head_bytes_max: bytes of status line and headers, interim answers counted with them;
            also the most that may follow a body byte before the next one (chunk extensions,
            trailers).
        headers_max: number of headers, trailers left out.
        body_bytes_max: bytes of the body, as sent and also inflated.
    """

    head_bytes_max: int = 64 * 1024
    headers_max: int = 200
    body_bytes_max: int = 8 * 1024 * 1024


DEFAULT_TIMEOUTS = Timeouts()
DEFAULT_LIMITS = Limits()
DEFAULT_BOUNDS = Bounds()
