"""Imports a CSV file of bank transactions and ledger lines into the embedded ledger.

The file is read once, row by row, while the store takes the entries in: all of them or, when any
row is bad, none. The format is described in ``docs/providers/local.md``.
"""

import csv
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import BinaryIO

from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.ledger import (
    Book,
    Entry,
    ImportResult,
)
from balance_gateway.domain.money import currency_exponent, parse_minor_units
from balance_gateway.ports.ledger_store import (
    EntryConflict,
    LedgerStore,
)

#: Bad rows that are collected before the import gives up.
BAD_ROWS_MAX = 20

ID_LENGTH_MAX = 200
DESCRIPTION_LENGTH_MAX = 2_000
LINE_BYTES_MAX = 1_000_000

REQUIRED_COLUMNS = ("id", "book", "date", "amount")
OPTIONAL_COLUMNS = ("description",)

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
#: Undecodable bytes appear as lone surrogates.
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_CONTROL_BUT_BLANK = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_BOOKS = {book.value: book for book in Book}
_ROWS_PER_PROGRESS = 5_000

#: Called with bytes done and bytes in total, now and then and once at the end.
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class BadRow:
    """What is wrong with one row.

    Attributes:
        line: where the row begins in the file; the first line is 1.
        column: the name of the column; empty when the whole row is meant.
        message: what is wrong and what is expected.
    """

    line: int
    column: str
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}, {self.column}" if self.column else f"line {self.line}"
        return f"{where}: {self.message}"


class BadRows(BadInput):
    """A file that was not imported, with everything that is wrong with it.

    Attributes:
        rows: in the file's order; at most 20, then reading stopped.
    """

    def __init__(self, rows: Sequence[BadRow]) -> None:
        found = "\n".join(str(row) for row in rows)
        stopped = f"\n(stopped after {BAD_ROWS_MAX})" if len(rows) >= BAD_ROWS_MAX else ""
        super().__init__(f"Nothing was imported.\n{found}{stopped}", field="file")
        self.rows = tuple(rows)


async def import_entries(
    store: LedgerStore,
    account: Account,
    path: Path,
    on_progress: OnProgress = lambda _done, _total: None,
) -> ImportResult:
    """Imports a file into an account: all rows or none.

    Rows whose id the account's book has already, from the file or the store, with the same day
    and amount, are counted as already there.

    Raises:
        BadRows: rows are malformed, or have a known id with another day or amount.
        BadInput: the account is not of the embedded ledger, or the file cannot be read.
        GatewayError: the store failed; nothing was imported unless ``maybe_applied`` says so.
    """
    if account.provider is not ProviderKind.LOCAL:
        raise BadInput(f"{account.id} is not an account of the embedded ledger", field="account")
    currency_exponent(account.currency)
    try:
        with path.open("rb") as file:
            rows = _Rows(file, account.currency, on_progress)
            return await store.add_entries(account, (entry for _, entry in rows))
    except EntryConflict as conflict:
        raise BadRows(_conflicting_rows(path, account.currency, conflict)) from conflict
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}", field="file") from error


class _Rows:
    """The rows of a file as entries, each with the line on which it begins.

    Iterating raises BadRows at the end, or after 20 bad rows; from the first bad row on nothing
    is yielded.
    """

    def __init__(self, file: BinaryIO, currency: str, on_progress: OnProgress) -> None:
        self._file = file
        self._currency = currency
        self._on_progress = on_progress
        self._bytes_done = 0
        self._bytes_total = os.fstat(file.fileno()).st_size
        self._bad: list[BadRow] = []
        self._days: dict[str, date] = {}

    def __iter__(self) -> Iterator[tuple[int, Entry]]:
        reader = csv.reader(self._lines(), strict=True)
        begins = 1
        try:
            columns = self._columns(next(reader, []))
            while True:
                begins = reader.line_num + 1
                row = next(reader, None)
                if row is None:
                    break
                if reader.line_num % _ROWS_PER_PROGRESS == 0:
                    self._on_progress(self._bytes_done, self._bytes_total)
                if row:
                    entry = self._entry(begins, row, columns)
                    if entry is not None and not self._bad:
                        yield begins, entry
        except csv.Error as error:
            # What follows a broken quotation cannot be told apart from it.
            self._refuse(begins, "", f"not CSV ({error}); the rest of the file was not read")
            raise BadRows(self._bad) from None
        if self._bad:
            raise BadRows(self._bad)
        self._on_progress(self._bytes_total, self._bytes_total)

    def _lines(self) -> Iterator[str]:
        encoding = "utf-8-sig"
        while line := self._file.readline(LINE_BYTES_MAX):
            if len(line) == LINE_BYTES_MAX and not line.endswith(b"\n"):
                raise csv.Error(f"a line is longer than {LINE_BYTES_MAX:,} bytes")
            self._bytes_done += len(line)
            yield line.decode(encoding, errors="surrogateescape")
            encoding = "utf-8"

    def _columns(self, header: list[str]) -> dict[str, int]:
        """The position of each column.

        Raises:
            BadRows: the header is not one; there is no point in reading on.
        """
        known = (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS)
        for name in header:
            if name not in known:
                expected = f"the columns are {','.join(known)}, separated by commas, in UTF-8"
                self._refuse(1, "", f"unknown column {name[:40]!r}; {expected}")
            elif header.count(name) > 1:
                self._refuse(1, name, "the column is there twice")
        for name in REQUIRED_COLUMNS:
            if name not in header:
                self._refuse(1, name, "the column is missing from the header")
        if self._bad:
            raise BadRows(self._bad)
        return {name: position for position, name in enumerate(header)}

    def _entry(self, line: int, row: list[str], columns: dict[str, int]) -> Entry | None:
        """The row as an entry; None, and the fault noted, when it is bad.

        Raises:
            BadRows: it was the twentieth.
        """
        if len(row) != len(columns):
            self._refuse(line, "", f"has {len(row)} fields, and the header has {len(columns)}")
            return None
        before = len(self._bad)
        entry_id = self._id(line, row[columns["id"]])
        book = _BOOKS.get(row[columns["book"]])
        if book is None:
            self._refuse(line, "book", f"must be bank or ledger: {row[columns['book']][:40]!r}")
        day = self._day(line, row[columns["date"]])
        minor_units = self._minor_units(line, row[columns["amount"]])
        description = row[columns["description"]] if "description" in columns else ""
        if len(description) > DESCRIPTION_LENGTH_MAX:
            self._refuse(line, "description", f"is longer than {DESCRIPTION_LENGTH_MAX:,}")
        elif _CONTROL_BUT_BLANK.search(description):
            self._refuse(line, "description", "holds a control character, or is not UTF-8")
        if len(self._bad) > before or book is None or day is None:
            return None
        return Entry(entry_id, book, day, minor_units, description or None)

    def _id(self, line: int, text: str) -> str:
        if not text.strip():
            self._refuse(line, "id", "is empty")
        elif len(text) > ID_LENGTH_MAX:
            self._refuse(line, "id", f"is longer than {ID_LENGTH_MAX} characters")
        elif _CONTROL.search(text):
            self._refuse(line, "id", "holds a control character, or is not UTF-8")
        return text

    def _day(self, line: int, text: str) -> date | None:
        known = self._days.get(text)
        if known is not None:
            return known
        try:
            if not _DAY.fullmatch(text):
                raise ValueError
            day = date.fromisoformat(text)
        except ValueError:
            self._refuse(line, "date", f"is not a day written YYYY-MM-DD: {text[:40]!r}")
            return None
        self._days[text] = day
        return day

    def _minor_units(self, line: int, text: str) -> int:
        try:
            return parse_minor_units(text, self._currency)
        except BadInput as error:
            self._refuse(line, "amount", error.message.removeprefix("amount "))
            return 0

    def _refuse(self, line: int, column: str, message: str) -> None:
        self._bad.append(BadRow(line, column, message))
        if len(self._bad) >= BAD_ROWS_MAX:
            raise BadRows(self._bad)


def _conflicting_rows(path: Path, currency: str, conflict: EntryConflict) -> list[BadRow]:
    """Reads the file again for the lines of the entries that the store names."""
    wanted = set(conflict.entries)
    stored = conflict.stored
    first: dict[tuple[Book, str], tuple[int, Entry]] = {}
    bad: list[BadRow] = []
    with path.open("rb") as file:
        for line, entry in _Rows(file, currency, lambda _done, _total: None):
            key = (entry.book, entry.id)
            if key not in wanted or len(bad) == BAD_ROWS_MAX:
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
