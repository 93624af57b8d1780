"""Defines the embedded ledger's types: bank transactions, ledger lines and their sums.

A balance as of a day is computed as Light's documentation says: the bank balance is "the opening
balance plus all bank transactions on or before" the day, and unknown while no opening balance is
set; the ledger balance is "the sum of ledger transaction lines posted on or before" the day. The
opening balance already contains what happened before its own day: bank transactions dated before
it are not added, and before that day the bank balance is unknown.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple


class Book(enum.Enum):
    """The book to which an entry belongs."""

    BANK = "bank"
    LEDGER = "ledger"


class Entry(NamedTuple):
    """One bank transaction or ledger line; a tuple, since imports create millions of them.

    Attributes:
        id: unique within its account and book; a repeated id means the same entry.
        book: bank transaction or ledger line.
        day: the first day on which the entry counts.
        minor_units: the signed amount of any size, in the account's currency, from the holder's
            side.
        description: free text; None without one.
    """

    id: str
    book: Book
    day: date
    minor_units: int
    description: str | None = None


class EntryColumns(NamedTuple):
    """Many entries by column, which takes a third less time than as many tuples.

    Attributes:
        ids: the ids; each column has one value for each entry, see ``Entry``.
        books: the books.
        days: the days.
        minor_units: the amounts.
        descriptions: the descriptions.
    """

    ids: Sequence[str]
    books: Sequence[Book]
    days: Sequence[date]
    minor_units: Sequence[int]
    descriptions: Sequence[str | None]

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> "EntryColumns":
        """Return the columns of entries."""
        return cls(*zip(*entries, strict=True)) if entries else cls((), (), (), (), ())

    def list_entries(self) -> list[Entry]:
        """Return the entries."""
        return list(map(Entry, *self))


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of an account in the embedded ledger at the end of a day, in minor units.

    Attributes:
        opening: the opening balance; None when none is set.
        bank: the sum of the bank transactions on or before the day, and on or after
            ``opening_day`` if there is one.
        ledger: the sum of all ledger lines on or before the day.
        opening_currency: the currency in which the opening balance was set; None without one.
        entries_currency: the currency in which the entries were imported; None without entries.
        opening_day: the day of the opening balance in the account's time zone; None when none is
            set.
    """

    opening: int | None
    bank: int
    ledger: int
    opening_currency: str | None = None
    entries_currency: str | None = None
    opening_day: date | None = None


@dataclass(frozen=True, slots=True)
class ImportResult:
    """Result of an import.

    Attributes:
        added: number of entries that were added.
        already_there: number of entries that were stored before, or repeated in the import.
        before_opening: number of rows with a bank transaction dated before the day of the opening
            balance, which does not count in the bank balance; 0 when none is set.
    """

    added: int
    already_there: int
    before_opening: int = 0
