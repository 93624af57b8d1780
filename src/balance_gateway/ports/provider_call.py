"""One HTTP exchange with a provider, as metrics, budgets and logs see it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from balance_gateway.domain.accounts import ProviderKind


class ProviderCall(NamedTuple):
    """One real HTTP exchange, for metrics, budgets and logs.

    Attributes:
        connector: its name.
        provider: the provider's kind.
        operation: what was asked for, such as "balance read".
        write: whether it changes anything.
        outcome: ``ok``; ``redirected``; ``refused`` (a status from 400, whatever it means to the
            adapter); ``cancelled``; or the code of the error that it ended in.
        status: the HTTP status; None without an answer.
        duration_s: from the first byte sent to the last byte decoded, in seconds.
        headers: the answer's, by lower-case name; empty without an answer. Rate headers are here.
    """

    connector: str
    provider: ProviderKind
    operation: str
    write: bool
    outcome: str
    status: int | None
    duration_s: float
    headers: Mapping[str, str]


#: Told of every exchange after it has ended. It must not raise.
OnCall = Callable[[ProviderCall], None]


class CallGate(Protocol):
    """Lets real HTTP exchanges through: budgets and limits of concurrency.

    Waiting in it does not count against ``timeout_s``. What it raises is passed on as it is, and
    means that this exchange was not begun.
    """

    def slot(self, *, write: bool) -> AbstractAsyncContextManager[None]:
        """Entered before an exchange, left after it."""
        ...

    async def count_resend(self) -> None:
        """Counts a second sending within one exchange: of a read whose connection was closed."""
        ...
