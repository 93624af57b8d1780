"""Lays out tables for a terminal of any width; cells that must stay whole are never cut."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import click
from rich.cells import cell_len, chop_cells

_GAP = "  "
_SPACES = re.compile(r"(?<= )")
_BREAKS = re.compile(r"(?<=[ _-])")
#: The least width of a column with text that may wrap.
_WRAPPED_WIDTH_MIN = 10


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table.

    Attributes:
        title: the heading.
        cells: its cells, one for each row.
        rank: 0 for a column that is always shown; of the others those of the highest rank are
            left out first.
        is_amount: whether the cells are aligned on the right.
        wraps: whether a long cell may continue on the next line.
        is_name: whether it may do so where no other column can give way; a name in one piece can
            be copied.
    """

    title: str
    cells: Sequence[str]
    rank: int = 0
    is_amount: bool = False
    wraps: bool = False
    is_name: bool = False

    def measure(self) -> int:
        """Return the width of the widest cell in columns of the terminal."""
        return max(cell_len(self.title), *map(cell_len, self.cells), 0)


@dataclass(frozen=True, slots=True)
class Layout:
    """A table as text.

    Attributes:
        lines: its lines.
        left_out: the titles of the columns that did not fit.
    """

    lines: Sequence[str]
    left_out: Sequence[str] = ()


def lay_out(columns: Sequence[TableColumn], width: int | None) -> Layout:
    """Lay out a table; as a block of lines for each row if even the main columns do not fit.

    Args:
        columns: the columns; all have the same number of cells.
        width: the columns of the terminal; None for lines of any length.
    """
    shown = list(columns)
    while width is not None and _measure_least(shown) > width and any(c.rank for c in shown):
        shown.remove(max(shown, key=lambda column: column.rank))
    left_out = [column.title for column in columns if column not in shown]
    if width is not None and _measure_least(shown) > width:
        shown = [replace(column, wraps=column.wraps or column.is_name) for column in shown]
    if width is not None and _measure_least(shown) > width:
        return Layout(_lay_out_records(columns, width))
    widths = _share_width(shown, width)
    rows = [_heading(shown, widths)]
    for index in range(len(shown[0].cells)):
        rows += _lay_out_row(shown, widths, index)
    return Layout(rows, left_out)


def lay_out_record(
    pairs: Sequence[tuple[str, str]], width: int | None, *, breaks_words: bool = False
) -> Sequence[str]:
    """Lay out one object: a line for each title and value; longer values wrap between words.

    Args:
        pairs: titles and values.
        width: the columns of the terminal; None for lines of any length.
        breaks_words: whether words that are wider may be broken.
    """
    title_width = max((cell_len(title) for title, _ in pairs), default=0)
    indent = " " * title_width + _GAP
    lines: list[str] = []
    for title, value in pairs:
        room = None if width is None else max(width - len(indent), 1)
        first, *others = (
            [value] if room is None else _wrap(value, room, breaks_long_words=breaks_words)
        )
        lines += [_pad(title, title_width) + _GAP + first, *(indent + line for line in others)]
    return lines


def _measure_least(columns: Sequence[TableColumn]) -> int:
    widths = [
        min(column.measure(), _WRAPPED_WIDTH_MIN) if column.wraps else column.measure()
        for column in columns
    ]
    return sum(widths) + len(_GAP) * (len(columns) - 1)


def _share_width(columns: Sequence[TableColumn], width: int | None) -> list[int]:
    """Return the width of each column: columns that wrap share what is left."""
    widths = [column.measure() for column in columns]
    if width is None:
        return widths
    excess = sum(widths) + len(_GAP) * (len(columns) - 1) - width
    while excess > 0:
        index = max(
            (index for index, column in enumerate(columns) if column.wraps),
            key=lambda index: widths[index],
        )
        widths[index] -= 1
        excess -= 1
    return widths


def _heading(columns: Sequence[TableColumn], widths: Sequence[int]) -> str:
    cells = [
        _align(column, column.title, width) for column, width in zip(columns, widths, strict=True)
    ]
    return click.style(_GAP.join(cells).rstrip(), bold=True)


def _lay_out_row(columns: Sequence[TableColumn], widths: Sequence[int], index: int) -> list[str]:
    parts = [
        _wrap(column.cells[index], width, breaks_words=True)
        if column.wraps
        else [column.cells[index]]
        for column, width in zip(columns, widths, strict=True)
    ]
    height = max(map(len, parts))
    return [
        _GAP.join(
            _align(column, part[line] if line < len(part) else "", width)
            for column, part, width in zip(columns, parts, widths, strict=True)
        ).rstrip()
        for line in range(height)
    ]


def _wrap(
    text: str, width: int, *, breaks_words: bool = False, breaks_long_words: bool = False
) -> list[str]:
    """Break a text after spaces; if words may be broken, also after - and _, else anywhere."""
    parts = re.split(_BREAKS if breaks_words else _SPACES, text)
    if breaks_long_words:
        parts = [
            piece
            for part in parts
            for piece in (re.split(_BREAKS, part) if cell_len(part) > width else [part])
        ]
    lines = [""]
    for part in parts:
        line = lines[-1] + part
        if cell_len(line.rstrip()) <= width:
            lines[-1] = line
        elif breaks_words or breaks_long_words:
            lines += chop_cells(part, width)
        else:
            lines.append(part)
    return [line.rstrip() for line in lines if line.strip()] or [""]


def _lay_out_records(columns: Sequence[TableColumn], width: int) -> list[str]:
    lines: list[str] = []
    for index in range(len(columns[0].cells)):
        pairs = [(column.title, column.cells[index]) for column in columns]
        lines += [*lay_out_record([pair for pair in pairs if pair[1]], width), ""]
    return lines[:-1]


def _align(column: TableColumn, text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text if column.is_amount else _pad(text, width)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
