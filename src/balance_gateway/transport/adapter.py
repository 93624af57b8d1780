"""Puts the pool beneath httpx's API: an ``httpx.AsyncBaseTransport``, one pool per origin."""

import functools
import math
import ssl
from collections.abc import Mapping

import httpx

from balance_gateway.transport.errors import Sent, mark
from balance_gateway.transport.limits import (
    DEFAULT_BOUNDS,
    DEFAULT_LIMITS,
    DEFAULT_TIMEOUTS,
    Bounds,
    Limits,
    Timeouts,
)
from balance_gateway.transport.pool import Pool


class HttptoolsTransport(httpx.AsyncBaseTransport):
    """Serves an ``httpx.AsyncClient``; redirects, cookies and proxies stay the client's affair.

    ``extensions["timeout"]`` is honoured as httpx fills it (None: no limit), and beside it
    ``extensions["total"]``: seconds for the whole exchange; ``total_s`` when left out.
    """

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        bounds: Bounds = DEFAULT_BOUNDS,
        ssl_context: ssl.SSLContext | None = None,
        total_s: float = DEFAULT_TIMEOUTS.total_s,
        origins_max: int = 32,
    ) -> None:
        """Take what each origin's pool is made with, and the most origins at one time."""
        self._limits = limits
        self._bounds = bounds
        self._ssl_context = ssl_context
        self._total_s = total_s
        self._origins_max = origins_max
        self._pools: dict[tuple[str, bytes, int | None], Pool] = {}
        self._closed = False

    def pool(self, url: str | httpx.URL) -> Pool:
        """The pool of this URL's origin, for calls that bypass httpx.

        Ask for it before each call: one without connections may have made room for another's.

        Raises:
            httpx.UnsupportedProtocol: the URL is not http or https.
            httpx.PoolTimeout: connections to too many other origins are open.
            RuntimeError: the transport is closed.
        """
        if self._closed:
            raise mark(RuntimeError("The transport is closed."), Sent.NEVER)
        origin = _named_origin(url) if isinstance(url, str) else _origin(url)
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
            raise mark(httpx.PoolTimeout("Too many origins have open connections."), Sent.NEVER)
        del self._pools[unused]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, its body read whole first, and return the answer, whole as well."""
        pool = self.pool(request.url)
        answer = await pool.exchange(
            request.method,
            request.url.raw_path,
            [_offered(field) for field in request.headers.raw],
            await request.aread(),
            timeouts=self._timeouts(request.extensions),
        )
        return httpx.Response(
            answer.status, headers=answer.headers, stream=httpx.ByteStream(answer.body)
        )

    def _timeouts(self, extensions: Mapping[str, object]) -> Timeouts:
        given = extensions.get("timeout")
        phases = given if isinstance(given, Mapping) else {}
        return Timeouts(
            connect_s=_seconds(phases.get("connect", DEFAULT_TIMEOUTS.connect_s)),
            write_s=_seconds(phases.get("write", DEFAULT_TIMEOUTS.write_s)),
            read_s=_seconds(phases.get("read", DEFAULT_TIMEOUTS.read_s)),
            pool_s=_seconds(phases.get("pool", DEFAULT_TIMEOUTS.pool_s)),
            total_s=_seconds(extensions.get("total", self._total_s)),
        )

    async def aclose(self) -> None:
        """Close every pool; a later request is refused with ``RuntimeError``."""
        self._closed = True
        for pool in list(self._pools.values()):
            await pool.aclose()


def _origin(url: httpx.URL) -> tuple[str, bytes, int | None]:
    return url.scheme, url.raw_host, url.port


@functools.lru_cache(maxsize=256)
def _named_origin(url: str) -> tuple[str, bytes, int | None]:
    """Likewise; callers that bypass httpx give the same few origins again and again."""
    return _origin(httpx.URL(url))


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.inf


def _offered(field: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Offer no coding but ours: httpx adds br and zstd when their packages are installed."""
    name, value = field
    if len(name) == 15 and name.lower() == b"accept-encoding" and value != b"identity":
        return name, b"gzip, deflate"
    return field
