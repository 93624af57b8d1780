"""Defines the port of providers that begin a balance read at once, without a task.

Providers may implement it in addition to ``BalanceProvider``. The docstrings are binding for
implementations and for callers.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from balance_gateway.domain.balances import BalanceFigures, BalanceQuery
from balance_gateway.domain.errors import GatewayError


class BegunBalance(Protocol):
    """A balance read that was sent, and is not over.

    Attributes:
        started_s: when it was sent, on the monotonic clock.
        is_over: whether it is reported, and holds nothing any more.
    """

    started_s: float
    is_over: bool

    def cancel(self) -> None:
        """End the read without a result, unless its response or error has arrived."""
        ...


@runtime_checkable
class BalanceBeginner(Protocol):
    """Begins balance reads, and turns their responses into figures."""

    def begin_balance(
        self, query: BalanceQuery, within_s: float, on_end: Callable[[Any], None]
    ) -> BegunBalance | None:
        """Begin a read if it has to wait for nothing.

        It is limited, counted and reported as a call of ``BalanceProvider.balances``, in the
        context of the current call.

        Args:
            query: the balance.
            within_s: how long the caller waits, in seconds; the read ends by itself before.
            on_end: called with the read, once its response or an error has arrived; never when it
                was cancelled.

        Returns:
            The read; None when nothing was sent: the caller reads the balance with ``balances``.
        """
        ...

    def take_balance(self, query: BalanceQuery, begun: Any) -> BalanceFigures | None:
        """Return the figures of a read that has ended as reads usually do, and report the read.

        Returns:
            The figures; None when anything is unusual. The read is not over then, and
            ``finish_balance`` must be awaited.
        """
        ...

    async def finish_balance(
        self, query: BalanceQuery, begun: Any
    ) -> Sequence[BalanceFigures | GatewayError]:
        """Return what ``balances`` would for the query, with the begun read as its first attempt.

        Raises:
            GatewayError: the call failed.
        """
        ...
