"""Keeps what totals need of each balance, by account and day."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from operator import attrgetter
from typing import NamedTuple

from balance_gateway.domain.accounts import Account
from balance_gateway.ports.cache_validity import Validity
from balance_gateway.service.balances import BalanceRow

_GET_ID = attrgetter("id")

#: Limit of all rows together; one takes about 300 bytes.
KEPT_ROWS_MAX = 100_000

#: When a stored balance was observed: as of each request, and so after all others.
AS_OF_REQUEST = datetime.max.replace(tzinfo=UTC)


class KeptRow(NamedTuple):
    """What totals need of a balance, and its terms; see ``Terms``."""

    row: BalanceRow
    validity: Validity
    until_s: float


class KeptRows:
    """The rows of all accounts by day; those of the least recently used day are dropped first."""

    def __init__(self) -> None:
        self._tables: OrderedDict[date, dict[str, KeptRow]] = OrderedDict()
        self._count = 0

    def find(self, accounts: Sequence[Account], days: Sequence[date]) -> list[KeptRow | None]:
        """Return the row of each account and day, valid or not; None where there is none."""
        tables = {day: self._get_table(day) for day in set(days)}
        if len(tables) == 1:
            [table] = tables.values()
            return list(map(table.get, map(_GET_ID, accounts)))
        return [tables[day].get(each.id) for each, day in zip(accounts, days, strict=True)]

    def _get_table(self, day: date) -> Mapping[str, KeptRow]:
        table = self._tables.get(day)
        if table is None:
            return {}
        self._tables.move_to_end(day)
        return table

    def put(self, day: date, row: KeptRow) -> None:
        """Keep a row in place of an older one."""
        table = self._tables.setdefault(day, {})
        before = len(table)
        table[row.row.account.id] = row
        self._count += len(table) - before
        while self._count > KEPT_ROWS_MAX:
            _, dropped = self._tables.popitem(last=False)
            self._count -= len(dropped)

    def __len__(self) -> int:
        return self._count
