"""Provides httpx's connection pool as a transport. The only module that imports httpx.

Compared with our own pool: no limit of waiting callers, h11's bound of the head (100 KiB), no
second attempt of a read, and milliseconds per call at many connections.
"""

import asyncio
import math
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import httpx

from balance_gateway.domain.secret import Secret
from balance_gateway.transport import errors
from balance_gateway.transport.errors import (
    ProxyRefused,
    ResponseTooLarge,
    Sent,
    TransportError,
    set_sent,
)
from balance_gateway.transport.limits import (
    DEFAULT_BOUNDS,
    DEFAULT_LIMITS,
    DEFAULT_TIMEOUTS,
    Bounds,
    Limits,
    Timeouts,
)
from balance_gateway.transport.messages import (
    READ_METHODS,
    RawResponse,
    decode_response,
    require_method,
)
from balance_gateway.transport.tls import verified_ssl_context

#: The first matching class applies.
_ERRORS: tuple[tuple[type[Exception], type[TransportError]], ...] = (
    (httpx.ConnectError, errors.ConnectFailed),
    (httpx.ConnectTimeout, errors.ConnectTimeout),
    (httpx.PoolTimeout, errors.PoolTimeout),
    (httpx.UnsupportedProtocol, errors.InvalidURL),
    (httpx.InvalidURL, errors.InvalidURL),
    (httpx.LocalProtocolError, errors.InvalidRequest),
    (httpx.WriteError, errors.SendFailed),
    (httpx.WriteTimeout, errors.SendTimeout),
    (httpx.ReadTimeout, errors.ReadTimeout),
    (httpx.RemoteProtocolError, errors.InvalidResponse),
    # The name look-up encodes the host, and rejects one with an empty or overlong label.
    (UnicodeError, errors.ConnectFailed),
)


class HttpxTransport:
    """Sends requests over httpx, without its client: no redirects or cookies.

    Through a proxy, requests to https origins are sent in a tunnel that the proxy cannot read.

    Args:
        limits: Limits of the connections for reads, and again of those for writes;
            ``waiting_max`` is not observed.
        bounds: Size bounds of every response, of which the body's is observed.
        ssl_context: TLS settings; None for ``verified_ssl_context()``.
        proxy: http or https URL of a proxy, with its user and password if any; None for direct
            connections.
        proxy_ssl_context: TLS settings for the proxy; None for ``verified_ssl_context()``.
    """

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        bounds: Bounds = DEFAULT_BOUNDS,
        ssl_context: ssl.SSLContext | None = None,
        proxy: Secret | None = None,
        proxy_ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        context = ssl_context or verified_ssl_context()
        httpx_proxy = None if proxy is None else _build_proxy(proxy, proxy_ssl_context)
        self._reads = _build_transport(context, limits, limits.idle_max, httpx_proxy)
        # Keeps no connection, so that each write uses a new one.
        self._writes = _build_transport(context, limits, 0, httpx_proxy)
        self._has_proxy = proxy is not None
        self._body_bytes_max = bounds.body_bytes_max
        self._closed = False

    async def exchange(
        self,
        origin: str,
        method: str,
        target: str,
        headers: tuple[tuple[bytes, bytes], ...],
        body: bytes = b"",
        *,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        before_repeat: Callable[[], Awaitable[None]] | None = None,  # noqa: ARG002 - see the top
    ) -> RawResponse:
        """See ``Transport``."""
        if self._closed:
            raise errors.TransportClosed("The transport is closed.")
        is_read = require_method(method) in READ_METHODS
        transport = self._reads if is_read else self._writes
        is_tunnelled = self._has_proxy and origin.startswith("https:")
        progress = _Progress(is_tunnelled=is_tunnelled)
        async with _translating_errors(progress, timeouts.total_s):
            request = httpx.Request(
                method,
                origin + target,
                headers=_require_accept_encoding(headers),
                content=body,
                extensions={"timeout": _list_phases(timeouts), "trace": progress.note},
            )
            response = await transport.handle_async_request(request)
            if response.status_code == 407 and self._has_proxy and not is_tunnelled:
                await response.aclose()
                raise ProxyRefused(response.status_code)
            progress.response = response
            try:
                content = await self._read_body(response)
            finally:
                await response.aclose()
            return decode_response(
                RawResponse(response.status_code, response.headers.raw, content),
                self._body_bytes_max,
            )

    async def _read_body(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._body_bytes_max:
                raise ResponseTooLarge("The response's body is too large.")
        return bytes(body)

    async def aclose(self) -> None:
        """Close all connections; later exchanges raise ``TransportClosed``."""
        self._closed = True
        await self._reads.aclose()
        await self._writes.aclose()


class _Progress:
    """How far an exchange has come.

    Args:
        is_tunnelled: Whether a connection is a tunnel through a proxy.

    Attributes:
        response: The response, once its head was read.
        connecting: Whether the last event, if any, was part of making a connection.
    """

    def __init__(self, *, is_tunnelled: bool) -> None:
        self.response: httpx.Response | None = None
        self.connecting = False
        self._is_tunnelled = is_tunnelled
        self._is_opening_tunnel = False

    async def note(self, event: str, _: Mapping[str, object]) -> None:
        """Note an event of httpcore, such as ``connection.connect_tcp.started``."""
        # Between these two, requests and responses are those of CONNECT.
        if event == "connection.connect_tcp.started":
            self._is_opening_tunnel = self._is_tunnelled
        elif event == "proxy.start_tls.complete":
            self._is_opening_tunnel = False
        self.connecting = self._is_opening_tunnel or event.startswith(("connection.", "proxy."))


@asynccontextmanager
async def _translating_errors(progress: _Progress, total_s: float) -> AsyncIterator[None]:
    """Limit the time of an exchange and raise its errors as ours."""
    try:
        async with asyncio.timeout(_finite_or_none(total_s)):
            yield
    except asyncio.CancelledError as cancellation:
        set_sent(cancellation, _compute_sent(progress))
        raise
    except TransportError as error:
        _record_progress(error, progress)
        raise
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        translated = _translate(error, progress)
        _record_progress(translated, progress)
        raise translated from error


def _translate(error: Exception, progress: _Progress) -> TransportError:
    if isinstance(error, httpx.ProxyError):
        return ProxyRefused(_parse_status(str(error)))
    if progress.connecting and isinstance(error, TimeoutError | httpx.TimeoutException):
        return errors.ConnectTimeout("No connection in time.")
    if progress.connecting and isinstance(error, httpx.TransportError):
        return errors.ConnectFailed(str(error))
    if isinstance(error, TimeoutError):
        return errors.ReadTimeout("The response did not arrive in time.")
    for theirs, ours in _ERRORS:
        if isinstance(error, theirs):
            return ours(str(error))
    return errors.ReadFailed(str(error))


def _parse_status(text: str) -> int:
    """Return the status at the beginning of httpx's text about a response to CONNECT."""
    status = text.partition(" ")[0]
    return int(status) if status.isascii() and status.isdigit() else 0


def _record_progress(error: TransportError, progress: _Progress) -> None:
    if progress.response is not None:
        error.record_head(progress.response.status_code, progress.response.headers.raw)


def _compute_sent(progress: _Progress) -> Sent:
    if progress.response is not None:
        return Sent.RESPONSE_STARTED
    return Sent.NEVER if progress.connecting else Sent.MAYBE


def _build_proxy(url: Secret, context: ssl.SSLContext | None) -> httpx.Proxy:
    proxy = httpx.Proxy(url.reveal())
    if proxy.url.scheme == "https":
        proxy.ssl_context = context or verified_ssl_context()
    return proxy


def _build_transport(
    context: ssl.SSLContext, limits: Limits, idle_max: int, proxy: httpx.Proxy | None
) -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(
        verify=context,
        trust_env=False,
        proxy=proxy,
        limits=httpx.Limits(
            max_connections=limits.connections_max,
            max_keepalive_connections=idle_max,
            keepalive_expiry=limits.idle_expiry_s,
        ),
    )


def _require_accept_encoding(
    headers: tuple[tuple[bytes, bytes], ...],
) -> tuple[tuple[bytes, bytes], ...]:
    """Add ``Accept-Encoding: identity`` when the caller accepts no other coding."""
    if any(name.lower() == b"accept-encoding" for name, _ in headers):
        return headers
    return (*headers, (b"Accept-Encoding", b"identity"))


def _list_phases(timeouts: Timeouts) -> dict[str, float | None]:
    return {
        "connect": _finite_or_none(timeouts.connect_s),
        "write": _finite_or_none(timeouts.write_s),
        "read": _finite_or_none(timeouts.read_s),
        "pool": _finite_or_none(timeouts.pool_s),
    }


def _finite_or_none(seconds: float) -> float | None:
    return None if seconds == math.inf else seconds
