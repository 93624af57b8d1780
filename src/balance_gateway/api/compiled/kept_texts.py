"""Keeps the JSON of single balances, each for as long as its value is valid."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import date
from operator import attrgetter
from typing import NamedTuple

from balance_gateway.ports.cache_validity import CacheTerms

#: Limit of all texts together, with an estimate of the memory that they take besides their JSON.
KEPT_TEXT_BYTES_MAX = 32_000_000

_ENTRY_OVERHEAD_BYTES = 500
_IS_VALID, _GET_UNTIL_S = attrgetter("terms.validity.is_valid"), attrgetter("terms.until_s")


class KeptText(NamedTuple):
    """The text of a value, and the terms of the value."""

    text: bytes
    terms: CacheTerms


#: Names the place that writes the texts, and the id of the account.
_Key = tuple[object, str]


class KeptTexts:
    """Texts in one table for each place and account; the least recently used tables are dropped.

    Args:
        bytes_max: limit of all texts together; one may have a hundredth of it.
    """

    def __init__(self, bytes_max: int = KEPT_TEXT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._tables: OrderedDict[_Key, dict[date, KeptText]] = OrderedDict()
        self.size_bytes = 0

    def get_table(self, key: _Key) -> Mapping[date, KeptText]:
        """Return the texts of an account by day, valid or not."""
        table = self._tables.get(key)
        if table is None:
            return {}
        self._tables.move_to_end(key)
        return table

    def find_all(self, key: _Key, days: Sequence[date], now_s: float) -> Sequence[KeptText] | None:
        """Return the text of each of several days; None unless all are valid."""
        table = self._tables.get(key)
        if table is None:
            return None
        found: list[KeptText] = list(map(table.get, days))  # type: ignore[arg-type]
        if None in found or not all(map(_IS_VALID, found)):
            return None
        if found and now_s >= min(map(_GET_UNTIL_S, found)):
            return None
        self._tables.move_to_end(key)
        return found

    def put(self, key: _Key, day: date, kept: KeptText) -> None:
        """Keep the text of a day in place of an older one, unless it is too large."""
        if len(kept.text) > self._bytes_max // 100:
            return
        table = self._tables.setdefault(key, {})
        replaced = table.get(day)
        if replaced is not None:
            self.size_bytes -= _estimate_bytes(replaced)
        table[day] = kept
        self.size_bytes += _estimate_bytes(kept)
        while self.size_bytes > self._bytes_max:
            _, dropped = self._tables.popitem(last=False)
            self.size_bytes -= sum(map(_estimate_bytes, dropped.values()))

    def __len__(self) -> int:
        return sum(map(len, self._tables.values()))


def _estimate_bytes(kept: KeptText) -> int:
    return len(kept.text) + _ENTRY_OVERHEAD_BYTES
