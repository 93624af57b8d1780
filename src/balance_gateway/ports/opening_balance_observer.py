"""Defines the port through which reads of opening balances are reported."""

from datetime import datetime
from typing import Protocol

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import OpeningBalance


class OpeningBalanceObserver(Protocol):
    """Receives what reads from providers showed, to settle uncertain writes."""

    def observe(self, account: Account, found: OpeningBalance | None, began_at: datetime) -> None:
        """Take note of a read from the provider; returns at once and never raises.

        Args:
            account: the account that was read.
            found: the opening balance; None when the provider reports that none is set.
            began_at: when the read began.
        """
        ...
