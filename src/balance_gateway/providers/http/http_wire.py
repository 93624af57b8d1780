"""Transmit an exchange through a transport: time limits for its phases, headers of its response."""

from collections.abc import Iterable, Mapping

from balance_gateway.providers.http.exchange import Exchange, ExchangeResult
from balance_gateway.transport import Timeouts, Transport
from balance_gateway.transport.errors import TransportError

#: Raw header pairs. The transport validates a tuple once and recognises it when it is reused.
Headers = tuple[tuple[bytes, bytes], ...]


async def transmit(
    transport: Transport,
    exchange: Exchange,
    origin: str,
    target: str,
    headers: Headers,
    result: ExchangeResult,
) -> bytes:
    """Send the request within the exchange's remaining time, and return the inflated body.

    Status and headers are recorded in ``result``, also when the rest of the response is lost.

    Raises:
        TransportError: The response is missing, incomplete or too large.
    """
    try:
        response = await transport.exchange(
            origin,
            exchange.method,
            target,
            headers,
            exchange.content,
            timeouts=_build_timeouts(exchange),
            before_repeat=exchange.before_repeat,
        )
    except TransportError as error:
        if error.status is not None:
            result.record_head(error.status, index_headers(error.headers))
        raise
    result.record_head(response.status, index_headers(response.headers))
    return response.body


def _build_timeouts(exchange: Exchange) -> Timeouts:
    left_s = max(0.0, exchange.left_s)
    # Connecting, and waiting for a pooled connection, get nine tenths of the remaining time: a
    # missing connection then raises its own error before the total deadline passes, and that error
    # proves that a write was not sent.
    return Timeouts(left_s * 0.9, left_s, left_s, left_s * 0.9, left_s)


#: The headers that the gateway reads; all others are not even decoded.
_RELEVANT_HEADERS = frozenset(
    {
        b"date",
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
    # Latin-1 accepts all bytes that are not UTF-8.
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
