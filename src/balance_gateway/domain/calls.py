"""One HTTP exchange with a provider, as metrics, budgets and logs see it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from balance_gateway.domain.accounts import ProviderKind


class Call(NamedTuple):
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
OnCall = Callable[[Call], None]


#: In how many seconds the current task's read is cut off; None: by its own timeouts alone.
read_within_s: ContextVar[float | None] = ContextVar("read_within_s", default=None)


@dataclass(slots=True)
class Departure:
    """How far a write has come, for whoever stops waiting for it.

    Attributes:
        left: whether an exchange that writes was handed to the wire, be it the first of several.
            False: certainly none was, the write is still waiting (for a place, for the budget, for
            a token) or reading what it needs. None: nobody has told, so that it may have been.
    """

    left: bool | None = None

    def wait(self) -> None:
        """Something is about to be sent, and nothing of the write has been."""
        if self.left is None:
            self.left = False


#: Of the write that the current task carries out; None where it carries out none.
departure: ContextVar[Departure | None] = ContextVar("departure", default=None)


class Gate(Protocol):
    """Lets real HTTP exchanges through: budgets and limits of concurrency.

    Waiting in it does not count against ``timeout_s``. What it raises is passed on as it is, and
    means that this exchange was not begun.
    """

    def slot(self, *, write: bool) -> AbstractAsyncContextManager[None]:
        """Entered before an exchange, left after it."""
        ...

    async def count_again(self) -> None:
        """Counts a second sending within one exchange: of a read whose connection was closed."""
        ...
