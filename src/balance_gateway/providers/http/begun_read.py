"""A read that was sent without a task, in a slot of the call gate that it holds until its end.

The usual end, a 2xx response with JSON, costs no coroutine: ``decode``, then ``conclude``. For any
other, ``ProviderHTTP.finish`` does what it does after every request: it repeats a request on a
closed connection, follows redirects, renews tokens and translates errors.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.ports.provider_call import CallSlot, OnCall
from balance_gateway.providers.http.body import decode_json
from balance_gateway.providers.http.exchange import Exchange, ExchangeResult
from balance_gateway.providers.http.http_wire import build_timeouts, index_headers
from balance_gateway.providers.http.json_fields import MalformedResponse
from balance_gateway.transport import URL, PooledTransport
from balance_gateway.transport.messages import RawResponse
from balance_gateway.transport.sent_read import SentRead


class Destination(NamedTuple):
    """Where reads are sent, and for whom.

    Attributes:
        connector: Name of the connector.
        kind: The provider's kind.
        transport: Sends the requests.
        on_call: Called with the record of every exchange; None for no observer.
    """

    connector: str
    kind: ProviderKind
    transport: PooledTransport
    on_call: OnCall | None


class BegunRead:
    """One begun read; a ``ports.begun_balances.BegunBalance``.

    Attributes:
        exchange: The exchange that it begins.
        url: Where it is sent.
        header: Value of its ``Authorization`` header.
        slot: The slot that it holds.
        started_s: When it was sent, on the monotonic clock.
        sent: The request; set once it is sent.
    """

    __slots__ = (
        *("_destination", "_on_end", "exchange", "header"),
        *("is_over", "sent", "slot", "started_s", "url"),
    )

    def __init__(
        self,
        destination: Destination,
        exchange: Exchange,
        url: URL,
        header: str,
        slot: CallSlot,
        on_end: Callable[["BegunRead"], None],
    ) -> None:
        self._destination = destination
        self._on_end = on_end
        self.exchange = exchange
        self.url = url
        self.header = header
        self.slot = slot
        self.is_over = False
        self.started_s = time.monotonic()
        self.sent: SentRead | None = None

    def send(self, headers: tuple[tuple[bytes, bytes], ...]) -> bool:
        """Send the request; return False if no connection is idle."""
        self.sent = self._destination.transport.begin_read(
            self.url.origin, self.url.target, headers, build_timeouts(self.exchange), self._end
        )
        return self.sent is not None

    def _end(self) -> None:
        self._on_end(self)

    def decode(self) -> Any:
        """Return the JSON of a 2xx response; None for anything else.

        Without effect on the read: ``conclude`` or ``ProviderHTTP.finish`` must follow.
        """
        assert self.sent is not None
        response = self.sent.response
        if response is None or not 200 <= response.status < 300:
            return None
        try:
            return decode_json(response.body)
        except MalformedResponse:
            return None

    def finish(self, before_repeat: Callable[[], Awaitable[None]] | None) -> Awaitable[RawResponse]:
        """Return what the transport's ``exchange`` would, once the read has ended."""
        assert self.sent is not None
        return self.sent.finish(before_repeat)

    def conclude(self) -> None:
        """Report the exchange with its response, and free the slot."""
        assert self.sent is not None
        assert self.sent.response is not None
        response = self.sent.response
        result = ExchangeResult()
        result.record_head(response.status, index_headers(response.headers))
        self._report(result)

    def cancel(self) -> None:
        """End the read without a result, unless it is over."""
        if self.is_over or self.sent is None or self.sent.done():
            return
        self.sent.cancel()
        self._report(ExchangeResult())

    def _report(self, result: ExchangeResult) -> None:
        self.is_over = True
        duration_s = time.monotonic() - self.started_s
        connector, kind, _, on_call = self._destination
        self.slot.mark_context()
        try:
            if on_call is not None:
                operation = self.exchange.operation
                on_call(result.build_provider_call(connector, kind, operation, duration_s))
        finally:
            self.slot.leave()
