"""Defines the port of providers that read the opening balances of several accounts at once.

Providers may implement it in addition to ``BalanceProvider``. The docstrings are binding for
implementations and for callers.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.errors import GatewayError


@runtime_checkable
class OpeningBalancesReader(Protocol):
    """Reads opening balances of a connector's accounts; caches nothing."""

    async def opening_balances(
        self, accounts: Sequence[Account]
    ) -> Sequence[OpeningBalance | GatewayError | None]:
        """Read the opening balances of any accounts of the connector.

        Returns:
            One item per account, in order: what ``opening_balance`` would return, or raise.

        Raises:
            GatewayError: the call failed, and with it every account.
        """
        ...
