"""Rows that are converted column by column become the entries that each row becomes alone."""

import random

import pytest

from balance_gateway.providers.local.csv_columns import ColumnParser
from balance_gateway.providers.local.csv_rows import BadRowList, RowParser

COLUMNS = {"amount": 0, "id": 1, "book": 2, "date": 3, "description": 4}

GOOD = ["-1234.56", "a 1", "bank", "2024-02-29", "two\nlines"]

#: Other cells of a column: accepted ones in every form, and every kind of error.
CELLS = (
    ("0.00", "-0.05", "+7.10", "007.50", "99.5", ".5", "5.", "3", "1.500", "9" * 998 + ".00",
     "", "1.005", "1,00", "1.00,2.00", "1_0.00", "1e3", " 1.00", "1.00\n", "1.00\n2.00", "٣.00",
     "9" * 1001),
    ("b", " b\u00a0", "x" * 200, "\x1fb", "Å", "", " ", "x" * 201, "a\tb", "a\x00b", "\x7fb"),
    ("ledger", "", "Bank", "bank ", "cash"),
    ("0001-01-01", "9999-12-31", "", "20240229", "2023-02-29", "2024-W01-2", "٢٠٢٤-01-02"),
    ("", " ", "tab\tand\r\nline", "y" * 2_000, "y" * 2_001, "\x07", "\x00", "\x7f"),
)  # fmt: skip


def parse_together(rows, columns=COLUMNS, currency="EUR"):
    entries = ColumnParser(columns, currency).parse(rows)
    return None if entries is None else entries.list_entries()


def parse_alone(rows, columns=COLUMNS, currency="EUR"):
    parser = RowParser(columns, currency, BadRowList())
    return [parser.parse(1, row) for row in rows]


@pytest.mark.parametrize(
    ("currency", "amount"),
    [("EUR", "-1234.56"), ("JPY", "-12"), ("KWD", "+1.234"), ("CLF", "0.0001")],
)
def test_columns_give_the_entries_of_single_rows(currency, amount):
    """A batch with any row that a single look refuses is left to the single looks."""
    pick = random.Random(11)
    parser = ColumnParser(COLUMNS, currency)
    converted = 0
    for column, cells in enumerate(CELLS):
        for cell in cells:
            row = [amount, *GOOD[1:]]
            row[column] = cell
            other = [amount, f"c{pick.random()}", "ledger", "2024-01-01", ""]
            batch = pick.sample([other, row], 2)
            alone = parse_alone(batch, currency=currency)
            together = parser.parse(batch)
            together = None if together is None else together.list_entries()
            assert together == (None if None in alone else alone), row
            converted += together is not None

    assert converted >= 8


@pytest.mark.parametrize(
    "rows", [[GOOD, []], [GOOD, GOOD[:-1]], [[*GOOD, ""]], [GOOD, [""] * 5], []]
)
def test_rows_of_other_lengths_are_left_to_the_single_looks(rows):
    assert parse_together(rows) is None


def test_a_file_without_descriptions_has_none():
    columns = {name: place for name, place in COLUMNS.items() if name != "description"}
    rows = [GOOD[:-1], ["1.00", "b", "ledger", "2024-01-01"]]

    assert parse_together(rows, columns) == parse_alone(rows, columns)
