"""Defines the embedded ledger's store as used by its provider and by the import."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Protocol

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import BalanceQuery, OpeningBalance, OpeningBalanceWrite
from balance_gateway.domain.errors import ProviderBadResponse
from balance_gateway.domain.ledger import Book, Entry, EntryColumns, ImportResult, Sums


class EntryConflict(Exception):
    """An import repeats entry ids with a different day or amount; nothing of it was stored.

    Attributes:
        entries: book and id of each conflicting entry, at most 20.
        stored: True when the ids are already in the store, False when they occur twice in the
            import itself.
    """

    def __init__(self, entries: Sequence[tuple[Book, str]], *, stored: bool) -> None:
        where = "is already stored" if stored else "occurs twice"
        book, entry_id = entries[0]
        more = f" (and {len(entries) - 1} more)" if len(entries) > 1 else ""
        super().__init__(f"{book.value} entry {entry_id!r} {where} with different content{more}")
        self.entries = tuple(entries)
        self.stored = stored


class OtherCurrency(Exception):
    """The account's amounts are stored in another currency; nothing was stored.

    Attributes:
        error: the error to report, with the stored currency and the next step.
    """

    def __init__(self, error: ProviderBadResponse) -> None:
        super().__init__(error.message)
        self.error = error


class LedgerStore(Protocol):
    """Storage of the embedded ledger's opening balances and entries."""

    async def sums(self, queries: Sequence[BalanceQuery]) -> Sequence[Sums]:
        """Return the sums for each query, in the order of the queries."""
        ...

    def sums_now(self, queries: Sequence[BalanceQuery]) -> Sequence[Sums] | None:
        """Return what ``sums`` does, without waiting; None where ``sums`` has to read them."""
        ...

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """Return the opening balance, or None when none is set."""
        ...

    async def opening_balances(
        self, accounts: Sequence[Account]
    ) -> Sequence[OpeningBalance | None]:
        """Return the opening balance of each account, or None, in the order of the accounts."""
        ...

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Set the opening balance and return it.

        A replaced opening balance keeps its ``created_at``; ``updated_at`` becomes now.

        Raises:
            OtherCurrency: the account's entries are in another currency.
        """
        ...

    async def add_entries(
        self, account: Account, entries: Iterable[Entry] | AsyncIterator[Entry]
    ) -> ImportResult:
        """Add entries in one transaction, all or none; entries that are stored are skipped.

        Raises:
            EntryConflict: an id exists in its book with a different day or amount.
            OtherCurrency: the account's entries or its opening balance are in another currency.
        """
        ...

    async def add_entry_columns(
        self, account: Account, batches: Iterable[EntryColumns] | AsyncIterator[EntryColumns]
    ) -> ImportResult:
        """Add entries as ``add_entries`` does, given in batches of some thousands."""
        ...
