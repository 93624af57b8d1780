"""Caches the JSON of accounts by projection, arguments and account id, while it is valid.

``response_builder`` looks here first, once per root field and account, and stores the JSON that it
builds from reads. An entry holds the JSON object of one account for one projection.

An entry is used while its ``CacheValidity`` is valid and no value in it is near its expiry; an
entry that contains an age is used only until the age changes. The validity ends with a write to the
account and when a newer value is cached; the validity of an entry with several values ends when any
value of the account is replaced. When other replicas can cache newer values there is no validity,
so no entries: checking every value would cost as much as reading it.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from balance_gateway.ports.cache_validity import CacheTerms, CacheValidity

#: A projection and its arguments: the projection's signature, then the arguments of each balance
#: field with the day resolved.
ProjectionKey = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class CachedAccountJson:
    """The JSON of one account, and its conditions of validity.

    Attributes:
        body: the JSON object.
        valid_until_s: end of validity, in seconds since 1970.
        validity: must be valid; covers all values in the body.
    """

    body: bytes
    valid_until_s: float
    validity: CacheValidity


def build_cached_account_json(
    body: bytes, terms: list[CacheTerms | None], valid_until_s: float
) -> CachedAccountJson | None:
    """Build a cache entry from the JSON of an account and the cache terms of its values.

    Args:
        body: the account's JSON.
        terms: the cache terms of each value in it; None for a value that is not cached.
        valid_until_s: upper bound of the validity, in seconds since 1970.

    Returns:
        None when a value is not cached, or was replaced or dropped between the reads.
    """
    first = terms[0] if terms else None
    if first is None:
        return None
    for other in terms:
        # Different account validities mean that a value changed between the reads.
        if other is None or other.account is not first.account:
            return None
        valid_until_s = min(valid_until_s, other.until_s)
    validity = first.validity if len(terms) == 1 else first.account
    return CachedAccountJson(body, valid_until_s, validity)


#: Limit of all entries together, with an estimate of the memory that they take besides their JSON.
ACCOUNT_JSON_BYTES_MAX = 64_000_000

_ENTRY_OVERHEAD_BYTES = 300
_TABLE_OVERHEAD_BYTES = 1_000
_KEY_PART_BYTES = 300
_EMPTY_TABLE: Mapping[str, CachedAccountJson] = MappingProxyType({})


class AccountJsonCache:
    """Cached account JSON in one table per projection key, and by account id in each table.

    Over the size limit the least recently used tables are evicted: the tables of a past day are
    used less and less.

    Args:
        bytes_max: limit of all entries together; one entry may have a thousandth of it.
    """

    def __init__(self, bytes_max: int = ACCOUNT_JSON_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._tables: OrderedDict[ProjectionKey, dict[str, CachedAccountJson]] = OrderedDict()
        self.size_bytes = 0

    def get_table(self, key: ProjectionKey) -> Mapping[str, CachedAccountJson]:
        """Return the entries of a projection key by account id; never creates a table."""
        table = self._tables.get(key)
        if table is None:
            return _EMPTY_TABLE
        self._tables.move_to_end(key)
        return table

    def put(self, key: ProjectionKey, account_id: str, entry: CachedAccountJson) -> None:
        """Store an entry in place of an older one, unless it is too large."""
        if len(entry.body) > self._bytes_max // 1000:
            return
        table = self._tables.get(key)
        if table is None:
            table = self._tables[key] = {}
            self.size_bytes += _estimate_table_bytes(key)
        replaced = table.get(account_id)
        if replaced is not None:
            self.size_bytes -= _estimate_entry_bytes(replaced)
        table[account_id] = entry
        self.size_bytes += _estimate_entry_bytes(entry)
        while self.size_bytes > self._bytes_max:
            evicted_key, evicted = self._tables.popitem(last=False)
            evicted_bytes = sum(map(_estimate_entry_bytes, evicted.values()))
            self.size_bytes -= _estimate_table_bytes(evicted_key) + evicted_bytes

    def __len__(self) -> int:
        return sum(map(len, self._tables.values()))


def _estimate_entry_bytes(entry: CachedAccountJson) -> int:
    return len(entry.body) + _ENTRY_OVERHEAD_BYTES


def _estimate_table_bytes(key: ProjectionKey) -> int:
    return _TABLE_OVERHEAD_BYTES + _KEY_PART_BYTES * len(key)
