"""Keeps the JSON of accounts by selection, arguments and account id, while it is valid.

``account_json`` looks here first, and stores the JSON that it writes. A part is the JSON object of
one account for one selection. Its validity ends with a write to the account and when a newer value
of the account is cached. ``account_blocks`` keeps the joined JSON of several accounts in the same
way, by the id of the first one.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

from balance_gateway.api.compiled.field_errors import FieldError
from balance_gateway.api.compiled.holes import (
    NO_CONNECTOR_HOLES,
    ConnectorHoles,
    Part,
    estimate_connector_bytes,
)
from balance_gateway.ports.cache_validity import Validity

#: The signature of a selection, then its arguments with the day resolved.
SelectionKey = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class AccountJson:
    """The JSON of one account, and the conditions of its validity.

    Attributes:
        parts: the text, and the holes in it; only one part without holes.
        errors: errors of fields, with paths below the account.
        valid_until_s: end of validity, in seconds since 1970.
        validity: must be valid.
        others: further validities that must be valid.
        value_count: number of values in the text.
        connectors: the connectors with marks in the text.
        has_more: whether it has errors, further validities or holes: few accounts have.
    """

    parts: Sequence[Part]
    errors: Sequence[FieldError]
    valid_until_s: float
    validity: Validity
    others: Sequence[Validity]
    value_count: int
    connectors: ConnectorHoles = NO_CONNECTOR_HOLES
    has_more: bool = field(init=False)

    def __post_init__(self) -> None:
        has_more = bool(self.errors or self.others or len(self.parts) > 1)
        object.__setattr__(self, "has_more", has_more)

    @property
    def size_bytes(self) -> int:
        """An estimate of its memory."""
        text_bytes = sum(len(part) for part in self.parts if isinstance(part, bytes))
        objects = len(self.parts) + len(self.others) + 5 * len(self.errors)
        return (
            text_bytes
            + OBJECT_BYTES * objects
            + estimate_connector_bytes(self.connectors)
            + _ENTRY_OVERHEAD_BYTES
        )


#: Limit of all entries together, with an estimate of the memory that they take besides their JSON.
ACCOUNT_JSON_BYTES_MAX = 64_000_000

#: What an object such as a hole takes besides its text.
OBJECT_BYTES = 80
_ENTRY_OVERHEAD_BYTES = 300
_TABLE_OVERHEAD_BYTES = 1_000
_KEY_PART_BYTES = 300
_EMPTY_TABLE: Mapping[str, Any] = MappingProxyType({})


class _Sized(Protocol):
    @property
    def size_bytes(self) -> int: ...


Entry = TypeVar("Entry", bound=_Sized)


class AccountTables(Generic[Entry]):
    """Kept JSON of accounts in one table per selection, and by account id in each table.

    Over the size limit the least recently used tables are evicted: the tables of a past day are
    used less and less.

    Args:
        bytes_max: limit of all entries together; one entry may have a hundredth of it.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._tables: OrderedDict[SelectionKey, dict[str, Entry]] = OrderedDict()
        self.size_bytes = 0

    def get_table(self, key: SelectionKey) -> Mapping[str, Entry]:
        """Return the entries of a selection by account id; never creates a table."""
        table = self._tables.get(key)
        if table is None:
            return _EMPTY_TABLE
        self._tables.move_to_end(key)
        return table

    def put(self, key: SelectionKey, account_id: str, entry: Entry) -> None:
        """Store an entry in place of an older one, unless it is too large."""
        size_bytes = entry.size_bytes
        if size_bytes > self._bytes_max // 100:
            return
        table = self._tables.get(key)
        if table is None:
            table = self._tables[key] = {}
            self.size_bytes += _estimate_table_bytes(key)
        replaced = table.get(account_id)
        if replaced is not None:
            self.size_bytes -= replaced.size_bytes
        table[account_id] = entry
        self.size_bytes += size_bytes
        while self.size_bytes > self._bytes_max:
            evicted_key, evicted = self._tables.popitem(last=False)
            evicted_bytes = sum(each.size_bytes for each in evicted.values())
            self.size_bytes -= _estimate_table_bytes(evicted_key) + evicted_bytes

    def __len__(self) -> int:
        return sum(map(len, self._tables.values()))


def _estimate_table_bytes(key: SelectionKey) -> int:
    return _TABLE_OVERHEAD_BYTES + _KEY_PART_BYTES * len(key)


AccountJsonCache = AccountTables[AccountJson]
