"""Transmit an exchange, either through our own connection pools or through an httpx transport.

All calls in production use the pools. They enforce deadlines and size limits themselves, and avoid
httpx's request, response and URL objects, which cost more than sending the call. Errors are
httpx's in both cases.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

import httpx

from balance_gateway.providers.http.body import BodyTooLarge, read_body
from balance_gateway.providers.http.exchange import Exchange, ExchangeResult
from balance_gateway.transport import HttptoolsTransport, Timeouts

#: Raw header pairs. The transport validates a tuple once and recognises it when it is reused.
Headers = tuple[tuple[bytes, bytes], ...]


class Address(NamedTuple):
    """Destination of a request.

    Attributes:
        origin: Scheme, host and port, such as ``https://api.example``.
        target: Path and query.
    """

    origin: str
    target: str

    @property
    def url(self) -> str:
        """The absolute URL."""
        return self.origin + self.target


def parse_address(url: str) -> Address:
    """Split an absolute URL; a fragment is dropped because it is never sent."""
    parsed = httpx.URL(url)
    return Address(f"{parsed.scheme}://{parsed.netloc.decode()}", parsed.raw_path.decode())


class Wire(Protocol):
    """Sends one request and reads its response within the remaining time of the exchange."""

    async def exchange(
        self, exchange: Exchange, address: Address, headers: Headers, result: ExchangeResult
    ) -> bytes:
        """Send the request, record status and headers in ``result``, and return the body.

        Returns:
            The inflated body.

        Raises:
            MalformedResponse: The body exceeds a limit or cannot be inflated.
            httpx.HTTPError, httpx.StreamError, OSError, TimeoutError: The response is incomplete
                or missing.
            RuntimeError: The transport is closed.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


class PoolWire:
    """Uses the pools of our own transport directly."""

    def __init__(self, transport: HttptoolsTransport, body_bytes_max: int) -> None:
        self._transport = transport
        self._body_bytes_max = body_bytes_max

    async def exchange(
        self, exchange: Exchange, address: Address, headers: Headers, result: ExchangeResult
    ) -> bytes:
        """See ``Wire``. Status and body become known at the same time."""
        response = await self._transport.pool(address.origin).exchange(
            exchange.method,
            address.target,
            headers,
            exchange.content,
            timeouts=_build_timeouts(exchange),
            before_repeat=exchange.before_repeat,
        )
        result.record_head(response.status, index_headers(response.headers))
        if len(response.body) > self._body_bytes_max:
            raise BodyTooLarge(f"its body exceeds {self._body_bytes_max} bytes")
        return response.body

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


class HttpxWire:
    """Uses any httpx transport, and adds the total deadline and the size limit."""

    def __init__(self, transport: httpx.AsyncBaseTransport, body_bytes_max: int) -> None:
        self._transport = transport
        self._body_bytes_max = body_bytes_max

    async def exchange(
        self, exchange: Exchange, address: Address, headers: Headers, result: ExchangeResult
    ) -> bytes:
        """See ``Wire``. The status may be known even if reading the body fails."""
        timeouts = _build_timeouts(exchange)
        phases = {
            "connect": timeouts.connect_s,
            "pool": timeouts.pool_s,
            "read": timeouts.read_s,
            "write": timeouts.write_s,
        }
        async with asyncio.timeout(timeouts.total_s):
            request = httpx.Request(
                exchange.method,
                address.url,
                headers=headers,
                content=exchange.content,
                extensions={"timeout": phases, "total": timeouts.total_s},
            )
            response = await self._transport.handle_async_request(request)
            try:
                result.record_head(response.status_code, response.headers)
                return await read_body(response, self._body_bytes_max)
            finally:
                await response.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


def _build_timeouts(exchange: Exchange) -> Timeouts:
    left_s = max(0.0, exchange.left_s)
    # Connecting, and waiting for a pooled connection, get nine tenths of the remaining time: a
    # missing connection then raises its own error before the total deadline passes, and that error
    # proves that a write was not sent.
    return Timeouts(left_s * 0.9, left_s, left_s, left_s * 0.9, left_s)


#: The headers that the gateway reads; all others are not even decoded.
_RELEVANT_HEADERS = frozenset(
    {
        b"location",
        b"retry-after",
        b"x-ratelimit-limit",
        b"x-ratelimit-remaining",
        b"x-ratelimit-reset",
    }
)


def index_headers(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """Return the relevant headers by lower-case name; repeated values are joined by commas."""
    indexed: dict[str, str] = {}
    for raw_name, raw_value in headers:
        if (lower := raw_name.lower()) in _RELEVANT_HEADERS:
            name, value = lower.decode("ascii"), _decode_header_value(raw_value)
            indexed[name] = f"{indexed[name]}, {value}" if name in indexed else value
    return indexed


def _decode_header_value(value: bytes) -> str:
    # The same order as in httpx: UTF-8 first, Latin-1 accepts all other bytes.
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
