"""The store of the embedded ledger, as its provider and the import see it."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Protocol

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import BalanceQuery, OpeningBalance, OpeningBalanceWrite
from balance_gateway.domain.ledger import Book, Entry, ImportResult, Sums


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
