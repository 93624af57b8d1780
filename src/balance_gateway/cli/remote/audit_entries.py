"""``balance-gateway audit list``: the entries of the audit log of a running gateway."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from balance_gateway.cli.remote.connection_options import connection_options
from balance_gateway.cli.remote.days import find_day_start, format_utc, parse_instant
from balance_gateway.cli.remote.help import example
from balance_gateway.cli.remote.models import MONEY, Model, Money, PageInfo, find_amount
from balance_gateway.cli.remote.output import Column, Output, Row, output_options, to_seconds
from balance_gateway.cli.remote.paging import limit_option, read_pages
from balance_gateway.cli.usage import UsageError

if TYPE_CHECKING:
    from balance_gateway.cli.remote.client import GatewayClient

_PAGE_SIZE = 500
_ACTIONS = (
    *("begun", "finished", "lease-expired", "disregarded"),
    *("proved", "disproved", "superseded", "settled", "pruned"),
    *("plan-made", "plan-approved", "plan-applied", "plan-finished"),
)


class Entry(Model, frozen=True):
    """An entry of the audit log."""

    number: str
    sequence: str | None
    at: str | None
    action: str | None
    principal: str
    account_id: str | None
    write_id: str | None
    plan_id: str | None
    outcome: str | None
    amount: Money | None
    effective_at: str | None
    previous: Money | None
    applied: Money | None
    found: Money | None
    verified: bool
    code: str | None
    message: str | None
    provider_code: str | None
    note: str | None
    hash: str | None
    previous_hash: str | None


class _Page(Model, frozen=True):
    nodes: list[Entry]
    page_info: PageInfo


_ENTRY = (
    f"number sequence at action principal accountId writeId planId outcome amount {MONEY}"
    f" effectiveAt previous {MONEY} applied {MONEY} found {MONEY} verified code message"
    " providerCode note hash previousHash"
)

_COLUMNS = (
    Column[Entry]("number", lambda entry: entry.number, is_amount=True),
    Column[Entry]("at", lambda entry: entry.at, show=lambda entry: to_seconds(entry.at), rank=3),
    Column[Entry]("action", lambda entry: entry.action),
    Column[Entry]("account", lambda entry: entry.account_id, rank=1, is_name=True),
    Column[Entry]("amount", lambda entry: find_amount(entry.amount), is_amount=True, rank=1),
    Column[Entry](
        "currency", lambda entry: None if entry.amount is None else entry.amount.currency, rank=4
    ),
    Column[Entry]("previous", lambda entry: find_amount(entry.previous), is_amount=True, rank=7),
    Column[Entry]("outcome", lambda entry: entry.outcome, rank=2),
    Column[Entry]("code", lambda entry: entry.code, rank=6),
    Column[Entry]("by", lambda entry: entry.principal, rank=5),
    Column[Entry]("write_id", lambda entry: entry.write_id, rank=8),
    Column[Entry]("plan_id", lambda entry: entry.plan_id, in_table=False),
    Column[Entry]("effective_at", lambda entry: entry.effective_at, in_table=False),
    Column[Entry]("applied", lambda entry: find_amount(entry.applied), in_table=False),
    Column[Entry]("found", lambda entry: find_amount(entry.found), in_table=False),
    Column[Entry]("verified", lambda e: "yes" if e.verified else "no", in_table=False),
    Column[Entry]("message", lambda entry: entry.message, in_table=False),
    Column[Entry]("provider_code", lambda entry: entry.provider_code, in_table=False),
    Column[Entry]("note", lambda entry: entry.note, in_table=False),
    Column[Entry]("hash", lambda entry: entry.hash, in_table=False),
)


@click.command(
    "list",
    epilog=example(
        "audit list --limit 20",
        "audit list --account local-petty-cash --since 2026-05-01 --format csv",
    ),
)
@click.option("--account", "account_ids", multiple=True, help="Of this account; repeatable.")
@click.option(
    "--action",
    "actions",
    multiple=True,
    type=click.Choice(_ACTIONS, case_sensitive=False),
    help="With this change; repeatable.",
)
@click.option(
    "--since", help="On this day (UTC) or later, or at an instant with an offset or later."
)
@click.option("--until", help="Until the end of this day (UTC), or before an instant.")
@click.option("--oldest-first", is_flag=True, help="The oldest entry first.")
@limit_option
@output_options
@connection_options
def list_(
    client: "GatewayClient",
    output: Output,
    account_ids: tuple[str, ...],
    actions: tuple[str, ...],
    since: str | None,
    until: str | None,
    oldest_first: bool,
    limit: int | None,
) -> None:
    """List the entries of your company's audit log, newest first. Needs audit:read."""
    sent = {
        "accountIds": list(account_ids),
        "actions": [action.upper().replace("-", "_") for action in actions],
        "since": None if since is None else _find_instant("--since", since, 0),
        "until": None if until is None else _find_instant("--until", until, 1),
    }
    entry_filter = {key: value for key, value in sent.items() if value}
    rows = _read_entries(client, entry_filter, limit, oldest_first=oldest_first)
    output.print_rows(_COLUMNS, rows, "entries")


def _find_instant(option: str, text: str, days: int) -> str:
    """Return an instant; of a day its start, or that of a later one."""
    found = parse_instant(option, text)
    try:
        if isinstance(found, datetime):
            return format_utc(found)
        day: date = found + timedelta(days=days)
    except OverflowError:
        raise UsageError(f"{option} must be within the years 0001 to 9999 in UTC.") from None
    return find_day_start(option, day, str(UTC))


def _read_entries(
    client: "GatewayClient",
    entry_filter: Mapping[str, Any],
    limit: int | None,
    *,
    oldest_first: bool,
) -> Iterator[Row[Entry]]:
    document = (
        "query ($filter: AuditFilter, $first: Int, $after: String, $order: AuditOrder)"
        " { auditLog(filter: $filter, first: $first, after: $after, order: $order)"
        f" {{ pageInfo {{ hasNextPage endCursor }} nodes {{ {_ENTRY} }} }} }}"
    )
    order = "OLDEST_FIRST" if oldest_first else "NEWEST_FIRST"

    def read_page(first: int, after: str | None) -> tuple[list[Row[Entry]], PageInfo, None]:
        answer = client.read(document, filter=entry_filter, first=first, after=after, order=order)
        page: _Page = answer.take("auditLog", _Page)
        return [Row(node) for node in page.nodes], page.page_info, None

    return read_pages(read_page, _PAGE_SIZE, limit, "entries")
