"""Provides our own connection pools as a transport: one pool per origin."""

import functools
import ssl
from collections.abc import Awaitable, Callable

from balance_gateway.transport.errors import PoolTimeout, TransportClosed
from balance_gateway.transport.limits import (
    DEFAULT_BOUNDS,
    DEFAULT_LIMITS,
    DEFAULT_TIMEOUTS,
    Bounds,
    Limits,
    Timeouts,
)
from balance_gateway.transport.messages import RawResponse
from balance_gateway.transport.pool import Pool
from balance_gateway.transport.sent_read import SentRead
from balance_gateway.transport.urls import parse_url


class PooledTransport:
    """The default transport.

    Args:
        limits: Limits of each origin's pool.
        bounds: Size bounds of every response.
        ssl_context: TLS settings; None for ``verified_ssl_context()``.
        origins_max: Largest number of origins with open connections.
    """

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        bounds: Bounds = DEFAULT_BOUNDS,
        ssl_context: ssl.SSLContext | None = None,
        origins_max: int = 32,
    ) -> None:
        self._limits = limits
        self._bounds = bounds
        self._ssl_context = ssl_context
        self._origins_max = origins_max
        self._pools: dict[str, Pool] = {}
        self._closed = False

    # A plain function, because a coroutine around the pool's would cost time in every call.
    def exchange(
        self,
        origin: str,
        method: str,
        target: str,
        headers: tuple[tuple[bytes, bytes], ...],
        body: bytes = b"",
        *,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        before_repeat: Callable[[], Awaitable[None]] | None = None,
    ) -> Awaitable[RawResponse]:
        """See ``Transport``."""
        return self.pool(origin).exchange(
            method, target, headers, body, timeouts=timeouts, before_repeat=before_repeat
        )

    def has_idle(self, origin: str) -> bool:
        """Return whether ``begin_read`` can send a read to this origin at once."""
        pool = self._pools.get(origin)
        return pool is not None and pool.has_idle()

    def begin_read(
        self,
        origin: str,
        target: str,
        headers: tuple[tuple[bytes, bytes], ...],
        timeouts: Timeouts,
        on_end: Callable[[], None],
    ) -> SentRead:
        """Send a GET on an idle connection; see ``Pool.begin_read``."""
        return self._pools[origin].begin_read(target, headers, timeouts, on_end)

    def pool(self, url: str) -> Pool:
        """Return the pool of this URL's origin.

        Call it before every exchange: a pool without connections may be dropped to make room for
        another origin's.

        Raises:
            InvalidURL: The URL is not http or https.
            PoolTimeout: Too many other origins have open connections.
            TransportClosed: The transport is closed.
        """
        if self._closed:
            raise TransportClosed("The transport is closed.")
        origin = _find_origin(url)
        pool = self._pools.get(origin)
        if pool is None:
            pool = Pool(
                url, limits=self._limits, bounds=self._bounds, ssl_context=self._ssl_context
            )
            self._make_room()
            self._pools[origin] = pool
        return pool

    def _make_room(self) -> None:
        if len(self._pools) < self._origins_max:
            return
        unused = next((key for key, pool in self._pools.items() if pool.usage.open == 0), None)
        if unused is None:
            raise PoolTimeout("Too many origins have open connections.")
        del self._pools[unused]

    async def aclose(self) -> None:
        """Close every pool; later exchanges raise ``TransportClosed``."""
        self._closed = True
        for pool in list(self._pools.values()):
            await pool.aclose()


# Callers pass the same few origins again and again.
@functools.lru_cache(maxsize=256)
def _find_origin(url: str) -> str:
    return parse_url(url).origin
