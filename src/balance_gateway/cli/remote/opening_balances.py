"""``balance-gateway opening-balances``: show and set opening balances of a running gateway."""

from typing import TYPE_CHECKING

import click

from balance_gateway.cli.remote.account_rows import Filter, filter_options, read_accounts
from balance_gateway.cli.remote.accounts import CURRENCY_COLUMN, ID_COLUMN, NAME_COLUMN
from balance_gateway.cli.remote.connection_options import connection_options
from balance_gateway.cli.remote.help import example
from balance_gateway.cli.remote.import_opening_balances import import_
from balance_gateway.cli.remote.models import (
    OPENING_BALANCE,
    UNSETTLED_WRITE,
    Account,
    OpeningBalance,
    UnsettledWrite,
)
from balance_gateway.cli.remote.output import Column, Output, output_options
from balance_gateway.cli.remote.paging import limit_option
from balance_gateway.cli.remote.plan_commands import apply, approve, plan
from balance_gateway.cli.remote.set_opening_balance import set_

if TYPE_CHECKING:
    from balance_gateway.cli.remote.client import GatewayClient


@click.group("opening-balances")
def opening_balances() -> None:
    """Show and set opening balances of a running gateway, one or many."""


def _find_opening(account: Account) -> OpeningBalance | None:
    return account.opening_balance if isinstance(account.opening_balance, OpeningBalance) else None


def _show_amount(account: Account) -> str | None:
    opening = _find_opening(account)
    if opening is not None:
        return opening.amount.amount
    return "none" if account.opening_balance is None else None


def _format_unsettled(account: Account) -> str | None:
    write = account.unsettled_write
    if not isinstance(write, UnsettledWrite):
        return None
    return write.write_id or "of another company"


_SHOW_COLUMNS = (
    ID_COLUMN,
    NAME_COLUMN,
    CURRENCY_COLUMN,
    Column[Account](
        "amount",
        lambda each: o.amount.amount if (o := _find_opening(each)) else None,
        show=_show_amount,
        field="openingBalance",
        is_amount=True,
    ),
    Column[Account](
        "effective_at", lambda each: o.effective_at if (o := _find_opening(each)) else None, rank=2
    ),
    Column[Account](
        "source", lambda each: o.source if (o := _find_opening(each)) else None, rank=5
    ),
    Column[Account](
        "state", lambda each: o.freshness.state if (o := _find_opening(each)) else None, rank=6
    ),
    Column[Account](
        "memo", lambda each: o.memo if (o := _find_opening(each)) else None, in_table=False
    ),
    Column[Account](
        "reference_number",
        lambda each: o.reference_number if (o := _find_opening(each)) else None,
        in_table=False,
    ),
    Column[Account]("unsettled_write", _format_unsettled, rank=1),
)


@opening_balances.command(
    "show",
    epilog=example(
        "opening-balances show layer-operating-checking",
        "opening-balances show --connector layer-acme --format csv",
    ),
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@filter_options
@limit_option
@output_options
@connection_options
def show(
    client: "GatewayClient",
    output: Output,
    ids: tuple[str, ...],
    account_filter: Filter,
    limit: int | None,
) -> None:
    """Show the opening balances of accounts; without ids, of all accounts.

    The exit code is 1 if one cannot be read; the others are printed.
    """
    rows = read_accounts(
        client,
        f"{{ id name currency provider openingBalance {OPENING_BALANCE}"
        f" unsettledWrite {UNSETTLED_WRITE} }}",
        ids=ids,
        account_filter=account_filter,
        limit=limit,
    )
    output.print_rows(_SHOW_COLUMNS, rows, "accounts")


for command in (set_, import_, plan, approve, apply):
    opening_balances.add_command(command)
