"""Keeps totals, for as long as none of the balances in them has changed."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from balance_gateway.domain.accounts import Account, Capability
from balance_gateway.domain.balances import BalanceQuery
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.ports.cache_validity import CacheTerms, Validity
from balance_gateway.ports.reads import Observed
from balance_gateway.service.balances import CurrencyTotal

#: Limit of kept lists of totals, and of the accounts in all of them.
KEPT_TOTALS_MAX = 1_000
KEPT_ACCOUNTS_MAX = 400_000


class TotalFeeds:
    """The bank feeds of the accounts in a total, as they were last read.

    Args:
        total: the total.

    Attributes:
        queries: the balances in the total of accounts with bank feeds.
    """

    def __init__(self, total: CurrencyTotal) -> None:
        self.queries: Sequence[BalanceQuery] = [
            each
            for each in total.list_counted()
            if Capability.READ_BANK_FEED in each.account.capabilities
        ]
        self._terms: list[CacheTerms | None] = [None] * len(self.queries)
        self._synced: list[datetime | None] = [None] * len(self.queries)
        self._oldest: datetime | None = None
        self._is_oldest_known = False

    def find_outdated(self, now_s: float) -> list[int]:
        """Return the positions of the feeds that must be asked for."""
        return [
            row
            for row, terms in enumerate(self._terms)
            if terms is None or not terms.validity.is_valid or now_s >= terms.until_s
        ]

    def put(self, row: int, observed: Observed[BankFeed | None]) -> None:
        """Note the feed at a position; None: the provider has none of this account."""
        query, feed = self.queries[row], observed.value
        self._terms[row] = observed.cache_terms
        synced = None if feed is None else feed.find_sync_for(query.account, query.as_of)
        self._synced[row] = synced
        self._is_oldest_known = False

    def list_terms(self) -> Sequence[CacheTerms | None]:
        """Return the cache terms of each feed."""
        return self._terms

    def find_oldest_sync(self) -> datetime | None:
        """Return the earliest sync that is the source of a balance; None without any."""
        if not self._is_oldest_known:
            self._oldest = min([each for each in self._synced if each is not None], default=None)
            self._is_oldest_known = True
        return self._oldest


@dataclass(slots=True, eq=False)
class TotalView:
    """A total, and what is selected with it.

    Attributes:
        total: the total.
        is_now: whether its oldest value is as of the request.
        feeds: the bank feeds of the accounts in it; None until they are selected.
    """

    total: CurrencyTotal
    is_now: bool
    feeds: TotalFeeds | None = None


@dataclass(frozen=True, slots=True)
class KeptTotals:
    """Totals, and the conditions of their validity.

    Attributes:
        totals: one per currency.
        accounts: the accounts that were asked for.
        days: the day of each account's balance.
        results: the balance of each account, or its error.
        validities: the validity of each balance.
        valid_until_s: end of validity, in seconds since 1970.
        midnight_s: from then on, in seconds since 1970, "today" is another day.
    """

    totals: Sequence[TotalView]
    accounts: Sequence[Account]
    days: Sequence[date]
    results: Sequence[Any]
    validities: Sequence[Validity]
    valid_until_s: float
    midnight_s: float

    def is_valid(self, now_s: float) -> bool:
        """Whether no balance in them has changed."""
        return now_s < self.valid_until_s and all(each.is_valid for each in self.validities)

    def find_changed_rows(self, now_s: float) -> list[int] | None:
        """Return the positions of the balances that have changed or must be asked for again.

        Returns:
            None if the totals cannot be corrected, because the days have changed.
        """
        if now_s >= self.midnight_s:
            return None
        return [
            row
            for row, result in enumerate(self.results)
            if not result.cache_terms.validity.is_valid or now_s >= result.cache_terms.until_s
        ]


class KeptTotalsCache:
    """The kept totals of this process; the least recently used are dropped first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Any, KeptTotals] = OrderedDict()
        self._accounts = 0

    def find(self, key: Any) -> KeptTotals | None:
        """Return the totals of a tenant, a filter, a day and a group, valid or not."""
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
        return kept

    def put(self, key: Any, kept: KeptTotals) -> None:
        """Keep totals in place of older ones."""
        replaced = self._kept.pop(key, None)
        self._accounts += len(kept.results) - (0 if replaced is None else len(replaced.results))
        self._kept[key] = kept
        while len(self._kept) > KEPT_TOTALS_MAX or self._accounts > KEPT_ACCOUNTS_MAX:
            _, dropped = self._kept.popitem(last=False)
            self._accounts -= len(dropped.results)
