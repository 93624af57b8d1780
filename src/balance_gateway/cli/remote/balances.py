"""``balance-gateway balances``: balances as of a day, their history and their totals."""

from collections.abc import Callable, Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from balance_gateway.cli.remote.account_rows import Filter, filter_options, read_accounts
from balance_gateway.cli.remote.accounts import CURRENCY_COLUMN, ID_COLUMN, NAME_COLUMN
from balance_gateway.cli.remote.balance_totals import totals
from balance_gateway.cli.remote.connection_options import connection_options
from balance_gateway.cli.remote.days import DAY, split_range
from balance_gateway.cli.remote.help import example
from balance_gateway.cli.remote.models import (
    BALANCE,
    Account,
    Balance,
    Model,
    find_amount,
)
from balance_gateway.cli.remote.output import Column, FieldError, Output, Row, output_options
from balance_gateway.cli.remote.paging import limit_option
from balance_gateway.cli.remote.progress import show_progress
from balance_gateway.cli.remote.text import escape
from balance_gateway.cli.usage import CommandError, UsageError

if TYPE_CHECKING:
    from balance_gateway.cli.remote.client import GatewayClient

#: The days of one balanceSeries.
_POINTS_MAX = 366
_STEP_DAYS = {"DAY": 1, "WEEK": 7, "MONTH": None}
_BOOKS = ("bank", "ledger", "difference")


@click.group()
def balances() -> None:
    """Show the balances of accounts of a running gateway."""


def _build_columns(find: Callable[[Any], Balance | None]) -> list[Column[Any]]:
    """Return the columns of a balance; ``find`` takes it from a row."""

    def build(book: str) -> list[Column[Any]]:
        def get(row: Any) -> str | None:
            balance = find(row)
            return None if balance is None else find_amount(getattr(balance, book))

        def get_reason(row: Any) -> str | None:
            balance = find(row)
            return None if balance is None else getattr(balance, f"{book}_missing")

        def show(row: Any) -> str | None:
            return get(row) or get_reason(row)

        rank = 5 if book == "difference" else 0
        return [
            Column(book, get, show=show, is_amount=True, rank=rank),
            Column(f"{book}_missing", get_reason, in_table=False),
        ]

    return [
        *(column for book in _BOOKS for column in build(book)),
        Column("state", lambda row: b.freshness.state if (b := find(row)) else None, rank=6),
        Column(
            "age_seconds", lambda row: str(b.freshness.age_seconds) if (b := find(row)) else None,
            rank=7, is_amount=True,
        ),
        Column(
            "stale_reason", lambda row: b.freshness.stale_reason if (b := find(row)) else None,
            in_table=False,
        ),
    ]  # fmt: skip


def _find_balance(account: Account) -> Balance | None:
    return account.balance if isinstance(account.balance, Balance) else None


_SHOW_COLUMNS = (
    ID_COLUMN,
    NAME_COLUMN,
    CURRENCY_COLUMN,
    Column[Account]("as_of", lambda each: b.as_of if (b := _find_balance(each)) else None, rank=8),
    *_build_columns(_find_balance),
)


@balances.command(
    "show",
    epilog=example(
        "balances show",
        "balances show light-operating-eur asset-company-card --as-of 2026-05-07",
        "balances show --currency EUR --format csv > balances.csv",
    ),
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@filter_options
@click.option("--as-of", type=DAY, help="The day; by default today in each account's time zone.")
@click.option(
    "--max-age",
    type=click.IntRange(0, 2**31 - 1),
    metavar="SECONDS",
    help="Read values older than this from the provider; 0 reads each.",
)
@click.option("--no-stale", is_flag=True, help="Take an error instead of a stale value.")
@limit_option
@output_options
@connection_options
def show(
    client: "GatewayClient",
    output: Output,
    ids: tuple[str, ...],
    account_filter: Filter,
    as_of: date | None,
    max_age: int | None,
    no_stale: bool,
    limit: int | None,
) -> None:
    """Show the balances of accounts at the end of a day; without ids, of all accounts.

    The exit code is 1 if a balance cannot be read; the others are printed.
    """
    rows = read_accounts(
        client,
        "{ id name currency provider"
        f" balance(asOf: $asOf, maxAgeSeconds: $maxAge, onStale: $onStale) {BALANCE} }}",
        ids=ids,
        account_filter=account_filter,
        limit=limit,
        declared="$asOf: Date, $maxAge: Int, $onStale: OnStale",
        asOf=None if as_of is None else as_of.isoformat(),
        maxAge=max_age,
        onStale="ERROR" if no_stale else "SERVE",
    )
    output.print_rows(_SHOW_COLUMNS, rows, "accounts")


class _Problem(Model, frozen=True):
    code: str
    message: str


class _Point(Model, frozen=True):
    day: str
    balance: Balance | None
    problem: _Problem | None


class _Series(Model, frozen=True):
    points: list[_Point]


class _SeriesAccount(Model, frozen=True):
    currency: str
    balance_series: _Series | None


class _Today(Model, frozen=True):
    as_of: date


class _TodayAccount(Model, frozen=True):
    balance: _Today | None


@balances.command(
    "history",
    epilog=example(
        "balances history light-operating-eur --from 2026-05-01 --to 2026-05-07",
        "balances history local-petty-cash --from 2026-01-31 --step month --format csv",
    ),
)
@click.argument("account_id", metavar="ID")
@click.option("--from", "first", type=DAY, required=True, help="The first day.")
@click.option("--to", "last", type=DAY, help="The last day, always included; by default today.")
@click.option(
    "--step",
    type=click.Choice(["day", "week", "month"]),
    default="day",
    show_default=True,
    help="The interval between the days.",
)
@output_options
@connection_options
def history(
    client: "GatewayClient",
    output: Output,
    account_id: str,
    first: date,
    last: date | None,
    step: str,
) -> None:
    """Show the balances of an account on several days, oldest first.

    The exit code is 1 if the balance of a day cannot be read; the others are printed.
    """
    last = last or _find_today(client, account_id)
    if last < first:
        raise UsageError(f"--to must not be before --from: {last} is before {first}.")
    columns = (
        Column[_Point]("day", lambda point: point.day),
        *_build_columns(lambda point: point.balance),
    )
    rows = _read_series(client, account_id, first, last, step.upper())
    output.print_rows(columns, rows, "days")


def _find_today(client: "GatewayClient", account_id: str) -> date:
    # The gateway's clock decides which day is today.
    document = "query ($id: ID!) { bankAccount(id: $id) { balance { asOf } } }"
    answer = client.read(document, id=account_id)
    account: _TodayAccount = answer.take("bankAccount", _TodayAccount)
    if account.balance is None:
        raise CommandError("The balance of today cannot be read: give the last day with --to.")
    return account.balance.as_of


def _read_series(
    client: "GatewayClient", account_id: str, first: date, last: date, step: str
) -> Iterator[Row[_Point]]:
    document = (
        "query ($id: ID!, $from: Date!, $to: Date!, $step: HistoryStep)"
        " { bankAccount(id: $id) { currency balanceSeries(from: $from, to: $to, step: $step)"
        f" {{ points {{ day balance {BALANCE} problem {{ code message }} }} }} }} }}"
    )
    with show_progress("days") as update:
        for start, end in split_range(first, last, _STEP_DAYS[step], _POINTS_MAX):
            days = {"from": start.isoformat(), "to": end.isoformat()}
            answer = client.read(document, id=account_id, step=step, **days)
            account: _SeriesAccount = answer.take("bankAccount", _SeriesAccount)
            if account.balance_series is None:
                errors = answer.find_errors("bankAccount", "balanceSeries")
                reasons = [f"{error.code}: {error.message}" for error in errors]
                raise CommandError(escape(" ".join(reasons) or "There is no history."))
            for point in account.balance_series.points:
                problem = point.problem
                failed = [FieldError("", problem.code, problem.message)] if problem else []
                yield Row(point, failed, {"day": point.day})
            update((end - first).days + 1, (last - first).days + 1)


balances.add_command(totals)
