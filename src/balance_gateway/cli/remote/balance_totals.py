"""``balance-gateway balances totals``: the sum of the balances of each currency."""

from datetime import date
from typing import TYPE_CHECKING

import click

from balance_gateway.cli.remote.account_rows import Filter, filter_options
from balance_gateway.cli.remote.connection_options import connection_options
from balance_gateway.cli.remote.days import DAY
from balance_gateway.cli.remote.help import example
from balance_gateway.cli.remote.models import MONEY, Model, Money, find_amount
from balance_gateway.cli.remote.output import Column, FieldError, Output, Row, output_options

if TYPE_CHECKING:
    from balance_gateway.cli.remote.client import GatewayClient


class _MissingAccount(Model, frozen=True):
    id: str


class _Missing(Model, frozen=True):
    bank_account: _MissingAccount
    code: str
    reason: str | None


class _Total(Model, frozen=True):
    currency: str
    bank: Money | None
    ledger: Money | None
    complete: bool
    included: int
    bank_included: int
    ledger_included: int
    stale_included: int
    overlapping: list[str]
    first_day: str
    last_day: str
    missing: list[_Missing]


_TOTAL = (
    f"{{ currency bank {MONEY} ledger {MONEY} complete included bankIncluded ledgerIncluded"
    " staleIncluded overlapping firstDay lastDay"
    " missing { bankAccount { id } code reason } }"
)


def _list_missing(total: _Total) -> str:
    return " ".join(f"{each.bank_account.id}:{each.reason or each.code}" for each in total.missing)


_TOTAL_COLUMNS = (
    Column[_Total]("currency", lambda total: total.currency),
    Column[_Total]("bank", lambda total: find_amount(total.bank), is_amount=True),
    Column[_Total]("ledger", lambda total: find_amount(total.ledger), is_amount=True),
    Column[_Total]("accounts", lambda total: str(total.included), is_amount=True, rank=1),
    Column[_Total]("with_bank", lambda total: str(total.bank_included), is_amount=True, rank=4),
    Column[_Total]("with_ledger", lambda total: str(total.ledger_included), is_amount=True, rank=5),
    Column[_Total]("stale", lambda total: str(total.stale_included), is_amount=True, rank=6),
    Column[_Total]("first_day", lambda total: total.first_day, rank=7),
    Column[_Total]("last_day", lambda total: total.last_day, rank=3),
    Column[_Total](
        "missing", _list_missing, show=lambda total: str(len(total.missing)), is_amount=True
    ),
    Column[_Total]("overlapping", lambda total: " ".join(total.overlapping), in_table=False),
)


@click.command(
    "totals",
    epilog=example("balances totals", "balances totals --provider layer --as-of 2026-05-07"),
)
@filter_options
@click.option("--as-of", type=DAY, help="The day; by default today in each account's time zone.")
@output_options
@connection_options
def totals(
    client: "GatewayClient", output: Output, account_filter: Filter, as_of: date | None
) -> None:
    """Show the sum of the balances of each currency; nothing is converted.

    The exit code is 1 if an account is missing in a total; the accounts and reasons are printed.
    """
    document = (
        "query ($filter: BankAccountFilter, $asOf: Date)"
        f" {{ balanceTotals(filter: $filter, asOf: $asOf) {_TOTAL} }}"
    )
    answer = client.read(
        document, filter=account_filter, asOf=None if as_of is None else as_of.isoformat()
    )
    found: list[_Total] = answer.take("balanceTotals", list[_Total])
    rows = [Row(total, [_describe_missing(each) for each in total.missing], {}) for total in found]
    output.print_rows(_TOTAL_COLUMNS, rows, "totals")


def _describe_missing(missing: _Missing) -> FieldError:
    reason = f" ({missing.reason})" if missing.reason else ""
    message = f"The balance of {missing.bank_account.id} is not in the total{reason}."
    return FieldError("", missing.code, message)
