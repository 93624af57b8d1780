"""Prints a plan: each row with what is set now and what is planned, sums, and the next step."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click
import msgspec

from balance_gateway.cli.remote.output import Column, Output, Row
from balance_gateway.cli.remote.plans import (
    Amount,
    Plan,
    PlanConnector,
    PlanRow,
    PlanTotal,
    read_rows,
)
from balance_gateway.cli.remote.text import escape
from balance_gateway.cli.usage import CommandError

if TYPE_CHECKING:
    from balance_gateway.cli.remote.client import GatewayClient

#: The rows whose reasons are printed below a table.
_REASONS_MAX = 100


def _find_text(amount: Amount | None) -> str | None:
    return None if amount is None else amount.amount


def _find_currency(row: PlanRow) -> str | None:
    return None if row.amount is None else row.amount.currency


def _find_previous(row: PlanRow) -> str | None:
    return None if row.previous is None else row.previous.amount.amount


def _show_previous(row: PlanRow) -> str | None:
    if row.previous is not None:
        return row.previous.amount.amount
    return None if row.previous_state is None else row.previous_state.lower()


def _show_outcome(row: PlanRow) -> str:
    return "unchanged" if row.outcome == "PENDING" and row.unchanged else row.outcome.lower()


def _list_missing(connector: PlanConnector) -> str:
    return ", ".join(name.lower().replace("_", " ") for name in connector.missing) or "-"


_ROW_COLUMNS = (
    Column[PlanRow]("line", lambda row: str(row.line), is_amount=True, rank=3),
    Column[PlanRow]("account", lambda row: row.account_id, is_name=True),
    Column[PlanRow]("currency", _find_currency, rank=1),
    Column[PlanRow]("previous_state", lambda row: row.previous_state, in_table=False),
    Column[PlanRow]("previous", _find_previous, show=_show_previous, is_amount=True),
    Column[PlanRow]("new", lambda row: _find_text(row.amount), is_amount=True),
    Column[PlanRow](
        "previous_at",
        lambda row: None if row.previous is None else row.previous.effective_at,
        rank=6,
    ),
    Column[PlanRow]("effective_at", lambda row: row.effective_at, rank=5),
    Column[PlanRow]("outcome", lambda row: row.outcome, show=_show_outcome),
    Column[PlanRow]("unchanged", lambda row: "yes" if row.unchanged else "no", in_table=False),
    Column[PlanRow]("write_id", lambda row: row.write_id, in_table=False),
    Column[PlanRow]("memo", lambda row: row.memo, rank=8, wraps=True),
    Column[PlanRow]("reference_number", lambda row: row.reference_number, rank=7),
    Column[PlanRow]("message", lambda row: row.message, in_table=False),
)

_TOTAL_COLUMNS = (
    Column[PlanTotal]("currency", lambda total: total.currency),
    Column[PlanTotal]("rows", lambda total: str(total.rows), is_amount=True),
    Column[PlanTotal](
        "previous",
        lambda total: _find_text(total.previous),
        show=lambda total: _find_text(total.previous) or "unknown",
        is_amount=True,
    ),
    Column[PlanTotal]("new", lambda total: total.planned.amount, is_amount=True),
    Column[PlanTotal](
        "change",
        lambda total: _find_text(total.change),
        show=lambda total: _find_text(total.change) or "unknown",
        is_amount=True,
    ),
)

_CONNECTOR_COLUMNS = (
    Column[PlanConnector]("connector", lambda each: each.name, is_name=True),
    Column[PlanConnector]("rows", lambda each: str(each.rows), is_amount=True),
    Column[PlanConnector](
        "cannot", lambda each: " ".join(each.missing), show=_list_missing,
        wraps=True,
    ),
)  # fmt: skip


def _describe_rows(plan: Plan) -> str:
    counts = msgspec.to_builtins(plan.counts)
    if not plan.counts.pending or plan.applied_at:
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    shown = str(plan.row_count)
    if plan.unchanged:
        shown += f", of them {plan.unchanged} unchanged"
    if plan.unknown:
        shown += f", of them {plan.unknown} with an unknown previous opening balance"
    return shown


def _describe_approval(plan: Plan) -> str | None:
    if plan.approval is not None:
        return f"by {plan.approval.principal} at {plan.approval.at}"
    return "needed, by another principal" if plan.needs_approval else None


def _describe_application(plan: Plan) -> str | None:
    if plan.applied_at is None:
        return None
    return f"by {plan.applied_by} at {plan.applied_at}"


PLAN_COLUMNS = (
    Column[Plan]("plan", lambda plan: plan.id),
    Column[Plan]("state", lambda plan: plan.state),
    Column[Plan]("rows", _describe_rows),
    Column[Plan]("made", lambda plan: f"by {plan.made_by} at {plan.made_at}"),
    Column[Plan](
        "expires_at", lambda plan: None if plan.applied_at is not None else plan.expires_at
    ),
    Column[Plan]("approval", _describe_approval),
    Column[Plan]("applied", _describe_application),
    Column[Plan]("finished_at", lambda plan: plan.finished_at),
)


def print_plan(client: "GatewayClient", output: Output, plan: Plan) -> None:
    """Print a plan with its rows.

    Raises:
        CommandError: a row is invalid, rejected, uncertain, or cannot be sent; all was printed.
    """
    rows = read_rows(client, plan.id)
    if output.is_document:
        found = list(rows)
        document = {**msgspec.to_builtins(plan), "rows": [row.to_json() for row in found]}
        document.pop("__typename")
        output.print_document(document)
    elif output.is_table:
        found = list(rows)
        _print_tables(output, plan, found)
    else:
        found = _print_rows(output, rows)
        step = find_next_step(plan)
        click.echo(escape(f"Plan {plan.id}: {plan.state}. {step}".strip()), err=True)
    _refuse_failed(plan, found)


def _print_tables(output: Output, plan: Plan, rows: Sequence[Row[PlanRow]]) -> None:
    # Below the rows the reasons have more room than their codes in another column.
    output.print_rows(_ROW_COLUMNS, [Row(row.value) for row in rows], "rows")
    failed = [(row.value, row.errors[0]) for row in rows if row.errors and row.value is not None]
    for value, error in failed[:_REASONS_MAX]:
        account = f" ({value.account_id})" if value.account_id else ""
        output.print_line(f"Line {value.line}{account}: {error.code}: {error.message}")
    if len(failed) > _REASONS_MAX:
        output.print_line(f"… and {len(failed) - _REASONS_MAX} more; --format csv has all.")
    if plan.totals:
        output.print_line("")
        output.print_rows(_TOTAL_COLUMNS, [Row(total) for total in plan.totals], "totals")
    if plan.connectors:
        output.print_line("")
        connectors = [Row(connector) for connector in plan.connectors]
        output.print_rows(_CONNECTOR_COLUMNS, connectors, "connectors")
    output.print_line("")
    output.print_record(PLAN_COLUMNS, Row(plan))
    if step := find_next_step(plan):
        output.print_line(step)


def _print_rows(output: Output, rows: Iterable[Row[PlanRow]]) -> list[Row[PlanRow]]:
    printed: list[Row[PlanRow]] = []

    def keep() -> Iterator[Row[PlanRow]]:
        for row in rows:
            printed.append(row)
            yield row

    try:
        output.print_rows(_ROW_COLUMNS, keep(), "rows")
    except CommandError:
        # Of rows with errors; it is raised again when all is printed.
        if not any(row.errors for row in printed):
            raise
    return printed


def find_next_step(plan: Plan) -> str:
    """Return what to do next with a plan; empty if there is nothing."""
    command = "balance-gateway opening-balances"
    if plan.state == "READY":
        if plan.needs_approval and plan.approval is None:
            return f"Next, with the key of another principal: {command} approve {plan.id}"
        return f"Next: {command} apply {plan.id}"
    if plan.state in ("READING", "APPLYING"):
        return f"The gateway works on it: {command} plan show {plan.id}"
    if plan.state == "RECEIVING":
        return "Its rows were not sent completely. Import the file again."
    if plan.state == "REFUSED":
        return "Nothing of it is sent. Correct the file, and import it again."
    if plan.state == "EXPIRED":
        return "It was not applied in time. Import the file again."
    return ""


def _refuse_failed(plan: Plan, rows: Sequence[Row[PlanRow]]) -> None:
    failed = [row for row in rows if row.errors]
    if not failed and not (plan.state == "FINISHED" and plan.counts.pending):
        return
    counts = plan.counts
    if plan.state == "REFUSED":
        raise CommandError(
            f"{counts.invalid} of {plan.row_count} rows cannot be applied, so nothing is sent."
            " Correct them, and import the file again."
        )
    if not plan.applied_at:
        raise CommandError(
            f"The opening balances of {len(failed)} of {plan.row_count} accounts could not be read,"
            " so these rows will not be sent. Import the file again when they can be read."
        )
    steps = []
    if counts.uncertain:
        steps.append(
            f"{counts.uncertain} may or may not be applied: 'balance-gateway writes list"
            " --unsettled' shows them."
        )
    if counts.rejected:
        steps.append(
            f"{counts.rejected} are certainly not applied: correct the reasons, and import the file"
            " again; what is applied will be unchanged."
        )
    raise CommandError(
        f"{len(failed)} of {plan.row_count} rows are not applied. {' '.join(steps)}".strip()
    )
