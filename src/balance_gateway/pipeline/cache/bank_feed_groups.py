"""Groups the accounts by the upstream call that brings their bank feeds."""

from collections.abc import Hashable, Mapping, Sequence

from balance_gateway.domain.accounts import Account
from balance_gateway.ports.bank_feeds import BankFeedReader


class BankFeedGroups:
    """The configured accounts by their group, so that one call serves all of them.

    Args:
        readers: the providers that report bank feeds, by connector name.
        accounts: all configured accounts.
    """

    def __init__(self, readers: Mapping[str, BankFeedReader], accounts: Sequence[Account]) -> None:
        self._readers = readers
        self._members: dict[Hashable, list[Account]] = {}
        for account in accounts:
            if account.connector in readers:
                self._members.setdefault(self.get_key(account), []).append(account)

    def get_key(self, account: Account) -> Hashable:
        """Return a key that is equal for accounts that one call serves."""
        return account.connector, self._readers[account.connector].bank_feed_group(account)

    def list_members(self, accounts: Sequence[Account]) -> Sequence[Account]:
        """Return all configured accounts of the accounts' groups."""
        keys = dict.fromkeys(map(self.get_key, accounts))
        return [member for key in keys for member in self._members.get(key, ())]
