"""Import a CSV file of bank transactions and ledger lines into the embedded ledger.

The file is streamed row by row into the store, which keeps all entries or, if any row is bad, none.
The format is described in ``docs/providers/local.md``.
"""

from dataclasses import replace
from datetime import date
from itertools import chain
from pathlib import Path

from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.domain.calendar_days import nearest_day
from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.ledger import Book, Entry, EntryColumns, ImportResult
from balance_gateway.domain.money import currency_exponent
from balance_gateway.ports.ledger_store import EntryConflict, LedgerStore, OtherCurrency
from balance_gateway.providers.local.csv_rows import (
    BAD_ROWS_MAX,
    BadRow,
    BadRows,
    OnProgress,
    RowReader,
)
from balance_gateway.providers.local.csv_text import CsvText, UnknownEncoding, open_text


async def import_entries(
    store: LedgerStore,
    account: Account,
    path: Path | None,
    on_progress: OnProgress = lambda _done, _total: None,
) -> ImportResult:
    """Import all rows of a file into an account, or none of them.

    A row with the id, day and amount of an existing entry, in the file or in the store, is counted
    as already present.

    Args:
        store: Stores the entries.
        account: An account of the embedded ledger.
        path: The CSV file, which is opened once and may be a pipe; None for standard input.
        on_progress: Called with the bytes read and the total bytes.

    Raises:
        BadRows: Rows are malformed, or have an existing id with another day or amount.
        BadInput: The account is not in the embedded ledger, has amounts in another currency, or
            the file cannot be read.
        GatewayError: The store failed; nothing was imported unless ``maybe_applied`` is set.
    """
    if account.provider is not ProviderKind.LOCAL:
        raise BadInput(f"{account.id} is not an account of the embedded ledger", field="account")
    # Fails early for an unknown currency, before the file is opened.
    currency_exponent(account.currency)
    try:
        async with open_text(path) as text:
            return await _import_text(store, account, text, on_progress)
    except UnknownEncoding as error:
        raise BadRows([BadRow(error.line, "", str(error))]) from None
    except OtherCurrency as error:
        message = f"Nothing was imported. {error.error.message}"
        raise BadInput(message, field="account") from error
    except OSError as error:
        name = path or "standard input"
        raise BadInput(f"cannot read {name}: {error.strerror}", field="file") from error


async def _import_text(
    store: LedgerStore, account: Account, text: CsvText, on_progress: OnProgress
) -> ImportResult:
    rows = RowReader(text, account.currency, on_progress)
    counter = _EarlyRows(await _read_opening_day(store, account))
    batches = (counter.count(batch.entries) for batch in rows.read_batches())
    try:
        result = await store.add_entry_columns(account, batches)
    except EntryConflict as conflict:
        raise BadRows(_find_conflicting_rows(text, account.currency, conflict)) from conflict
    return replace(result, before_opening=counter.found)


async def _read_opening_day(store: LedgerStore, account: Account) -> date | None:
    opening = await store.opening_balance(account)
    if opening is None or opening.effective_at is None:
        return None
    return nearest_day(opening.effective_at, account.time_zone)


class _EarlyRows:
    """Counts the bank transactions before the opening balance's day.

    Attributes:
        found: their number so far.
    """

    def __init__(self, opening_day: date | None) -> None:
        self._opening_day = opening_day
        self.found = 0

    def count(self, entries: EntryColumns) -> EntryColumns:
        """Return the entries unchanged."""
        day = self._opening_day
        if day is not None:
            pairs = zip(entries.books, entries.days, strict=True)
            self.found += sum(book is Book.BANK and each < day for book, each in pairs)
        return entries


def _find_conflicting_rows(text: CsvText, currency: str, conflict: EntryConflict) -> list[BadRow]:
    """Read the text again to find the lines of the entries that the store reported."""
    conflicting = set(conflict.entries)
    stored = conflict.stored
    first: dict[tuple[Book, str], tuple[int, Entry]] = {}
    bad: list[BadRow] = []
    batches = RowReader(text, currency, lambda _done, _total: None).read_batches()
    rows = (zip(batch.lines, batch.entries.list_entries(), strict=True) for batch in batches)
    for line, entry in chain.from_iterable(rows):
        key = (entry.book, entry.id)
        if key not in conflicting or len(bad) == BAD_ROWS_MAX:
            continue
        earlier_line, earlier = first.setdefault(key, (line, entry))
        name = f"{entry.book.value} entry {entry.id!r}"
        if stored and earlier_line == line:
            message = f"{name} is already stored with another date or amount"
            bad.append(BadRow(line, "id", message))
        elif (earlier.day, earlier.minor_units) != (entry.day, entry.minor_units):
            message = f"{name} is on line {earlier_line} with another date or amount"
            bad.append(BadRow(line, "id", message))
    return bad or [BadRow(1, "id", str(conflict))]
