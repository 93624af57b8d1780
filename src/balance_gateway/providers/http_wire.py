"""How an exchange travels: straight through our own pools, or over any transport of httpx.

The pools are the way of every call in service. They have deadlines and bounds of their own, and
spare a call httpx's requests, responses and addresses, which cost more than sending it does.
Errors are httpx's either way.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

import httpx

from balance_gateway.providers.body import BodyTooLarge, read_body
from balance_gateway.providers.exchange import Exchange, ExchangeResult
from balance_gateway.transport import HttptoolsTransport, Timeouts

#: As a transport takes them; a tuple that is used again is checked only once.
Headers = tuple[tuple[bytes, bytes], ...]


class Address(NamedTuple):
    """Where a request goes.

    Attributes:
        origin: scheme, host and port, as in ``https://api.example``.
        target: path and query.
    """

    origin: str
    target: str

    @property
    def url(self) -> str:
        """All of it."""
        return self.origin + self.target


def parse_address(url: str) -> Address:
    """The parts of an absolute URL; a fragment is left out, as it is never sent."""
    parsed = httpx.URL(url)
    return Address(f"{parsed.scheme}://{parsed.netloc.decode()}", parsed.raw_path.decode())


class Wire(Protocol):
    """Sends one request and reads its answer, within the exchange's seconds."""

    async def exchange(
        self, exchange: Exchange, address: Address, headers: Headers, seen: ExchangeResult
    ) -> bytes:
        """The answer's body, inflated; its status and headers are noted in ``seen``.

        Raises:
            WrongShape: the body cannot be taken.
            httpx.HTTPError, httpx.StreamError, OSError, TimeoutError: no whole answer came.
            RuntimeError: the transport is closed.
        """
        ...

    async def aclose(self) -> None:
        """Closes all connections."""
        ...


class PoolWire:
    """Our own transport, its pools used directly."""

    def __init__(self, transport: HttptoolsTransport, body_bytes_max: int) -> None:
        self._transport = transport
        self._body_bytes_max = body_bytes_max

    async def exchange(
        self, exchange: Exchange, address: Address, headers: Headers, seen: ExchangeResult
    ) -> bytes:
        """As ``Wire`` says; status and body come together."""
        answer = await self._transport.pool(address.origin).exchange(
            exchange.method,
            address.target,
            headers,
            exchange.content,
            timeouts=_timeouts(exchange),
            before_repeat=exchange.before_repeat,
        )
        seen.head(answer.status, by_name(answer.headers))
        if len(answer.body) > self._body_bytes_max:
            raise BodyTooLarge(f"its body is larger than {self._body_bytes_max} bytes")
        return answer.body

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._transport.aclose()


class HttpxWire:
    """Any transport of httpx; it need have neither a deadline for the whole nor bounds."""

    def __init__(self, transport: httpx.AsyncBaseTransport, body_bytes_max: int) -> None:
        self._transport = transport
        self._body_bytes_max = body_bytes_max

    async def exchange(
        self, exchange: Exchange, address: Address, headers: Headers, seen: ExchangeResult
    ) -> bytes:
        """As ``Wire`` says; a status may be known whose body never comes."""
        timeouts = _timeouts(exchange)
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
                seen.head(response.status_code, response.headers)
                return await read_body(response, self._body_bytes_max)
            finally:
                await response.aclose()

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._transport.aclose()


def _timeouts(exchange: Exchange) -> Timeouts:
    """Each phase may take what is left of the whole; connecting, and waiting for it, nine tenths.

    That way a connection that never came fails as itself before everything does.
    """
    left_s = max(0.0, exchange.left_s)
    return Timeouts(left_s * 0.9, left_s, left_s, left_s * 0.9, left_s)


#: The headers that anybody reads; the others of each answer are not even decoded.
_READ = frozenset(
    {
        b"location",
        b"retry-after",
        b"x-ratelimit-limit",
        b"x-ratelimit-remaining",
        b"x-ratelimit-reset",
    }
)


def by_name(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """What is read of the headers, by lower-case name; a name's values are joined by commas."""
    named: dict[str, str] = {}
    for raw_name, raw_value in headers:
        if (lower := raw_name.lower()) in _READ:
            name, value = lower.decode("ascii"), _text(raw_value)
            named[name] = f"{named[name]}, {value}" if name in named else value
    return named


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
