"""Keeps totals, and finds out which of the balances in them have changed."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from balance_gateway.api.compiled.total_rows import KeptRow, KeptRows
from balance_gateway.api.compiled.watched_values import WatchedValues, choose_terms
from balance_gateway.domain.accounts import Capability
from balance_gateway.domain.balances import BalanceQuery
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.ports.cache_validity import LocalCacheVersions
from balance_gateway.ports.reads import Observed
from balance_gateway.service.balances import (
    CurrencyTotal,
    TotalGroup,
    correct_totals,
    list_instants,
)

#: Limit of kept lists of totals, and of the accounts in all of them, each of which takes about 500
#: bytes with its row.
KEPT_TOTALS_MAX = 1_000
KEPT_ACCOUNTS_MAX = 100_000


class TotalFeeds:
    """The bank feeds of the accounts in a total, as they were last read.

    Args:
        total: the total.
        versions: knows which feeds have changed.

    Attributes:
        queries: the balances in the total of accounts with bank feeds.
        watched: the terms of their feeds.
    """

    def __init__(self, total: CurrencyTotal, versions: LocalCacheVersions) -> None:
        self.queries: Sequence[BalanceQuery] = [
            each
            for each in total.list_counted()
            if Capability.READ_BANK_FEED in each.account.capabilities
        ]
        self.watched = WatchedValues(versions, len(self.queries))
        self._synced: list[datetime | None] = [None] * len(self.queries)
        self._oldest: datetime | None = None
        self._is_oldest_known = False

    def put(self, position: int, observed: Observed[BankFeed | None]) -> None:
        """Note the feed at a position; None: the provider has none of this account."""
        query, feed = self.queries[position], observed.value
        self.watched.put(position, choose_terms(observed.cache_terms))
        synced = None if feed is None else feed.find_sync_for(query.account, query.as_of)
        self._synced[position] = synced
        self._is_oldest_known = False

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
        is_kept: whether it is kept, so that its feeds are too.
        feeds: the bank feeds of the accounts in it; None until they are selected.
    """

    total: CurrencyTotal
    is_now: bool
    is_kept: bool
    feeds: TotalFeeds | None = None


class KeptTotals:
    """Totals, and the balances that they were computed from.

    Args:
        views: the totals, one per currency.
        rows: the row of each account that was asked for.
        midnight_s: from then on, in seconds since 1970, "today" is another day.
        versions: knows which balances have changed.
    """

    def __init__(
        self,
        views: Sequence[TotalView],
        rows: list[KeptRow],
        midnight_s: float,
        versions: LocalCacheVersions,
    ) -> None:
        self.views = views
        self.rows = rows
        self.midnight_s = midnight_s
        #: Of each total, when its balances were observed; None before the first correction.
        self._instants: list[list[datetime]] | None = None
        self.watched = WatchedValues(versions, len(rows))
        for position, row in enumerate(rows):
            self.watched.put(position, row)

    @property
    def valid_until_s(self) -> float:
        """End of validity, in seconds since 1970."""
        return min(self.watched.valid_until_s, self.midnight_s)

    def correct(self, changed: Mapping[int, KeptRow], group: TotalGroup | None) -> bool:
        """Correct the totals by changed rows.

        Args:
            changed: the new rows, by position.
            group: as for the totals.

        Returns:
            False, and nothing is corrected, if the totals must be computed again.
        """
        pairs = [(self.rows[position].row, new.row) for position, new in changed.items()]
        changes = [(old, new) for old, new in pairs if old != new]
        if changes:
            former = [view.total for view in self.views]
            if self._instants is None:
                balances = [each.row for each in self.rows]
                self._instants = [list_instants(total, balances) for total in former]
            totals = correct_totals(former, changes, self._instants, group)
            if totals is None:
                return False
            for view, total in zip(self.views, totals, strict=True):
                view.total = total
        for position, row in changed.items():
            self.rows[position] = row
            self.watched.put(position, row)
        return True

    def end(self) -> None:
        """End the validity of everything that was made from the totals."""
        self.watched.end()
        for view in self.views:
            if view.feeds is not None:
                view.feeds.watched.end()


class KeptTotalsCache:
    """The kept totals of this process; the least recently used are dropped first.

    Args:
        versions: knows which values have changed.

    Attributes:
        versions: as given.
        rows: the rows of all accounts, also of totals that are not kept.
    """

    def __init__(self, versions: LocalCacheVersions) -> None:
        self.versions = versions
        self.rows = KeptRows()
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
        if replaced is not None:
            self._accounts -= len(replaced.rows)
            replaced.end()
        self._accounts += len(kept.rows)
        self._kept[key] = kept
        while len(self._kept) > KEPT_TOTALS_MAX or self._accounts > KEPT_ACCOUNTS_MAX:
            _, dropped = self._kept.popitem(last=False)
            self._accounts -= len(dropped.rows)
            dropped.end()
