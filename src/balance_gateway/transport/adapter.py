"""Provides the pool as an ``httpx.AsyncBaseTransport``, with one pool per origin."""

import functools
import math
import ssl
from collections.abc import Mapping

import httpx

from balance_gateway.transport.errors import Sent, set_sent
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
    """Sends the requests of an ``httpx.AsyncClient``; redirects and cookies are the client's.

    ``extensions["timeout"]`` is honoured as httpx fills it (None: no limit). In addition,
    ``extensions["total"]`` limits the seconds of the whole exchange.

    Args:
        limits: Limits of each origin's pool.
        bounds: Size bounds of every response.
        ssl_context: TLS settings; None for ``verified_ssl_context()``.
        total_s: Seconds for a whole exchange without ``extensions["total"]``.
        origins_max: Largest number of origins with open connections.
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
        self._limits = limits
        self._bounds = bounds
        self._ssl_context = ssl_context
        self._total_s = total_s
        self._origins_max = origins_max
        self._pools: dict[tuple[str, bytes, int | None], Pool] = {}
        self._closed = False

    def pool(self, url: str | httpx.URL) -> Pool:
        """Return the pool of this URL's origin, for calls that bypass httpx.

        Call it before every exchange: a pool without connections may be dropped to make room for
        another origin's.

        Raises:
            httpx.UnsupportedProtocol: The URL is not http or https.
            httpx.PoolTimeout: Too many other origins have open connections.
            RuntimeError: The transport is closed.
        """
        if self._closed:
            raise set_sent(RuntimeError("The transport is closed."), Sent.NEVER)
        origin = _parse_origin(url) if isinstance(url, str) else _get_origin(url)
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
            message = "Too many origins have open connections."
            raise set_sent(httpx.PoolTimeout(message), Sent.NEVER)
        del self._pools[unused]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Read the request's whole body, send it, and return the whole response."""
        pool = self.pool(request.url)
        response = await pool.exchange(
            request.method,
            request.url.raw_path,
            [_restrict_codings(field) for field in request.headers.raw],
            await request.aread(),
            timeouts=self._timeouts(request.extensions),
        )
        return httpx.Response(
            response.status, headers=response.headers, stream=httpx.ByteStream(response.body)
        )

    def _timeouts(self, extensions: Mapping[str, object]) -> Timeouts:
        timeout = extensions.get("timeout")
        phases = timeout if isinstance(timeout, Mapping) else {}
        return Timeouts(
            connect_s=_seconds(phases.get("connect", DEFAULT_TIMEOUTS.connect_s)),
            write_s=_seconds(phases.get("write", DEFAULT_TIMEOUTS.write_s)),
            read_s=_seconds(phases.get("read", DEFAULT_TIMEOUTS.read_s)),
            pool_s=_seconds(phases.get("pool", DEFAULT_TIMEOUTS.pool_s)),
            total_s=_seconds(extensions.get("total", self._total_s)),
        )

    async def aclose(self) -> None:
        """Close every pool; later requests raise ``RuntimeError``."""
        self._closed = True
        for pool in list(self._pools.values()):
            await pool.aclose()


def _get_origin(url: httpx.URL) -> tuple[str, bytes, int | None]:
    return url.scheme, url.raw_host, url.port


# Callers that bypass httpx pass the same few origins again and again.
@functools.lru_cache(maxsize=256)
def _parse_origin(url: str) -> tuple[str, bytes, int | None]:
    return _get_origin(httpx.URL(url))


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.inf


def _restrict_codings(field: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Replace an ``Accept-Encoding`` header by the codings that this transport decodes."""
    # httpx adds br and zstd when their packages are installed.
    name, value = field
    if len(name) == 15 and name.lower() == b"accept-encoding" and value != b"identity":
        return name, b"gzip, deflate"
    return field
