"""``balance-gateway accounts``: the accounts of a running gateway."""

from typing import TYPE_CHECKING

import click
from msgspec import UnsetType

from balance_gateway.cli.remote.account_rows import (
    LIST_PAGE_SIZE,
    Filter,
    filter_options,
    read_account,
    read_accounts,
)
from balance_gateway.cli.remote.connection_options import connection_options
from balance_gateway.cli.remote.help import example
from balance_gateway.cli.remote.models import (
    BALANCE,
    MONEY,
    OPENING_BALANCE,
    UNSETTLED_WRITE,
    Account,
    Balance,
    BankFeed,
    OpeningBalance,
    ReportedBalance,
    UnsettledWrite,
    find_amount,
)
from balance_gateway.cli.remote.output import Column, Output, output_options
from balance_gateway.cli.remote.paging import limit_option

if TYPE_CHECKING:
    from balance_gateway.cli.remote.client import GatewayClient

_LISTED = "{ id name currency provider timeZone connector { name } }"
_SHOWN = (
    "{ id name currency provider timeZone connector { name } normalBalance capabilities"
    f" balance {BALANCE} openingBalance {OPENING_BALANCE} unsettledWrite {UNSETTLED_WRITE}"
    f" bankFeed {{ state lastSyncedAt needsAttention }}"
    f" latestBank {{ amount {MONEY} reportedAt }} }}"
)


@click.group()
def accounts() -> None:
    """List the accounts of a running gateway, or those that a provider has."""


def find_connector(account: Account) -> str | None:
    """Return the name of the account's connector."""
    return None if isinstance(account.connector, UnsetType) else account.connector.name


def find_time_zone(account: Account) -> str | None:
    """Return the name of the account's time zone."""
    return None if isinstance(account.time_zone, UnsetType) else account.time_zone


ID_COLUMN = Column[Account]("id", lambda account: account.id, is_name=True)
NAME_COLUMN = Column[Account]("name", lambda account: account.name, rank=9, wraps=True)
CURRENCY_COLUMN = Column[Account]("currency", lambda account: account.currency)

_LIST_COLUMNS = (
    ID_COLUMN,
    Column[Account]("name", lambda account: account.name, wraps=True),
    CURRENCY_COLUMN,
    Column[Account]("provider", lambda account: account.provider.lower(), rank=2),
    Column[Account]("connector", find_connector, rank=3),
    Column[Account]("time_zone", find_time_zone, rank=4),
)


@accounts.command(
    "list", epilog=example("accounts list", "accounts list --provider light --format csv")
)
@filter_options
@limit_option
@output_options
@connection_options
def list_(
    client: "GatewayClient", output: Output, account_filter: Filter, limit: int | None
) -> None:
    """List the accounts that the key gives access to, sorted by id."""
    rows = read_accounts(
        client,
        _LISTED,
        account_filter=account_filter,
        limit=limit,
        page_size=LIST_PAGE_SIZE,
    )
    output.print_rows(_LIST_COLUMNS, rows, "accounts")


def _find_normal_balance(account: Account) -> str | None:
    return account.normal_balance if isinstance(account.normal_balance, str) else None


def _format_opening(account: Account) -> str | None:
    opening = account.opening_balance
    if not isinstance(opening, OpeningBalance):
        return "none" if opening is None else None
    since = f" at {opening.effective_at}" if opening.effective_at else ""
    return f"{opening.amount.amount}{since} ({opening.source})"


def _format_balance(account: Account, book: str) -> str | None:
    balance = account.balance
    if not isinstance(balance, Balance):
        return None
    amount = find_amount(getattr(balance, book))
    return amount or getattr(balance, f"{book}_missing")


def _format_age(account: Account) -> str | None:
    if not isinstance(account.balance, Balance):
        return None
    freshness = account.balance.freshness
    return f"{account.balance.as_of}, {freshness.state}, {freshness.age_seconds} s old"


def _format_unsettled(account: Account) -> str | None:
    write = account.unsettled_write
    if not isinstance(write, UnsettledWrite):
        return None
    return f"{find_amount(write.amount) or 'of another company'} since {write.at}: {write.write_id}"


def _format_feed(account: Account) -> str | None:
    feed = account.bank_feed
    if not isinstance(feed, BankFeed):
        return None
    attention = ", needs attention" if feed.needs_attention else ""
    return f"{feed.state}{attention}, last sync {feed.last_synced_at or 'unknown'}"


def _format_latest(account: Account) -> str | None:
    latest = account.latest_bank
    if not isinstance(latest, ReportedBalance):
        return None
    return f"{latest.amount.amount} at {latest.reported_at or 'an unknown time'}"


def _format_capabilities(account: Account) -> str | None:
    if isinstance(account.capabilities, UnsetType):
        return None
    return " ".join(account.capabilities)


_SHOW_COLUMNS = (
    ID_COLUMN,
    Column[Account]("name", lambda account: account.name),
    CURRENCY_COLUMN,
    Column[Account]("provider", lambda account: account.provider.lower()),
    Column[Account]("connector", find_connector),
    Column[Account]("time_zone", find_time_zone),
    Column[Account]("normal_balance", _find_normal_balance),
    Column[Account]("as_of", _format_age),
    Column[Account]("bank", lambda account: _format_balance(account, "bank")),
    Column[Account]("ledger", lambda account: _format_balance(account, "ledger")),
    Column[Account]("difference", lambda account: _format_balance(account, "difference")),
    Column[Account]("opening_balance", _format_opening, field="openingBalance"),
    Column[Account]("unsettled_write", _format_unsettled),
    Column[Account]("bank_feed", _format_feed),
    Column[Account]("latest_bank", _format_latest),
    Column[Account]("capabilities", _format_capabilities),
)


@accounts.command("show", epilog=example("accounts show layer-operating-checking"))
@click.argument("account_id", metavar="ID")
@output_options
@connection_options
def show(client: "GatewayClient", output: Output, account_id: str) -> None:
    """Show everything about one account: its balance of today, opening balance and bank feed."""
    output.print_record(_SHOW_COLUMNS, read_account(client, _SHOWN, account_id))
