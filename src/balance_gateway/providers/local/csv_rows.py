"""Reads the rows of a CSV file as entries, and collects the errors of bad rows."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate, chain, islice
from typing import Any

from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.ledger import Entry, EntryColumns
from balance_gateway.domain.money import parse_minor_units
from balance_gateway.providers.local.csv_columns import (
    BOOKS,
    CONTROL,
    CONTROL_EXCEPT_WHITESPACE,
    DESCRIPTION_LENGTH_MAX,
    ID_LENGTH_MAX,
    ColumnParser,
    parse_day,
)
from balance_gateway.providers.local.csv_text import CsvText, UnknownEncoding

#: Maximum number of bad rows that are collected before the reading stops.
BAD_ROWS_MAX = 20

REQUIRED_COLUMNS = ("id", "book", "date", "amount")
OPTIONAL_COLUMNS = ("description",)

_ROWS_PER_BATCH = 2_000

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


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Consecutive rows of a file.

    Attributes:
        lines: the first line of each row, counted from 1.
        entries: the entries, one for each row.
    """

    lines: Sequence[int]
    entries: EntryColumns


class RowReader:
    """Reads all rows of a text.

    Args:
        text: the text of the file.
        currency: of the amounts; its exponent is known.
        on_progress: called after each batch.
    """

    def __init__(self, text: CsvText, currency: str, on_progress: OnProgress) -> None:
        self._text = text
        self._currency = currency
        self._on_progress = on_progress
        self._bad = BadRowList()

    def read_batches(self) -> Iterator[RowBatch]:
        """Yield the rows in batches, and nothing after the first bad row.

        Raises:
            BadRows: at the end, or after ``BAD_ROWS_MAX`` bad rows.
        """
        reader = csv.reader(chain.from_iterable(self._text.read_lines()), strict=True)
        newline = self._text.newline
        header = _take_rows(reader, 1, newline)
        self._refuse_problem(header)
        columns = self._read_header(header.rows[0] if header.rows else [])
        parser = _BatchParser(columns, self._currency, self._bad)
        while (taken := _take_rows(reader, _ROWS_PER_BATCH, newline)).rows or taken.problem:
            batch = parser.parse(taken.lines, taken.rows)
            self._refuse_problem(taken)
            if not self._bad.rows:
                yield batch
            self._on_progress(self._text.count_bytes_read(), self._text.bytes_total)
        if self._bad.rows:
            raise BadRows(self._bad.rows)
        self._on_progress(self._text.bytes_total, self._text.bytes_total)

    def _refuse_problem(self, taken: "_TakenRows") -> None:
        problem = taken.problem
        if problem is None:
            return
        if isinstance(problem, UnknownEncoding):
            # The other lines are in the same encoding, and their reports would be worth nothing.
            row = BadRow(problem.line, "", str(problem))
        else:
            # After an unbalanced quote the row boundaries are unknown.
            message = f"not CSV ({problem}); the rest of the file was not read"
            row = BadRow(taken.next_line, "", message)
        raise BadRows([*self._bad.rows, row])

    def _read_header(self, header: list[str]) -> dict[str, int]:
        """Return the position of each column.

        Raises:
            BadRows: The header is invalid, so that the rows cannot be interpreted.
        """
        known = (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS)
        for name in header:
            if name not in known:
                expected = f"the columns are {','.join(known)}, separated by commas"
                self._bad.add(1, "", f"unknown column {name[:40]!r}; {expected}")
            elif header.count(name) > 1:
                self._bad.add(1, name, "duplicate column in the header")
        for name in REQUIRED_COLUMNS:
            if name not in header:
                self._bad.add(1, name, "the column is missing from the header")
        if self._bad.rows:
            raise BadRows(self._bad.rows)
        return {name: position for position, name in enumerate(header)}


class BadRowList:
    """Collects bad rows.

    Attributes:
        rows: the bad rows in the file's order, fewer than ``BAD_ROWS_MAX``.
    """

    def __init__(self) -> None:
        self.rows: list[BadRow] = []

    def add(self, line: int, column: str, message: str) -> None:
        """Add a bad row.

        Raises:
            BadRows: ``BAD_ROWS_MAX`` is reached.
        """
        self.rows.append(BadRow(line, column, message))
        if len(self.rows) >= BAD_ROWS_MAX:
            raise BadRows(self.rows)


class RowParser:
    """Converts rows one by one, and reports every error of each.

    Args:
        columns: the position of each column by name.
        currency: of the amounts; its exponent is known.
        bad: receives the errors.
    """

    def __init__(self, columns: Mapping[str, int], currency: str, bad: BadRowList) -> None:
        self._columns = columns
        self._currency = currency
        self._bad = bad

    def parse(self, line: int, row: Sequence[str]) -> Entry | None:
        """Return the row as an entry; None if it is empty, or bad, after reporting the errors.

        Raises:
            BadRows: ``BAD_ROWS_MAX`` is reached.
        """
        # Excel writes rows with emptied cells as commas.
        if not any(cell and not cell.isspace() for cell in row):
            return None
        columns = self._columns
        if len(row) != len(columns):
            self._bad.add(line, "", f"has {len(row)} fields, but the header has {len(columns)}")
            return None
        before = len(self._bad.rows)
        entry_id = self._parse_id(line, row[columns["id"]])
        book = BOOKS.get(row[columns["book"]])
        if book is None:
            self._bad.add(line, "book", f"must be bank or ledger: {row[columns['book']][:40]!r}")
        day = self._parse_day(line, row[columns["date"]])
        minor_units = self._parse_amount(line, row[columns["amount"]])
        description = row[columns["description"]] if "description" in columns else ""
        if len(description) > DESCRIPTION_LENGTH_MAX:
            message = f"is longer than {DESCRIPTION_LENGTH_MAX:,} characters"
            self._bad.add(line, "description", message)
        elif CONTROL_EXCEPT_WHITESPACE.search(description):
            self._bad.add(line, "description", "contains a control character")
        if len(self._bad.rows) > before or book is None or day is None:
            return None
        return Entry(entry_id, book, day, minor_units, description or None)

    def _parse_id(self, line: int, cell: str) -> str:
        text = cell.strip()
        if not text:
            self._bad.add(line, "id", "is empty")
        elif len(text) > ID_LENGTH_MAX:
            self._bad.add(line, "id", f"is longer than {ID_LENGTH_MAX} characters")
        elif CONTROL.search(text):
            self._bad.add(line, "id", "contains a control character")
        return text

    def _parse_day(self, line: int, text: str) -> date | None:
        try:
            return parse_day(text)
        except ValueError:
            self._bad.add(line, "date", f"must be a date in the form YYYY-MM-DD: {text[:40]!r}")
            return None

    def _parse_amount(self, line: int, text: str) -> int:
        try:
            return parse_minor_units(text, self._currency)
        except BadInput as error:
            self._bad.add(line, "amount", error.message.removeprefix("amount "))
            return 0


class _BatchParser:
    """Converts batches by column where it can, which takes a third of the time."""

    def __init__(self, columns: Mapping[str, int], currency: str, bad: BadRowList) -> None:
        self._by_column = ColumnParser(columns, currency)
        self._by_row = RowParser(columns, currency, bad)

    def parse(self, lines: Sequence[int], rows: Sequence[Sequence[str]]) -> RowBatch:
        """Return the good rows.

        Args:
            lines: the first line of each row.
            rows: the rows.

        Raises:
            BadRows: ``BAD_ROWS_MAX`` is reached.
        """
        entries = self._by_column.parse(rows)
        if entries is not None:
            return RowBatch(lines, entries)
        parsed = [
            (line, self._by_row.parse(line, row)) for line, row in zip(lines, rows, strict=True)
        ]
        good = [(line, entry) for line, entry in parsed if entry is not None]
        entries = EntryColumns.of([entry for _, entry in good])
        return RowBatch([line for line, _ in good], entries)


@dataclass(frozen=True, slots=True)
class _TakenRows:
    """Some rows of a file.

    Attributes:
        lines: the first line of each row.
        rows: the rows.
        next_line: the first line of the row after them.
        problem: why the row after them cannot be read; None if it can, or if there is none.
    """

    lines: Sequence[int]
    rows: Sequence[list[str]]
    next_line: int
    problem: csv.Error | UnknownEncoding | None


def _take_rows(reader: Any, count: int, newline: str) -> _TakenRows:
    first_line = reader.line_num + 1
    rows: list[list[str]] = []
    problem = None
    try:
        # Keeps the rows before one that cannot be read, and takes no time between two rows.
        rows.extend(islice(reader, count))
    except (csv.Error, UnknownEncoding) as error:
        problem = error
    if reader.line_num + 1 - first_line == len(rows):
        lines = range(first_line, first_line + len(rows) + 1)
        return _TakenRows(lines[:-1], rows, lines[-1], problem)
    # A row of several lines has their ends in its cells.
    counts = (1 + sum(cell.count(newline) for cell in row) for row in rows)
    *starts, next_line = accumulate(counts, initial=first_line)
    return _TakenRows(starts, rows, next_line, problem)
