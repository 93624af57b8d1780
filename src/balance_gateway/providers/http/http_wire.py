"""The exchange on the wire: time limits for its phases, body and headers of its response."""

from collections.abc import Awaitable, Iterable, Mapping

from balance_gateway import __version__
from balance_gateway.providers.http.exchange import Exchange, ExchangeResult
from balance_gateway.transport import URL, Timeouts, parse_url
from balance_gateway.transport.errors import TransportError
from balance_gateway.transport.messages import RawResponse

#: Raw header pairs. The transport validates a tuple once and recognises it when it is reused.
Headers = tuple[tuple[bytes, bytes], ...]


def parse_base_url(text: str) -> URL:
    """Parse a connector's ``base_url``.

    Raises:
        ValueError: It is not an http or https URL with a host and without a query.
    """
    try:
        url = parse_url(text)
    except ValueError as error:
        raise ValueError(f"base_url: {error}") from None
    if "?" in url.target:
        raise ValueError("base_url must not contain a query")
    return url


class RequestHeaders:
    """Builds the headers of requests, and returns the same tuple for the same values."""

    # The same tuple saves the transport from validating it again.
    def __init__(self) -> None:
        self._last: tuple[tuple[str, str | None], Headers] | None = None

    def build(self, content_type: str, authorization: str | None) -> Headers:
        """Return the headers.

        Args:
            content_type: Value of ``Content-Type``.
            authorization: Value of ``Authorization``; None for no such header.
        """
        key = (content_type, authorization)
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        headers = [
            (b"Accept", b"application/json"),
            (b"Accept-Encoding", b"gzip, deflate"),
            (b"User-Agent", f"balance-gateway/{__version__}".encode()),
            (b"Content-Type", content_type.encode()),
        ]
        if authorization is not None:
            headers.append((b"Authorization", authorization.encode("ascii")))
        self._last = key, tuple(headers)
        return self._last[1]


async def receive(sending: Awaitable[RawResponse], result: ExchangeResult) -> bytes:
    """Await the response and return its inflated body.

    Status and headers are recorded in ``result``, also when the rest of the response is lost.

    Raises:
        TransportError: The response is missing, incomplete or too large.
    """
    try:
        response = await sending
    except TransportError as error:
        if error.status is not None:
            result.record_head(error.status, index_headers(error.headers))
        raise
    result.record_head(response.status, index_headers(response.headers))
    return response.body


def build_timeouts(exchange: Exchange) -> Timeouts:
    """Return the time limits of the exchange's next request, from its remaining time."""
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
