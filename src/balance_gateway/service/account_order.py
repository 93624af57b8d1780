"""The orders in which accounts are listed."""

import enum
from collections.abc import Callable, Mapping, Sequence

from balance_gateway.domain.accounts import Account

_KEYS: Mapping[str, Callable[[Account], str]] = {
    "id": lambda account: account.id,
    "name, ignoring case": lambda account: account.name.casefold(),
    "currency code": lambda account: account.currency,
    "name of the provider": lambda account: account.provider.name,
    "name of the connector": lambda account: account.connector,
}


class AccountOrder(enum.Enum):
    """An order of accounts; accounts with equal keys are sorted by id, ascending."""

    ID = "id", False
    ID_DESC = "id", True
    NAME = "name, ignoring case", False
    NAME_DESC = "name, ignoring case", True
    CURRENCY = "currency code", False
    PROVIDER = "name of the provider", False
    CONNECTOR = "name of the connector", False

    @property
    def description(self) -> str:
        """The order in words."""
        key, is_descending = self.value
        return f"By {key}{', descending' if is_descending else ''}."

    def get_key(self, account: Account) -> str:
        """Return the text of an account by which it is sorted."""
        return _KEYS[self.value[0]](account)

    def sort(self, accounts: Sequence[Account]) -> tuple[Account, ...]:
        """Return accounts in this order; they must be sorted by id."""
        key, is_descending = self.value
        return tuple(sorted(accounts, key=_KEYS[key], reverse=is_descending))

    def is_later(self, account: Account, key: str, account_id: str) -> bool:
        """Whether an account is listed after the place of a key and an id."""
        own = self.get_key(account)
        if self.value[1]:
            return own < key or (own == key and key != account_id and account.id > account_id)
        return (own, account.id) > (key, account_id)
