"""Describes one HTTP exchange with a provider for metrics, call budgets and logs."""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import NamedTuple, Protocol

from balance_gateway.domain.accounts import ProviderKind


class ProviderCall(NamedTuple):
    """One completed HTTP exchange, for metrics, call budgets and logs.

    Attributes:
        connector: the connector's name.
        provider: the provider's kind.
        operation: the operation, such as "balance read".
        write: whether the request changes data at the provider.
        outcome: ``ok``; ``redirected``; ``refused`` (any status from 400, whatever the adapter
            makes of it); ``cancelled``; or the ``ErrorCode`` of the error that ended the exchange,
            as text.
        status: the HTTP status; None without a response.
        duration_s: from the first byte sent to the last byte decoded, in seconds.
        headers: the response headers by lower-case name, including the rate limit headers; empty
            without a response.
        is_token_request: whether the exchange was with a token endpoint.
    """

    connector: str
    provider: ProviderKind
    operation: str
    write: bool
    outcome: str
    status: int | None
    duration_s: float
    headers: Mapping[str, str]
    is_token_request: bool = False


#: Called after every exchange has ended. It must not raise.
OnCall = Callable[[ProviderCall], None]


class CallSlot(Protocol):
    """A slot of a call gate, which is entered around one exchange."""

    async def __aenter__(self) -> None:
        """Wait for the slot; only mark the current context when it is held already."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Free the slot."""
        ...

    def mark_context(self) -> None:
        """Mark the current context as inside of the slot, for the observers of the exchange."""
        ...

    def leave(self) -> None:
        """Free the slot, and mark the current context as outside of it."""
        ...


class CallGate(Protocol):
    """Limits HTTP exchanges by call budget and by concurrency.

    Time spent waiting here does not count against ``timeout_s``. An exception raised here reaches
    the caller unchanged and means that the exchange was not started.
    """

    def slot(self, *, write: bool) -> CallSlot:
        """Return a slot to enter before an exchange and to leave after it."""
        ...

    def try_enter(self) -> CallSlot | None:
        """Return a slot for a read, held already; None if it must wait, or is refused."""
        ...

    async def count_resend(self) -> None:
        """Count a second request within one exchange.

        It happens when the connection of a read was closed and the read is sent again.
        """
        ...
