"""Defines the port of providers that report their own link to the bank.

Only providers with ``Capability.READ_BANK_FEED`` implement it, in addition to ``BalanceProvider``.
The docstrings are binding for implementations and for callers.
"""

from collections.abc import Hashable, Sequence
from typing import Protocol, runtime_checkable

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.domain.errors import GatewayError


@runtime_checkable
class BankFeedReader(Protocol):
    """Reads the links of a connector's accounts to their banks; caches nothing."""

    def bank_feed_group(self, account: Account) -> Hashable:
        """Return the group of an account; one upstream call answers all accounts of a group."""
        ...

    async def bank_feeds(
        self, accounts: Sequence[Account]
    ) -> Sequence[BankFeed | GatewayError | None]:
        """Read the bank feeds of one group of accounts.

        Returns:
            One item per account, in order: the feed; None when the provider has no link to a bank
            for the account; or the error that concerns this account only.

        Raises:
            GatewayError: the call failed, and with it every account of the group.
        """
        ...
