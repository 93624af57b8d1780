"""Defines the port of providers that read balances of the gateway's own storage without waiting.

Providers may implement it in addition to ``BalanceProvider``. The docstrings are binding for
implementations and for callers.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from balance_gateway.domain.balances import BalanceFigures, BalanceQuery
from balance_gateway.domain.errors import GatewayError

#: Limit of the queries of one read: requests that arrive meanwhile wait for it.
STORED_BALANCES_MAX = 100


@runtime_checkable
class StoredBalancesReader(Protocol):
    """Reads balances in one turn of the event loop; caches nothing."""

    def read_balances_now(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError] | None:
        """Read what ``balances`` would return for at most ``STORED_BALANCES_MAX`` queries.

        Returns:
            None if the read would have to wait, or failed: ``balances`` then reads, and reports
            the failure.
        """
        ...
