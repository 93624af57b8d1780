"""Prints the results of commands: as tables, CSV, lines of JSON, or one JSON document."""

import csv
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Generic, TypeVar

import click
import msgspec

from balance_gateway.cli.remote.tables import TableColumn, lay_out, lay_out_record
from balance_gateway.cli.remote.text import escape, to_csv_cell
from balance_gateway.cli.usage import CommandError, UsageError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_ERROR = "error"
_FRACTION = re.compile(r"\.[0-9]+")


@dataclass(frozen=True, slots=True)
class FieldError:
    """A part of a row that could not be read.

    Attributes:
        field: the dotted path below the row; empty for the row as a whole.
        code: the error code.
        message: what is wrong and what to do.
    """

    field: str
    code: str
    message: str


@dataclass(frozen=True)
class Row(Generic[T]):
    """A row of a result.

    Attributes:
        value: what was read; None if nothing was.
        errors: what could not be read.
        known: cells by column, for a row without a value.
    """

    value: T | None
    errors: Sequence[FieldError] = ()
    known: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON: the fields of GraphQL, and ``errors`` if there are any."""
        shown = dict(self.known) if self.value is None else msgspec.to_builtins(self.value)
        if self.errors:
            shown["errors"] = [
                {"field": error.field or None, "code": error.code, "message": error.message}
                for error in self.errors
            ]
        return shown


@dataclass(frozen=True)
class Column(Generic[T]):
    """A column of a result.

    Attributes:
        name: its name in CSV; its heading has spaces for underscores.
        get: returns the cell of a value; None or an empty text if there is none.
        show: returns the cell in a table, where it differs.
        rank: 0 for a column that every table shows; of the others those of the highest rank are
            left out first where a terminal is too narrow.
        is_amount: whether it is aligned on the right.
        wraps: whether its cells may wrap.
        is_name: whether they may, where no other column can give way.
        in_table: whether tables have it; CSV has every column.
        field: the field of GraphQL that the cell is from, where null has a meaning: the cell is
            empty when the field has an error.
    """

    name: str
    get: Callable[[T], str | None]
    show: Callable[[T], str | None] | None = None
    rank: int = 0
    is_amount: bool = False
    wraps: bool = False
    is_name: bool = False
    in_table: bool = True
    field: str | None = None

    def find_cell(self, row: Row[T], *, for_table: bool) -> str:
        """Return the cell of a row."""
        if row.value is None:
            return row.known.get(self.name, "")
        if any(error.field.split(".")[0] == self.field for error in row.errors):
            return ""
        get = self.show if for_table and self.show is not None else self.get
        return get(row.value) or ""


def output_options(command: F) -> F:
    """Add ``--json`` and ``--format``; the function gets an ``output``."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    @click.option(
        "--format",
        "format_",
        type=click.Choice(["table", "csv", "jsonl"]),
        default=None,
        help="table (default), csv for spreadsheets, or jsonl: a JSON object per line.",
    )
    @wraps(command)
    def with_output(*args: Any, as_json: bool, format_: str | None, **options: Any) -> Any:
        if as_json and format_ is not None:
            raise UsageError("--json and --format exclude each other; leave one of them out.")
        return command(*args, output=Output("json" if as_json else format_ or "table"), **options)

    return with_output  # type: ignore[return-value]


class Output:
    """Prints in one format.

    Args:
        format_: ``table``, ``csv``, ``jsonl`` or ``json``.
    """

    def __init__(self, format_: str) -> None:
        self._format = format_

    @property
    def is_table(self) -> bool:
        """Whether it is for a person to read."""
        return self._format == "table"

    @property
    def is_document(self) -> bool:
        """Whether it is one JSON document."""
        return self._format == "json"

    def print_document(self, document: Any) -> None:
        """Print one JSON document."""
        _echo(json.dumps(document, indent=2))

    def print_line(self, text: str) -> None:
        """Print a line of a table or below one."""
        _echo(escape(text))

    def print_rows(self, columns: Sequence[Column[T]], rows: Iterable[Row[T]], noun: str) -> None:
        """Print a list; CSV and lines of JSON are printed while they are read.

        Args:
            columns: the columns.
            rows: the rows.
            noun: what a row is, in the plural, for messages.

        Raises:
            CommandError: a row has an error; everything was printed.
        """
        printed = list(self._print_while_read(columns, rows))
        if self._format == "json":
            _echo(json.dumps([row.to_json() for row in printed], indent=2))
        elif self._format == "table":
            self._print_table(columns, printed, noun)
        _refuse_failed(printed, noun)

    def print_record(self, columns: Sequence[Column[T]], row: Row[T], document: Any = None) -> None:
        """Print one object.

        Args:
            columns: the columns, one below the other in a table.
            row: the object.
            document: the JSON document; the row by default.

        Raises:
            CommandError: a part of it has an error; everything was printed.
        """
        document = row.to_json() if document is None else document
        if self._format == "json":
            _echo(json.dumps(document, indent=2))
        elif self._format == "jsonl":
            _echo(json.dumps(document))
        elif self._format == "csv":
            list(self._print_while_read(columns, [row]))
        else:
            cells = [
                (column.name.replace("_", " "), escape(column.find_cell(row, for_table=True)))
                for column in columns
                if column.in_table
            ]
            errors = [(_ERROR, escape(_format_error(error))) for error in row.errors]
            pairs = [pair for pair in [*cells, *errors] if pair[1]]
            for line in lay_out_record(pairs, find_width()):
                _echo(line)
        _refuse_failed([row], "")

    def _print_while_read(
        self, columns: Sequence[Column[T]], rows: Iterable[Row[T]]
    ) -> Iterable[Row[T]]:
        if sys.stdout.isatty():
            # Rows would be mixed with the progress that is shown while they are read.
            rows = list(rows)
        if self._format == "csv":
            _echo_csv([*(column.name for column in columns), _ERROR])
        for row in rows:
            if self._format == "csv":
                cells = (column.find_cell(row, for_table=False) for column in columns)
                _echo_csv([*cells, _list_codes(row)])
            elif self._format == "jsonl":
                _echo(json.dumps(row.to_json()))
            yield row

    def _print_table(self, columns: Sequence[Column[T]], rows: Sequence[Row[T]], noun: str) -> None:
        if not rows:
            click.echo(f"No {noun}.", err=True)
            return
        shown = [
            TableColumn(
                title=column.name.replace("_", " "),
                cells=[escape(column.find_cell(row, for_table=True)) for row in rows],
                rank=column.rank,
                is_amount=column.is_amount,
                wraps=column.wraps,
                is_name=column.is_name,
            )
            for column in columns
            if column.in_table
        ]
        # A column that is empty in every row says nothing.
        shown = [column for column in shown if not column.rank or any(column.cells)]
        if any(row.errors for row in rows):
            codes = [escape(_list_codes(row)) for row in rows]
            shown.append(TableColumn(_ERROR, codes, is_name=True))
        layout = lay_out(shown, find_width())
        for line in layout.lines:
            _echo(line)
        if layout.left_out:
            left_out = ", ".join(layout.left_out)
            click.echo(f"Too narrow for: {left_out}. --format csv has everything.", err=True)


def to_seconds(instant: str | None) -> str | None:
    """Return an instant without fractions of a second, for a table."""
    return None if instant is None else _FRACTION.sub("", instant)


def find_width() -> int | None:
    """Return the columns of the terminal; None if the output is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _list_codes(row: Row[Any]) -> str:
    return " ".join(dict.fromkeys(error.code for error in row.errors))


def _format_error(error: FieldError) -> str:
    place = f"{error.field}: " if error.field else ""
    return f"{place}{error.code}: {error.message}"


def _refuse_failed(rows: Sequence[Row[Any]], noun: str) -> None:
    failed = [row for row in rows if row.errors]
    if not failed:
        return
    messages = dict.fromkeys(_format_error(error) for row in failed for error in row.errors)
    count = f"{len(failed)} of {len(rows)} {noun} failed: " if noun else ""
    others = len(messages) - 1
    more = f" (and {others} more kind{'' if others == 1 else 's'} of error)" if others else ""
    raise CommandError(escape(f"{count}{next(iter(messages))}{more}"))


def _echo_csv(cells: Sequence[str]) -> None:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([to_csv_cell(cell) for cell in cells])
    _echo(line.getvalue())


def _echo(text: str) -> None:
    # A terminal in another encoding shows what it lacks as escapes.
    encoding = sys.stdout.encoding or "utf-8"
    is_plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    shown = text.encode(encoding, "backslashreplace").decode(encoding)
    click.echo(shown, color=False if is_plain else None)
