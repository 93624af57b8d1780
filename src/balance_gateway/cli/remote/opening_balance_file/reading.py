"""Splits a CSV file into records, each with its line, within bounded memory."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from balance_gateway.cli.usage import CommandError, UsageError

#: The separators that are guessed between.
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t"}
_CELL_CHARACTERS_MAX = 10_000
_LINE_BYTES_MAX = 1_000_000
_OTHER_MARKS = (b"\xff\xfe", b"\xfe\xff")
_UTF8_MARK = b"\xef\xbb\xbf"

Record = tuple[int, list[str]]


class UnreadableFile(CommandError):
    """The file cannot be read as CSV; the message names the line."""


class CsvFile:
    """The records of an open file; the first one has the headers.

    Args:
        file: the file.
        separator: the character between cells; None to guess it from the first line.

    Attributes:
        separator: the character between cells.
        headers: the cells of the first line.

    Raises:
        UnreadableFile: the first line cannot be read.
        UsageError: the separator cannot be guessed.
    """

    def __init__(self, file: BinaryIO, separator: str | None) -> None:
        self._file = file
        self._line = 0
        start = file.readline(_LINE_BYTES_MAX + 1).removeprefix(_UTF8_MARK)
        first = self._decode(start)
        if not first.strip():
            raise UnreadableFile("The file must begin with a line of headers; line 1 is empty.")
        self.separator = separator or _guess_separator(first)
        self._records = self._read(first)
        _, self.headers = next(self._records)

    def __iter__(self) -> Iterator[Record]:
        """Yield the line and the cells of each record after the headers; empty lines are not.

        Raises:
            UnreadableFile: a line is not UTF-8, or a quoted cell does not end.
        """
        return self._records

    def _read(self, first: str) -> Iterator[Record]:
        reader = csv.reader(self._list_lines(first), delimiter=self.separator, strict=True)
        while True:
            start = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                # What comes after it may be inside the quotes: it cannot be told from cells.
                raise UnreadableFile(
                    f"Line {start} is not CSV: {error}. Check its quotes; a quote within a quoted"
                    " cell is doubled."
                ) from None
            if cells is None:
                return
            if any(len(cell) > _CELL_CHARACTERS_MAX for cell in cells):
                raise UnreadableFile(
                    f"Line {start} has a cell of more than {_CELL_CHARACTERS_MAX} characters: a"
                    " quote is not closed, or it is another kind of file."
                )
            if any(cell.strip() for cell in cells):
                yield start, cells

    def _list_lines(self, first: str) -> Iterator[str]:
        yield first
        while content := self._file.readline(_LINE_BYTES_MAX + 1):
            yield self._decode(content)

    def _decode(self, content: bytes) -> str:
        self._line += 1
        if self._line == 1 and content.startswith(_OTHER_MARKS):
            raise UnreadableFile("The file is UTF-16: save it as CSV in UTF-8.")
        if len(content) > _LINE_BYTES_MAX:
            raise UnreadableFile(
                f"Line {self._line} has more than {_LINE_BYTES_MAX} bytes: it is no CSV file."
            )
        if b"\0" in content:
            raise UnreadableFile(
                f"Line {self._line} has a NUL byte: save the file as CSV in UTF-8."
            )
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UnreadableFile(
                f"Line {self._line} is not UTF-8, at byte {error.start + 1}: save the file as CSV"
                " in UTF-8."
            ) from None


@contextmanager
def open_csv(path: Path, separator: str | None) -> Iterator[CsvFile]:
    """Open a file; ``-`` is standard input.

    Raises:
        UsageError: it cannot be read.
    """
    is_stdin = str(path) == "-"
    try:
        with open(0, "rb", closefd=False) if is_stdin else path.open("rb") as file:
            yield CsvFile(file, separator)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None


def name_separator(separator: str) -> str:
    """Return the name of a separator, such as semicolon."""
    names = {char: name for name, char in SEPARATORS.items()}
    return names.get(separator, repr(separator))


def _guess_separator(first: str) -> str:
    found = {
        separator: _count_cells(first, separator)
        for separator in SEPARATORS.values()
        if separator in first
    }
    found = {separator: count for separator, count in found.items() if count > 1}
    if not found:
        raise UsageError(
            "The first line has no comma, semicolon or tab between headers: give --separator, and"
            " check that the line has the headers."
        )
    if len(found) > 1:
        names = " and ".join(name_separator(each) for each in found)
        raise UsageError(
            f"The first line has both {names}: give the one between the cells with --separator."
        )
    return next(iter(found))


def _count_cells(line: str, separator: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=separator)))
    except (csv.Error, StopIteration):
        return 0
