"""Converts the records of a file to rows of a plan; each bad row is a problem with its line."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from balance_gateway.cli.remote.days import find_day_start, format_utc, parse_instant
from balance_gateway.cli.remote.opening_balance_file.amounts import (
    DecimalMark,
    InvalidAmount,
    WrittenAmount,
    parse_written,
)
from balance_gateway.cli.remote.opening_balance_file.reading import CsvFile
from balance_gateway.cli.usage import CommandError, UsageError
from balance_gateway.domain.accounts import ACCOUNT_ID
from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.money import parse_minor_units
from balance_gateway.domain.opening_balance_plans import PLAN_ROWS_MAX

#: A row of ``PlanOpeningBalancesInput``.
SentRow = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReadRow:
    """A row as the file has it.

    Attributes:
        line: the line on which it begins.
        account_id: the account.
        amount: the amount as written.
        effective: the day or the instant; None without one.
        currency: the currency; empty without one.
        memo: the note; empty without one.
        reference: the reference number; empty without one.
    """

    line: int
    account_id: str
    amount: WrittenAmount
    effective: date | datetime | None
    currency: str
    memo: str
    reference: str


@dataclass(slots=True)
class Problems:
    """The problems of a file, at most one for each line."""

    by_line: dict[int, str] = field(default_factory=dict)

    def add(self, line: int, problem: str) -> None:
        """Add the problem of a line."""
        self.by_line.setdefault(line, problem)


class _BadRow(Exception):
    """A row is wrong; the message is its problem."""


@dataclass(frozen=True, slots=True)
class PlanAccount:
    """What a row needs of its account.

    Attributes:
        currency: its currency.
        time_zone: the name of its time zone.
    """

    currency: str
    time_zone: str


def read_rows(file: CsvFile, columns: Mapping[str, int], problems: Problems) -> list[ReadRow]:
    """Read the rows that can be read; the others are problems.

    Raises:
        CommandError: the file cannot be read as CSV, has no row, or more than a plan may have.
    """
    rows: list[ReadRow] = []
    lines: dict[str, int] = {}
    count = 0
    for line, cells in file:
        count += 1
        if count > PLAN_ROWS_MAX:
            raise CommandError(
                f"The file has more than {PLAN_ROWS_MAX} rows, the most of a plan: make several"
                " files."
            )
        try:
            row = _read_row(line, cells, file.headers, columns)
            first_line = lines.setdefault(row.account_id, line)
            if first_line != line:
                raise _BadRow(f"account {row.account_id} is on line {first_line} too")
        except _BadRow as bad:
            problems.add(line, str(bad))
        else:
            rows.append(row)
    if not count:
        raise CommandError("The file has no row after its headers.")
    return rows


def _read_row(
    line: int, cells: Sequence[str], headers: Sequence[str], columns: Mapping[str, int]
) -> ReadRow:
    if len(cells) != len(headers):
        raise _BadRow(f"{len(cells)} cells, but {len(headers)} headers in the first line")
    values = {name: cells[index].strip() for name, index in columns.items()}
    account_id = values["account"]
    if not ACCOUNT_ID.fullmatch(account_id):
        raise _BadRow(f"the account {account_id!r} is not an account id" if account_id
                      else "the account is empty")  # fmt: skip
    if not values["amount"]:
        raise _BadRow("the amount is empty")
    try:
        amount = parse_written(values["amount"])
    except InvalidAmount as invalid:
        raise _BadRow(f"the amount {values['amount'][:40]!r} {invalid}") from None
    try:
        text = values.get("date", "")
        found = parse_instant(f"the date {text[:40]!r}", text) if text else None
    except UsageError as wrong:
        raise _BadRow(wrong.message.rstrip(".")) from None
    return ReadRow(
        line,
        account_id,
        amount,
        found,
        values.get("currency", "").upper(),
        values.get("memo", ""),
        values.get("reference", ""),
    )


def convert_rows(
    rows: Sequence[ReadRow],
    accounts: Mapping[str, PlanAccount],
    mark: DecimalMark,
    problems: Problems,
) -> Iterator[SentRow]:
    """Yield the rows of a plan; rows that cannot be converted become problems instead.

    Args:
        rows: the rows as read.
        accounts: the known accounts.
        mark: the decimal mark of the file.
        problems: where problems are added.
    """
    find_start = _build_day_starts()
    for row in rows:
        try:
            account = accounts.get(row.account_id)
            if account is None:
                raise _BadRow(f"there is no account {row.account_id}")
            yield _convert_row(row, account, mark, find_start)
        except _BadRow as bad:
            problems.add(row.line, str(bad))


def _convert_row(
    row: ReadRow, account: PlanAccount, mark: DecimalMark, find_start: Callable[[date, str], str]
) -> SentRow:
    currency = account.currency
    if row.currency not in ("", currency):
        raise _BadRow(f"the currency is {row.currency[:20]!r}, but that of the account {currency}")
    if row.amount.currencies is not None and currency not in row.amount.currencies:
        found = " or ".join(sorted(row.amount.currencies)[:3])
        raise _BadRow(f"the amount is in {found}, but the currency of the account is {currency}")
    try:
        text = row.amount.to_decimal_text(mark)
        parse_minor_units(text, currency, field="the amount")
    except InvalidAmount as invalid:
        raise _BadRow(f"the amount {row.amount.digits[:40]!r} {invalid}") from None
    except BadInput as wrong:
        raise _BadRow(wrong.message.rstrip(".")) from None
    sent: SentRow = {
        "line": row.line,
        "accountId": row.account_id,
        "amount": {"amount": text, "currency": currency},
    }
    if isinstance(row.effective, datetime):
        sent["effectiveAt"] = _format_instant(row.effective)
    elif row.effective is not None:
        sent["effectiveAt"] = find_start(row.effective, account.time_zone)
    if row.memo:
        sent["memo"] = row.memo
    if row.reference:
        sent["referenceNumber"] = row.reference
    return sent


def _format_instant(instant: datetime) -> str:
    try:
        return format_utc(instant)
    except OverflowError:
        raise _BadRow("the date must be within the years 0001 to 9999 in UTC") from None


def _build_day_starts() -> Callable[[date, str], str]:
    """Return a function that finds the start of a day, and remembers it: most rows have one day."""
    known: dict[tuple[date, str], str] = {}

    def find(day: date, time_zone: str) -> str:
        key = (day, time_zone)
        if key not in known:
            try:
                known[key] = find_day_start("the date", day, time_zone)
            except (UsageError, CommandError) as wrong:
                raise _BadRow(wrong.message.rstrip(".")) from None
        return known[key]

    return find
