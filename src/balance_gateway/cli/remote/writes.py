"""``balance-gateway writes``: the recorded writes of a running gateway, and their settlement."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

from balance_gateway.cli.remote.connection_options import connection_options
from balance_gateway.cli.remote.days import find_day_start, format_utc, parse_instant
from balance_gateway.cli.remote.help import example
from balance_gateway.cli.remote.models import (
    MONEY,
    OPENING_BALANCE,
    Model,
    Money,
    OpeningBalance,
    PageInfo,
)
from balance_gateway.cli.remote.output import Column, Output, Row, output_options, to_seconds
from balance_gateway.cli.remote.paging import limit_option, read_pages
from balance_gateway.cli.remote.text import escape
from balance_gateway.cli.usage import CommandError

if TYPE_CHECKING:
    from balance_gateway.cli.remote.client import GatewayClient

_PAGE_SIZE = 200
_OUTCOMES = ("started", "applied", "rejected", "uncertain")


class Settlement(Model, frozen=True):
    """The settlement of a write."""

    how: str
    at: str
    principal: str | None
    note: str | None


class Write(Model, frozen=True):
    """A recorded write."""

    id: str
    account_id: str
    principal: str
    amount: Money
    effective_at: str | None
    memo: str | None
    reference_number: str | None
    started_at: str
    finished_at: str | None
    outcome: str
    unsettled: bool
    verified: bool
    code: str | None
    message: str | None
    provider_code: str | None
    settlement: Settlement | None
    previous: OpeningBalance | msgspec.UnsetType | None = msgspec.UNSET
    applied: OpeningBalance | msgspec.UnsetType | None = msgspec.UNSET
    found: OpeningBalance | msgspec.UnsetType | None = msgspec.UNSET


_LISTED = (
    f"id accountId principal amount {MONEY} effectiveAt memo referenceNumber startedAt finishedAt"
    " outcome unsettled verified code message providerCode settlement { how at principal note }"
)
_SHOWN = f"{_LISTED} previous {OPENING_BALANCE} applied {OPENING_BALANCE} found {OPENING_BALANCE}"


@click.group()
def writes() -> None:
    """List the writes of a running gateway, and settle uncertain ones."""


def _format_value(value: OpeningBalance | msgspec.UnsetType | None) -> str | None:
    if not isinstance(value, OpeningBalance):
        return None
    since = f" at {value.effective_at}" if value.effective_at else ""
    return f"{value.amount.amount} {value.amount.currency}{since}"


def _format_settlement(write: Write) -> str | None:
    settlement = write.settlement
    if settlement is None:
        return None
    by = f" by {settlement.principal}" if settlement.principal else ""
    note = f": {settlement.note}" if settlement.note else ""
    return f"{settlement.how}{by} at {settlement.at}{note}"


def _format_outcome(write: Write) -> str:
    return f"{write.outcome}, unsettled" if write.unsettled else write.outcome


_LIST_COLUMNS = (
    Column[Write]("id", lambda write: write.id),
    Column[Write]("account", lambda write: write.account_id, rank=1),
    Column[Write]("amount", lambda write: write.amount.amount, is_amount=True),
    Column[Write]("currency", lambda write: write.amount.currency),
    Column[Write]("effective_at", lambda write: write.effective_at, rank=6),
    Column[Write]("outcome", lambda write: write.outcome, show=_format_outcome, wraps=True),
    Column[Write]("unsettled", lambda w: "yes" if w.unsettled else "no", in_table=False),
    Column[Write]("code", lambda write: write.code, rank=4),
    Column[Write](
        "started_at",
        lambda write: write.started_at,
        show=lambda w: to_seconds(w.started_at),
        rank=3,
    ),
    Column[Write]("by", lambda write: write.principal, rank=5),
    Column[Write]("memo", lambda write: write.memo, in_table=False),
    Column[Write]("reference_number", lambda write: write.reference_number, in_table=False),
    Column[Write]("settlement", _format_settlement, in_table=False),
    Column[Write]("message", lambda write: write.message, in_table=False),
)

_SHOW_COLUMNS = (
    Column[Write]("id", lambda write: write.id),
    Column[Write]("account", lambda write: write.account_id),
    Column[Write]("outcome", lambda write: write.outcome, show=_format_outcome),
    Column[Write]("amount", lambda write: f"{write.amount.amount} {write.amount.currency}"),
    Column[Write]("effective_at", lambda write: write.effective_at),
    Column[Write]("previous", lambda write: _format_value(write.previous)),
    Column[Write]("applied", lambda write: _format_value(write.applied)),
    Column[Write]("found", lambda write: _format_value(write.found)),
    Column[Write]("verified", lambda write: "yes" if write.verified else "no"),
    Column[Write]("by", lambda write: write.principal),
    Column[Write]("started_at", lambda write: write.started_at),
    Column[Write]("finished_at", lambda write: write.finished_at),
    Column[Write]("memo", lambda write: write.memo),
    Column[Write]("reference_number", lambda write: write.reference_number),
    Column[Write]("settlement", _format_settlement),
    Column[Write]("code", lambda write: write.code),
    Column[Write]("provider_code", lambda write: write.provider_code),
    Column[Write]("message", lambda write: write.message),
)


class _Page(Model, frozen=True):
    nodes: list[Write]
    page_info: PageInfo


@writes.command(
    "list",
    epilog=example("writes list --unsettled", "writes list --since 2026-05-01 --format csv"),
)
@click.option(
    "--outcome",
    "outcomes",
    multiple=True,
    type=click.Choice(_OUTCOMES, case_sensitive=False),
    help="With this outcome; repeatable.",
)
@click.option("--unsettled", is_flag=True, help="Only those that may or may not be applied.")
@click.option("--account", "account_ids", multiple=True, help="Of this account; repeatable.")
@click.option(
    "--since", help="Begun on this day (UTC) or later, or at an instant with an offset or later."
)
@limit_option
@output_options
@connection_options
def list_(
    client: "GatewayClient",
    output: Output,
    outcomes: tuple[str, ...],
    unsettled: bool,
    account_ids: tuple[str, ...],
    since: str | None,
    limit: int | None,
) -> None:
    """List recorded writes, newest first. Needs a key with audit:read."""
    chosen = [outcome.upper() for outcome in outcomes]
    if unsettled and not chosen:
        chosen = ["STARTED", "UNCERTAIN"]
    sent = {
        "outcomes": chosen,
        "accountIds": list(account_ids),
        "since": _find_instant(since),
    }
    write_filter = {key: value for key, value in sent.items() if value}
    rows = _read_writes(client, write_filter, None if unsettled else limit)
    if unsettled:
        rows = _take((row for row in rows if row.value and row.value.unsettled), limit)
    output.print_rows(_LIST_COLUMNS, rows, "writes")


def _take(rows: Iterator[Row[Write]], limit: int | None) -> Iterator[Row[Write]]:
    for count, row in enumerate(rows, 1):
        yield row
        if count == limit:
            return


def _find_instant(since: str | None) -> str | None:
    if since is None:
        return None
    found = parse_instant("--since", since)
    if isinstance(found, datetime):
        return format_utc(found)
    return find_day_start("--since", found, str(UTC))


def _read_writes(
    client: "GatewayClient", write_filter: dict[str, Any], limit: int | None
) -> Iterator[Row[Write]]:
    document = (
        "query ($filter: OpeningBalanceWriteFilter, $first: Int, $after: String)"
        " { openingBalanceWrites(filter: $filter, first: $first, after: $after)"
        f" {{ pageInfo {{ hasNextPage endCursor }} nodes {{ {_LISTED} }} }} }}"
    )

    def read_page(first: int, after: str | None) -> tuple[list[Row[Write]], PageInfo, None]:
        answer = client.read(document, filter=write_filter, first=first, after=after)
        page: _Page = answer.take("openingBalanceWrites", _Page)
        return [Row(node) for node in page.nodes], page.page_info, None

    return read_pages(read_page, _PAGE_SIZE, limit, "writes")


@writes.command("show", epilog=example("writes show 0d5c8a7e-3a52-4a3b-9b8e-6f0f2f0c1d11"))
@click.argument("write_id", metavar="ID")
@output_options
@connection_options
def show(client: "GatewayClient", output: Output, write_id: str) -> None:
    """Show one write: what was, what was asked and what came of it. Needs audit:read."""
    document = f"query ($id: ID!) {{ openingBalanceWrite(id: $id) {{ {_SHOWN} }} }}"
    answer = client.read(document, id=write_id)
    write: Write | None = answer.take("openingBalanceWrite", Write | None)
    if write is None:
        raise CommandError(
            f"There is no write {escape(write_id)}. 'balance-gateway writes list' shows their ids."
        )
    output.print_record(_SHOW_COLUMNS, Row(write))


class _Settled(Model, frozen=True, tag_field="__typename", tag="OpeningBalanceWriteSettled"):
    write: Write


class _Refused(Model, frozen=True, tag_field="__typename", tag="SettleOpeningBalanceWriteRejected"):
    code: str
    message: str


@writes.command(
    "settle",
    epilog=example(
        "writes settle 0d5c8a7e-3a52-4a3b-9b8e-6f0f2f0c1d11 --as not-applied \\",
        "    --note 'Looked at the page of the bank: the old amount is there.'",
    ),
)
@click.argument("write_id", metavar="ID")
@click.option(
    "--as",
    "as_",
    type=click.Choice(["applied", "not-applied"]),
    required=True,
    help="Whether the provider has the opening balance of the write now.",
)
@click.option("--note", required=True, help="How you know, for the audit log.")
@output_options
@connection_options
def settle(client: "GatewayClient", output: Output, write_id: str, as_: str, note: str) -> None:
    """Settle an uncertain write as you found it at the provider. Needs balances:write."""
    from balance_gateway.cli.remote.failures import RequestFailed

    document = (
        "mutation ($id: ID!, $as: SettledAs!, $note: String!)"
        " { settleOpeningBalanceWrite(writeId: $id, as: $as, note: $note) { __typename"
        f" ... on OpeningBalanceWriteSettled {{ write {{ {_SHOWN} }} }}"
        " ... on SettleOpeningBalanceWriteRejected { code message } } }"
    )
    settled_as = as_.upper().replace("-", "_")
    try:
        answer = client.write(document, id=write_id, note=note, **{"as": settled_as})
        result: _Settled | _Refused = answer.take("settleOpeningBalanceWrite", _Settled | _Refused)
    except CommandError as failed:
        if isinstance(failed, RequestFailed) and not failed.is_executed_maybe:
            raise
        raise CommandError(
            f"{failed.message} The write may have been settled: 'balance-gateway writes show"
            f" {escape(write_id)}' says so."
        ) from None
    if isinstance(result, _Refused):
        raise CommandError(escape(f"Not settled: {result.code}: {result.message}"))
    output.print_record(_SHOW_COLUMNS, Row(result.write))
