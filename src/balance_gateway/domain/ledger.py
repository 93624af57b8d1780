"""The embedded ledger's nouns and port: opening balances, bank transactions and ledger lines.

A balance as of a day is computed as Light's page puts it: the bank balance is "the opening
balance plus all bank transactions on or before" the day, and unknown while no opening balance is
set; the ledger balance is "the sum of ledger transaction lines posted on or before" the day.
"""

import enum
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import BalanceQuery, OpeningBalance, OpeningBalanceWrite


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


class EntryConflict(Exception):
    """Entries are known with another day or amount; nothing of the import was kept.

    Attributes:
        entries: book and id of each, at most 20.
        stored: whether they are known from the store; else from earlier in the same import.
    """

    def __init__(self, entries: Sequence[tuple[Book, str]], *, stored: bool) -> None:
        where = "is stored" if stored else "comes twice,"
        book, entry_id = entries[0]
        more = f" (and {len(entries) - 1} more)" if len(entries) > 1 else ""
        super().__init__(f"{book.value} entry {entry_id!r} {where} with other content{more}")
        self.entries = tuple(entries)
        self.stored = stored


class LedgerStore(Protocol):
    """Where the embedded ledger's data is kept."""

    async def sums(self, queries: Sequence[BalanceQuery]) -> Sequence[Sums]:
        """The sums per query, in order."""
        ...

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """The opening balance; None when none is set."""
        ...

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Sets it, replacing the one that is there; created_at stays, updated_at moves."""
        ...

    async def add_entries(
        self, account: Account, entries: Iterable[Entry] | AsyncIterator[Entry]
    ) -> ImportResult:
        """Adds entries in one transaction: all of them or none; known ids are passed over.

        Raises:
            EntryConflict: an id is known in its book with another day or amount.
        """
        ...
