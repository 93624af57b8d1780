"""What a provider needs of a transport: exchange one request for one response within bounds."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from balance_gateway.transport.limits import DEFAULT_TIMEOUTS, Timeouts
from balance_gateway.transport.messages import RawResponse


class Transport(Protocol):
    """Sends requests to any origin. Belongs to the event loop that first uses it."""

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
        """Send one request and return its whole response, whatever its status.

        Every method except GET and HEAD is a write, which is sent on a new connection and never
        sent again: on a kept connection a refusal is indistinguishable from a lost response.

        Args:
            origin: Scheme, host and port, as ``URL.origin`` returns them.
            method: The HTTP method.
            target: Path and query, percent-encoded.
            headers: Names and values. The same tuple object is checked and encoded only once.
            body: The whole body.
            timeouts: Seconds that each phase may take.
            before_repeat: Awaited before a read is sent a second time, because its connection was
                closed without a response; its errors are raised.

        Raises:
            TransportError: See the table in ``errors``. Raised by this call or by awaiting it.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections; later exchanges raise ``TransportClosed``."""
        ...
