"""The embedded ledger's nouns and port: opening balances, bank transactions and ledger lines.

A balance as of a day is computed as Light's page puts it: the bank balance is "the opening
balance plus all bank transactions on or before" the day, and unknown while no opening balance is
set; the ledger balance is "the sum of ledger transaction lines posted on or before" the day.
"""

import enum
from dataclasses import dataclass
from datetime import date


class Book(enum.Enum):
    """Which of the two books an entry belongs to."""

    BANK = "bank"
    LEDGER = "ledger"


@dataclass(frozen=True, slots=True)
class Entry:
    """One bank transaction or ledger line.

    Attributes:
        id: unique within its account and book; the same id again is the same entry.
        book: bank transaction or ledger line.
        day: the day it counts from.
        minor_units: signed, holder's side, in the account's currency; of any size.
        description: for people; None without one.
    """

    id: str
    book: Book
    day: date
    minor_units: int
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Sums:
    """What the embedded ledger knows of an account at the end of a day, in minor units.

    Attributes:
        opening: the opening balance; None when none is set.
        bank: the sum of all bank transactions on or before the day.
        ledger: the sum of all ledger lines on or before the day.
    """

    opening: int | None
    bank: int
    ledger: int


@dataclass(frozen=True, slots=True)
class ImportResult:
    """How many entries an import added, and how many were there already."""

    added: int
    already_there: int
