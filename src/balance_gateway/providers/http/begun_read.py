"""A read that was sent without a task, in a slot of the call gate that it holds until its end.

The usual end, a 2xx response with JSON, costs no coroutine: ``decode``, then ``conclude``. For any
other, ``ProviderHTTP.finish_read`` does what it does after every request: it repeats a request on a
closed connection, follows redirects, renews tokens and translates errors.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.ports.provider_call import CallSlot, OnCall, ProviderCall
from balance_gateway.providers.http.body import decode_json
from balance_gateway.providers.http.errors import Operation
from balance_gateway.providers.http.http_wire import Headers, index_headers
from balance_gateway.providers.http.json_fields import MalformedResponse
from balance_gateway.transport import PooledTransport, Timeouts, Transport
from balance_gateway.transport.messages import RawResponse
from balance_gateway.transport.sent_read import SentRead


class Destination(NamedTuple):
    """Where reads are sent, and for whom.

    Attributes:
        connector: Name of the connector.
        kind: The provider's kind.
        origin: Scheme, host and port.
        transport: Sends the requests.
        timeouts: Seconds that each phase of a call may take.
        on_call: Called with the record of every exchange; None for no observer.
    """

    connector: str
    kind: ProviderKind
    origin: str
    transport: PooledTransport
    timeouts: Timeouts
    on_call: OnCall | None


def find_destination(
    connector: str,
    kind: ProviderKind,
    origin: str,
    transport: Transport,
    timeout_s: float,
    on_call: OnCall | None,
) -> Destination | None:
    """Return the destination of a connector's begun reads; None with another transport."""
    if not isinstance(transport, PooledTransport):
        return None
    timeouts = Timeouts(*[timeout_s] * 5)
    return Destination(connector, kind, origin, transport, timeouts, on_call)


class BegunRead:
    """One begun read; a ``ports.begun_balances.BegunBalance`` and a ``FirstRequest``.

    Attributes:
        operation: What is read.
        target: Path and query.
        header: Value of its ``Authorization`` header.
        slot: The slot that it holds.
        started_s: When it was sent, on the monotonic clock.
        is_over: Whether it is reported, and holds no slot any more.
    """

    __slots__ = (
        *("_destination", "_on_end", "_sent", "header", "is_over"),
        *("operation", "slot", "started_s", "target"),
    )

    def __init__(
        self,
        destination: Destination,
        operation: Operation,
        target: str,
        header: str,
        slot: CallSlot,
        on_end: Callable[["BegunRead"], None],
    ) -> None:
        self._destination = destination
        self._on_end = on_end
        self._sent: SentRead | None = None
        self.operation = operation
        self.target = target
        self.header = header
        self.slot = slot
        self.is_over = False
        self.started_s = time.monotonic()

    def send(self, headers: Headers) -> None:
        """Send the request; a connection must be idle.

        Raises:
            InvalidRequest: The request violates HTTP; nothing was sent, and the slot is free.
        """
        _, _, origin, transport, timeouts, _ = self._destination
        try:
            self._sent = transport.begin_read(origin, self.target, headers, timeouts, self._end)
        except BaseException:
            self.is_over = True
            self.slot.mark_context()
            self.slot.leave()
            raise

    def _end(self) -> None:
        self._on_end(self)

    def decode(self) -> Any:
        """Return the JSON of a 2xx response; None for anything else.

        Without effect on the read: ``conclude`` or ``ProviderHTTP.finish_read`` must follow.
        """
        assert self._sent is not None
        response = self._sent.response
        if response is None or not 200 <= response.status < 300:
            return None
        try:
            return decode_json(response.body)
        except MalformedResponse:
            return None

    def finish(self, before_repeat: Callable[[], Awaitable[None]] | None) -> Awaitable[RawResponse]:
        """Return what the transport's ``exchange`` would, once the read has ended."""
        assert self._sent is not None
        return self._sent.finish(before_repeat)

    def conclude(self) -> None:
        """Report the exchange with its 2xx response, and free the slot."""
        assert self._sent is not None
        assert self._sent.response is not None
        response = self._sent.response
        self._report("ok", response.status, index_headers(response.headers))

    def cancel(self) -> None:
        """End the read without a result, unless its response or error has arrived."""
        if self.is_over or self._sent is None or self._sent.done():
            return
        self._sent.cancel()
        self._report("cancelled", None, {})

    def _report(self, outcome: str, status: int | None, headers: Mapping[str, str]) -> None:
        self.is_over = True
        connector, kind, _, _, _, on_call = self._destination
        operation = self.operation
        self.slot.mark_context()
        try:
            if on_call is not None:
                duration_s = time.monotonic() - self.started_s
                on_call(
                    ProviderCall(
                        *(connector, kind, operation.name, operation.write),
                        *(outcome, status, duration_s, headers),
                    )
                )
        finally:
            self.slot.leave()
