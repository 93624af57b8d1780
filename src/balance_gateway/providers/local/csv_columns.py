"""Converts many CSV rows to entries at a time, column by column, if none of them is unusual."""

import re
from collections.abc import Mapping, Sequence
from datetime import date

from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.ledger import Book, EntryColumns
from balance_gateway.domain.money import AMOUNT_DIGITS_MAX, currency_exponent, parse_minor_units

ID_LENGTH_MAX = 200
DESCRIPTION_LENGTH_MAX = 2_000

BOOKS = {book.value: book for book in Book}
CONTROL = re.compile("[\x00-\x1f\x7f]")
CONTROL_EXCEPT_WHITESPACE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def parse_day(text: str) -> date:
    """Return the day that is written as ``YYYY-MM-DD``.

    Raises:
        ValueError: it is written in another form, or does not exist.
    """
    if not _DAY.fullmatch(text):
        raise ValueError(text)
    return date.fromisoformat(text)


class ColumnParser:
    """Converts rows of one file.

    Args:
        columns: the position of each column by name.
        currency: of the amounts; its exponent is known.
    """

    def __init__(self, columns: Mapping[str, int], currency: str) -> None:
        self._columns = columns
        self._currency = currency
        exponent = currency_exponent(currency)
        #: Lines of amounts with all decimals of the currency.
        amount = rf"[+-]?\d+\.\d{{{exponent}}}" if exponent else r"[+-]?\d+"
        self._are_full_amounts = re.compile(rf"{amount}(?:\n{amount})*", re.ASCII).fullmatch
        # A file has many rows per day.
        self._days: dict[str, date] = {}

    def parse(self, rows: Sequence[Sequence[str]]) -> EntryColumns | None:
        """Return the entries of the rows, as ``RowParser`` would one by one.

        Returns:
            None if a row has an error or is empty, so that ``RowParser`` has to look at each.
        """
        try:
            cells = list(zip(*rows, strict=True))
            if len(cells) != len(self._columns):
                return None
            ids = self._parse_ids(cells[self._columns["id"]])
            books = list(map(BOOKS.__getitem__, cells[self._columns["book"]]))
            days = self._parse_days(cells[self._columns["date"]])
            amounts = self._parse_amounts(cells[self._columns["amount"]])
            descriptions = self._parse_descriptions(cells, len(rows))
        except (ValueError, KeyError, BadInput):
            return None
        return EntryColumns(ids, books, days, amounts, descriptions)

    def _parse_ids(self, cells: Sequence[str]) -> list[str]:
        ids = list(map(str.strip, cells))
        if not all(ids) or max(map(len, ids)) > ID_LENGTH_MAX:
            raise ValueError
        if _has(CONTROL, ids):
            raise ValueError
        return ids

    def _parse_days(self, cells: Sequence[str]) -> list[date]:
        days = self._days
        try:
            return list(map(days.__getitem__, cells))
        except KeyError:
            for text in set(cells) - days.keys():
                days[text] = parse_day(text)
            return list(map(days.__getitem__, cells))

    def _parse_amounts(self, cells: Sequence[str]) -> list[int]:
        # Converting a long number takes quadratic time.
        is_bounded = max(map(len, cells)) <= AMOUNT_DIGITS_MAX
        # One look at all cells takes half the time of one at each.
        lines = "\n".join(cells)
        if is_bounded and self._are_full_amounts(lines):
            amounts = list(map(int, lines.replace(".", "").split("\n")))
            # A cell may have several lines.
            if len(amounts) == len(cells):
                return amounts
        return [parse_minor_units(text, self._currency) for text in cells]

    def _parse_descriptions(
        self, cells: Sequence[Sequence[str]], count: int
    ) -> Sequence[str | None]:
        if "description" not in self._columns:
            return [None] * count
        texts = cells[self._columns["description"]]
        if max(map(len, texts)) > DESCRIPTION_LENGTH_MAX:
            raise ValueError
        if _has(CONTROL_EXCEPT_WHITESPACE, texts):
            raise ValueError
        return texts if all(texts) else [text or None for text in texts]


def _has(characters: re.Pattern[str], texts: Sequence[str]) -> bool:
    """Return whether one of the texts contains one of some control characters."""
    joined = "".join(texts)
    # No control character is printable; to ask that takes half the time of the search.
    return not joined.isprintable() and characters.search(joined) is not None
