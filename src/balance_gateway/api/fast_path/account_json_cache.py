"""Ready JSON of accounts: by selection, arguments and account, while all of it counts.

A fragment holds what an account was last answered with. It is used as long as the mark of what is
in it stands and no value in it is near its expiry; one that shows ages is used only while they are
the same. The mark ends with a write of the account and when the value is kept anew (``CacheValidity``);
of several values, when any of the account's is. Where other replicas may keep newer values there
are no marks, and so no fragments: a look at every value would tell, which is what reading costs.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from balance_gateway.ports.cache_validity import (
    CacheTerms,
    CacheValidity,
)

#: What is asked of an account: a selection's signature, and the arguments of each balance in it.
Asked = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class CachedAccountJson:
    """An account's JSON, and under what it counts.

    Attributes:
        body: the JSON object.
        until_s: when it ends to count, in seconds since 1970.
        mark: has to stand; all values in it have the same.
    """

    body: bytes
    until_s: float
    validity: CacheValidity


def build_account_json(
    body: bytes, kept: list[CacheTerms | None], until_s: float
) -> CachedAccountJson | None:
    """A fragment of values that are all kept, and none replaced since; None when they are not.

    Args:
        body: the account's JSON.
        kept: how each value in it is kept.
        until_s: a further end, for what else it shows.
    """
    first = kept[0] if kept else None
    if first is None:
        return None
    for other in kept:
        if other is None or other.account is not first.account:
            return None
        until_s = min(until_s, other.until_s)
    return CachedAccountJson(body, until_s, first.validity if len(kept) == 1 else first.account)


#: Of all fragments together, with what they take besides their JSON.
FRAGMENT_BYTES_MAX = 64_000_000

_PER_FRAGMENT_BYTES = 300
_PER_TABLE_BYTES = 1_000
_PER_ARGUMENT_BYTES = 300
_EMPTY: Mapping[str, CachedAccountJson] = MappingProxyType({})


class AccountJsonCache:
    """Fragments by what was asked, and within that by account id; bounded by their size.

    The tables that were used last are kept: a day that is past is asked for less and less.

    Args:
        bytes_max: what all fragments may take together; a thousandth of it, what one may.
    """

    def __init__(self, bytes_max: int = FRAGMENT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._tables: OrderedDict[Asked, dict[str, CachedAccountJson]] = OrderedDict()
        self.bytes = 0

    def table(self, asked: Asked) -> Mapping[str, CachedAccountJson]:
        """The fragments of what is asked; none is made for asking."""
        table = self._tables.get(asked)
        if table is None:
            return _EMPTY
        self._tables.move_to_end(asked)
        return table

    def put(self, asked: Asked, account_id: str, fragment: CachedAccountJson) -> None:
        """Keeps a fragment, in place of an older one, unless it is too large."""
        if len(fragment.body) > self._bytes_max // 1000:
            return
        table = self._tables.get(asked)
        if table is None:
            table = self._tables[asked] = {}
            self.bytes += _size_of_key(asked)
        older = table.get(account_id)
        if older is not None:
            self.bytes -= _size(older)
        table[account_id] = fragment
        self.bytes += _size(fragment)
        while self.bytes > self._bytes_max:
            forgotten, fragments = self._tables.popitem(last=False)
            self.bytes -= _size_of_key(forgotten) + sum(map(_size, fragments.values()))

    def __len__(self) -> int:
        return sum(map(len, self._tables.values()))


def _size(fragment: CachedAccountJson) -> int:
    return len(fragment.body) + _PER_FRAGMENT_BYTES


def _size_of_key(asked: Asked) -> int:
    return _PER_TABLE_BYTES + _PER_ARGUMENT_BYTES * len(asked)
