"""Import a CSV file of bank transactions and ledger lines into the embedded ledger.

The file is streamed row by row into the store, which keeps all entries or, if any row is bad, none.
The format is described in ``docs/providers/local.md``.
"""

import csv
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import NoReturn

from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.domain.calendar_days import nearest_day
from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.ledger import Book, Entry, ImportResult
from balance_gateway.domain.money import currency_exponent, parse_minor_units
from balance_gateway.ports.ledger_store import EntryConflict, LedgerStore, OtherCurrency
from balance_gateway.providers.local.csv_text import UnknownEncoding, open_text

#: Maximum number of bad rows that are collected before the import stops.
BAD_ROWS_MAX = 20

ID_LENGTH_MAX = 200
DESCRIPTION_LENGTH_MAX = 2_000
LINE_LENGTH_MAX = 1_000_000

REQUIRED_COLUMNS = ("id", "book", "date", "amount")
OPTIONAL_COLUMNS = ("description",)

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_CONTROL_EXCEPT_WHITESPACE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
#: The lone surrogates as which bytes appear that are not UTF-8.
_UNDECODABLE = re.compile("[\udc80-\udcff]")
_BOOKS = {book.value: book for book in Book}
_ROWS_PER_PROGRESS = 5_000

#: Called with the bytes read and the total bytes, at intervals and once at the end.
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class BadRow:
    """Describes an error in one row.

    Attributes:
        line: First line of the row in the file, counted from 1.
        column: Name of the column; empty if the error concerns the whole row.
        message: What is wrong and what is expected.
    """

    line: int
    column: str
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}, {self.column}" if self.column else f"line {self.line}"
        return f"{where}: {self.message}"


class BadRows(BadInput):
    """A file was not imported because of bad rows.

    Attributes:
        rows: The bad rows in the file's order; reading stops after ``BAD_ROWS_MAX``.
    """

    def __init__(self, rows: Sequence[BadRow]) -> None:
        found = "\n".join(str(row) for row in rows)
        stopped = f"\n(stopped after {BAD_ROWS_MAX})" if len(rows) >= BAD_ROWS_MAX else ""
        super().__init__(f"Nothing was imported.\n{found}{stopped}", field="file")
        self.rows = tuple(rows)


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
        raise BadRows([BadRow(1, "", str(error))]) from None
    except OtherCurrency as error:
        message = f"Nothing was imported. {error.error.message}"
        raise BadInput(message, field="account") from error
    except OSError as error:
        name = path or "standard input"
        raise BadInput(f"cannot read {name}: {error.strerror}", field="file") from error


async def _import_text(
    store: LedgerStore, account: Account, text: io.TextIOWrapper, on_progress: OnProgress
) -> ImportResult:
    rows = _RowReader(text, account.currency, on_progress)
    counter = _EarlyRows(await _read_opening_day(store, account))
    try:
        result = await store.add_entries(account, counter.count(entry for _, entry in rows))
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

    def count(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Yield the entries unchanged."""
        day = self._opening_day
        for entry in entries:
            if day is not None and entry.book is Book.BANK and entry.day < day:
                self.found += 1
            yield entry


class _RowReader:
    """Reads the rows of a file as entries, each with its first line.

    Iterating raises ``BadRows`` at the end, or after ``BAD_ROWS_MAX`` bad rows. It yields nothing
    after the first bad row.
    """

    def __init__(self, text: io.TextIOWrapper, currency: str, on_progress: OnProgress) -> None:
        self._text = text
        self._currency = currency
        self._on_progress = on_progress
        self._bytes_total = os.fstat(text.fileno()).st_size
        self._bad: list[BadRow] = []
        self._days: dict[str, date] = {}

    def __iter__(self) -> Iterator[tuple[int, Entry]]:
        reader = csv.reader(self._read_lines(), strict=True)
        first_line = 1
        try:
            columns = self._read_header(next(reader, []))
            while True:
                first_line = reader.line_num + 1
                row = next(reader, None)
                if row is None:
                    break
                if reader.line_num % _ROWS_PER_PROGRESS == 0:
                    done = os.lseek(self._text.fileno(), 0, os.SEEK_CUR)
                    self._on_progress(done, self._bytes_total)
                # Excel writes rows with emptied cells as commas.
                if any(cell and not cell.isspace() for cell in row):
                    entry = self._parse_row(first_line, row, columns)
                    if entry is not None and not self._bad:
                        yield first_line, entry
        except csv.Error as error:
            # After an unbalanced quote the row boundaries are unknown.
            self._add_bad_row(
                first_line, "", f"not CSV ({error}); the rest of the file was not read"
            )
            raise BadRows(self._bad) from None
        if self._bad:
            raise BadRows(self._bad)
        self._on_progress(self._bytes_total, self._bytes_total)

    def _read_lines(self) -> Iterator[str]:
        number = 0
        try:
            while line := self._text.readline(LINE_LENGTH_MAX):
                number += 1
                if len(line) == LINE_LENGTH_MAX and not line.endswith(("\n", "\r")):
                    raise csv.Error(f"a line is longer than {LINE_LENGTH_MAX:,} characters")
                found = None if line.isascii() else _UNDECODABLE.search(line)
                if found is not None:
                    byte = ord(found[0]) - 0xDC00
                    self._refuse_encoding(
                        number, f"has the byte 0x{byte:02X}, which is not UTF-8 but perhaps Latin-1"
                    )
                yield line
        except UnicodeDecodeError as error:
            self._refuse_encoding(
                number + 1, f"this or a later line is not {error.encoding.upper()}"
            )

    def _refuse_encoding(self, line: int, message: str) -> NoReturn:
        # The other lines are in the same encoding, and reports of them would be worth nothing.
        self._bad.append(BadRow(line, "", f"{message}; save the file as CSV in UTF-8"))
        raise BadRows(self._bad)

    def _read_header(self, header: list[str]) -> dict[str, int]:
        """Return the position of each column.

        Raises:
            BadRows: The header is invalid, so that the rows cannot be interpreted.
        """
        known = (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS)
        for name in header:
            if name not in known:
                expected = f"the columns are {','.join(known)}, separated by commas"
                self._add_bad_row(1, "", f"unknown column {name[:40]!r}; {expected}")
            elif header.count(name) > 1:
                self._add_bad_row(1, name, "duplicate column in the header")
        for name in REQUIRED_COLUMNS:
            if name not in header:
                self._add_bad_row(1, name, "the column is missing from the header")
        if self._bad:
            raise BadRows(self._bad)
        return {name: position for position, name in enumerate(header)}

    def _parse_row(self, line: int, row: list[str], columns: dict[str, int]) -> Entry | None:
        """Return the row as an entry; None if it is bad, after recording the errors.

        Raises:
            BadRows: ``BAD_ROWS_MAX`` is reached.
        """
        if len(row) != len(columns):
            self._add_bad_row(line, "", f"has {len(row)} fields, but the header has {len(columns)}")
            return None
        before = len(self._bad)
        entry_id = self._parse_id(line, row[columns["id"]])
        book = _BOOKS.get(row[columns["book"]])
        if book is None:
            self._add_bad_row(
                line, "book", f"must be bank or ledger: {row[columns['book']][:40]!r}"
            )
        day = self._parse_day(line, row[columns["date"]])
        minor_units = self._parse_amount(line, row[columns["amount"]])
        description = row[columns["description"]] if "description" in columns else ""
        if len(description) > DESCRIPTION_LENGTH_MAX:
            self._add_bad_row(
                line, "description", f"is longer than {DESCRIPTION_LENGTH_MAX:,} characters"
            )
        elif _CONTROL_EXCEPT_WHITESPACE.search(description):
            self._add_bad_row(line, "description", "contains a control character")
        if len(self._bad) > before or book is None or day is None:
            return None
        return Entry(entry_id, book, day, minor_units, description or None)

    def _parse_id(self, line: int, cell: str) -> str:
        text = cell.strip()
        if not text:
            self._add_bad_row(line, "id", "is empty")
        elif len(text) > ID_LENGTH_MAX:
            self._add_bad_row(line, "id", f"is longer than {ID_LENGTH_MAX} characters")
        elif _CONTROL.search(text):
            self._add_bad_row(line, "id", "contains a control character")
        return text

    def _parse_day(self, line: int, text: str) -> date | None:
        # Parsed days are cached: a file has many rows per day.
        cached = self._days.get(text)
        if cached is not None:
            return cached
        try:
            if not _DAY.fullmatch(text):
                raise ValueError
            day = date.fromisoformat(text)
        except ValueError:
            self._add_bad_row(line, "date", f"must be a date in the form YYYY-MM-DD: {text[:40]!r}")
            return None
        self._days[text] = day
        return day

    def _parse_amount(self, line: int, text: str) -> int:
        try:
            return parse_minor_units(text, self._currency)
        except BadInput as error:
            self._add_bad_row(line, "amount", error.message.removeprefix("amount "))
            return 0

    def _add_bad_row(self, line: int, column: str, message: str) -> None:
        self._bad.append(BadRow(line, column, message))
        if len(self._bad) >= BAD_ROWS_MAX:
            raise BadRows(self._bad)


def _find_conflicting_rows(
    text: io.TextIOWrapper, currency: str, conflict: EntryConflict
) -> list[BadRow]:
    """Read the text again to find the lines of the entries that the store reported."""
    conflicting = set(conflict.entries)
    stored = conflict.stored
    first: dict[tuple[Book, str], tuple[int, Entry]] = {}
    bad: list[BadRow] = []
    text.seek(0)
    for line, entry in _RowReader(text, currency, lambda _done, _total: None):
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
