"""Selects the accounts of one tenant that match a filter, at a cost per matching account."""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.service.name_search import NameSearch

#: Below this share of the tenant's accounts, testing each name is faster than searching all names.
_FEW_ACCOUNTS_SHARE = 8


@dataclass(frozen=True, slots=True)
class AccountFilter:
    """Selects accounts that match all of its criteria.

    A criterion of None matches every account; an empty collection matches none. Filters that differ
    only in the order, repetitions or case of what they name are equal, and have the same hash.

    Attributes:
        ids: account ids.
        connectors: connector names.
        providers: provider kinds.
        currencies: ISO 4217 codes.
        name_contains: a part of the account's name, compared without regard to case.
    """

    ids: Collection[str] | None = None
    connectors: Collection[str] | None = None
    providers: Collection[ProviderKind] | None = None
    currencies: Collection[str] | None = None
    name_contains: str | None = None

    def __post_init__(self) -> None:
        """Bring the criteria into the form in which equal filters are equal."""
        for name in ("ids", "connectors", "providers", "currencies"):
            criterion = getattr(self, name)
            if criterion is not None:
                object.__setattr__(self, name, frozenset(criterion))
        if self.name_contains is not None:
            # Every name contains the empty text.
            object.__setattr__(self, "name_contains", self.name_contains.casefold() or None)

    def matches(self, account: Account) -> bool:
        """Return whether the account matches all criteria."""
        return (
            (self.ids is None or account.id in self.ids)
            and (self.connectors is None or account.connector in self.connectors)
            and (self.providers is None or account.provider in self.providers)
            and (self.currencies is None or account.currency in self.currencies)
            and (self.name_contains is None or self.name_contains in account.name.casefold())
        )


class AccountIndex:
    """The accounts of one tenant, by whatever a filter can name.

    Args:
        accounts: the accounts.

    Attributes:
        accounts: all accounts, sorted by id.
        by_id: the same by id, in the same order.
        connectors: the names of the accounts' connectors, sorted.
    """

    def __init__(self, accounts: Iterable[Account]) -> None:
        self.by_id = {each.id: each for each in sorted(accounts, key=attrgetter("id"))}
        self.accounts = tuple(self.by_id.values())
        # Built when a filter needs one: a start with many accounts waits for few of them.
        self._groups: dict[str, Mapping[Any, Sequence[int]]] = {}
        self.connectors = tuple(sorted(self._group("connector")))

    @cached_property
    def _names(self) -> NameSearch:
        return NameSearch([each.name.casefold() for each in self.accounts])

    def select_ids(self, wanted: AccountFilter) -> tuple[Account, ...]:
        """Return the accounts that match all criteria, sorted by id, for a filter with ids."""
        assert wanted.ids is not None
        by_id: Mapping[str, Account] = self.by_id
        found = [each for each in map(by_id.get, sorted(wanted.ids)) if each is not None]
        others = wanted.connectors, wanted.providers, wanted.currencies, wanted.name_contains
        if others == (None, None, None, None):
            return tuple(found)
        return tuple(account for account in found if wanted.matches(account))

    def select(self, wanted: AccountFilter) -> tuple[Account, ...]:
        """Return the accounts that match connectors, providers and currencies, sorted by id.

        The time grows with the accounts that match the most selective criterion.
        """
        named = []
        for attribute, values in (
            ("connector", wanted.connectors),
            ("provider", wanted.providers),
            ("currency", wanted.currencies),
        ):
            if values is not None:
                groups = self._group(attribute)
                named.append([groups[value] for value in values if value in groups])
        if not named:
            return self.accounts
        fewest = min(named, key=lambda groups: sum(map(len, groups)))
        accounts = self.accounts
        found = [accounts[position] for position in _merge(fewest)]
        if len(named) == 1:
            return tuple(found)
        return tuple(account for account in found if wanted.matches(account))

    def select_named(self, part: str, among: Sequence[Account]) -> tuple[Account, ...]:
        """Return the accounts with a text in their name, in the order of ``among``.

        Args:
            part: the text, case-folded and not empty.
            among: accounts of this index, sorted by id.
        """
        if len(among) * _FEW_ACCOUNTS_SHARE < len(self.accounts):
            return tuple(account for account in among if part in account.name.casefold())
        found = (self.accounts[position] for position in self._names.find(part))
        if len(among) == len(self.accounts):
            return tuple(found)
        chosen = set(among)
        return tuple(account for account in found if account in chosen)

    def _group(self, attribute: str) -> Mapping[Any, Sequence[int]]:
        """Return the positions of the accounts by the value of an attribute."""
        groups = self._groups.get(attribute)
        if groups is None:
            positions: dict[Hashable, list[int]] = {}
            for position, value in enumerate(map(attrgetter(attribute), self.accounts)):
                positions.setdefault(value, []).append(position)
            # Positions instead of accounts: sorting them is faster.
            groups = {value: tuple(each) for value, each in positions.items()}
            self._groups[attribute] = groups
        return groups


def _merge(groups: Sequence[Sequence[int]]) -> Sequence[int]:
    """Return the positions of groups without common positions, in ascending order."""
    if len(groups) == 1:
        return groups[0]
    return sorted(position for group in groups for position in group)
