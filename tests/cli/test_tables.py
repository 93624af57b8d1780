"""Tables of any width: nothing that must stay whole is cut."""

from datetime import date, timedelta

import click
import pytest
from rich.cells import cell_len

from balance_gateway.cli.remote.days import split_range
from balance_gateway.cli.remote.tables import TableColumn, lay_out, lay_out_record

ID, AMOUNT = "acct_operating_with_a_long_id", "-90076292071857.69"
NAMES = ("Operating account of the company", "口座 運用 ユーロ")
COLUMNS = (
    TableColumn("id", [ID, "b"], is_name=True),
    TableColumn("name", NAMES, rank=9, wraps=True),
    TableColumn("unit", ["EUR", "EUR"]),
    TableColumn("amount", [AMOUNT, "0.50"], is_amount=True),
    TableColumn("state", ["LIVE", "STALE"], rank=2),
)


def lines_of(width: int | None) -> list[str]:
    return [click.unstyle(line) for line in lay_out(COLUMNS, width).lines]


@pytest.mark.parametrize("width", [200, 80, 72, 60, 50, 20, None])
def test_lines_fit_the_terminal_and_amounts_are_whole(width: int | None) -> None:
    lines = lines_of(width)

    assert any(AMOUNT in line for line in lines)
    assert any(ID in line for line in lines) is (width != 50)
    if width is not None and width >= 50:
        assert max(map(cell_len, lines)) <= width


def test_a_narrow_terminal_wraps_then_leaves_out_then_stacks() -> None:
    assert lay_out(COLUMNS, 200).left_out == []
    assert lines_of(85)[1:3] == [
        f"{ID}  Operating account of   EUR   {AMOUNT}  LIVE",
        f"{'':29}  the company",
    ]
    assert lay_out(COLUMNS, 60).left_out == ["name", "state"]
    assert lines_of(46)[1:4] == [
        f"acct_operating_with_  EUR   {AMOUNT}",
        "a_long_id",
        "b                     EUR                 0.50",
    ]
    assert lines_of(30)[:6] == [
        f"id      {ID}",
        "name    Operating account of",
        "        the company",
        "unit    EUR",
        f"amount  {AMOUNT}",
        "state   LIVE",
    ]


def test_a_pipe_has_a_line_for_each_row() -> None:
    lines = lines_of(None)

    assert len(lines) == 3
    assert NAMES[0] in lines[1]
    assert lines[2].index("STALE") < lines[1].index("LIVE"), "wide characters take two columns"


def test_long_words_of_a_record_are_broken_and_others_stay_whole() -> None:
    path = "/v1/businesses/b8187f04-1d24-41d6-a24c-b873d8a4abe2/ledger"
    pairs = [("asked", f"GET {path} at 2026-11-27T19:44:43Z")]

    lines = lay_out_record(pairs, 40, breaks_words=True)

    assert max(map(cell_len, lines)) <= 40
    assert lines[-1].endswith(" 2026-11-27T19:44:43Z")
    assert "".join(line.strip() for line in lines).replace(" ", "").startswith(f"askedGET{path}at")


@pytest.mark.parametrize("step", [1, 7])
@pytest.mark.parametrize("days", [0, 1, 4, 5, 6, 34, 35, 36, 41, 70, 71])
def test_split_ranges_have_the_points_of_the_whole_range(step: int, days: int) -> None:
    def list_points(first: date, last: date) -> list[date]:
        between = range(0, (last - first).days + 1, step)
        points = [first + timedelta(days=number) for number in between]
        return points if points[-1] == last else [*points, last]

    first, last = date(2026, 1, 1), date(2026, 1, 1) + timedelta(days=days)
    parts = [list_points(*part) for part in split_range(first, last, step, 6)]

    assert [point for part in parts for point in part] == list_points(first, last)
    assert max(map(len, parts)) <= 6


def test_a_range_may_end_with_the_calendar() -> None:
    [*_, (_, last)] = split_range(date(9990, 1, 1), date.max, 1, 366)

    assert last == date.max
