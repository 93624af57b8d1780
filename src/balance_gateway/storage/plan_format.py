"""Converts plans and their rows to rows of the tables and back."""

import json
from typing import Any

from sqlalchemy import Row

from balance_gateway.domain.accounts import Capability
from balance_gateway.domain.money import Money
from balance_gateway.domain.opening_balance_plans import (
    Plan,
    PlanApproval,
    PlanConnector,
    PlanRow,
    PlanState,
    PlanSummary,
    PlanTotal,
    PreviousState,
    RowOutcome,
)
from balance_gateway.storage.journal_format import (
    opening_balance_from_text,
    opening_balance_to_text,
    parse_enum,
    reading_row,
)


def columns_of_plan(plan: Plan) -> dict[str, Any]:
    """Return the columns of a new plan."""
    return {
        "id": plan.id,
        "tenant": plan.tenant,
        "state": plan.state.value,
        "needs_approval": plan.needs_approval,
        "made_by": plan.made_by,
        "made_at": plan.made_at,
        "expires_at": plan.expires_at,
        "parts": plan.parts,
        "row_count": plan.row_count,
        "idempotency_key": plan.idempotency_key,
    }


def plan_from_row(row: Row[Any]) -> Plan:
    """Convert a row to a plan.

    Raises:
        UnreadableRow: the row is damaged, or a newer release wrote it.
    """
    with reading_row(f"row {row.id} of plans"):
        approval = None
        if row.approved_by is not None:
            approval = PlanApproval(row.approved_by, row.approved_at, row.approved_hash)
        return Plan(
            id=row.id,
            tenant=row.tenant,
            state=parse_enum(PlanState, row.state),
            needs_approval=row.needs_approval,
            made_by=row.made_by,
            made_at=row.made_at,
            expires_at=row.expires_at,
            parts=row.parts,
            row_count=row.row_count,
            idempotency_key=row.idempotency_key,
            content_hash=row.content_hash,
            summary=None if row.summary is None else _summary_from_text(row.summary),
            approval=approval,
            applied_by=row.applied_by,
            applied_at=row.applied_at,
            finished_at=row.finished_at,
            resumed_at=row.resumed_at,
        )


def summary_to_text(summary: PlanSummary) -> str:
    """Convert a summary to a document."""
    totals = [
        {
            "currency": each.currency,
            "rows": each.rows,
            "unknown": each.unknown,
            # As text: JSON numbers lose digits beyond 2**53 in many parsers.
            "planned": str(each.planned),
            "previous": None if each.previous is None else str(each.previous),
        }
        for each in summary.totals
    ]
    connectors = [
        {
            "name": each.name,
            "rows": each.rows,
            "missing": sorted(one.value for one in each.missing),
        }
        for each in summary.connectors
    ]
    counts = {"unchanged": summary.unchanged, "unknown": summary.unknown}
    return json.dumps({"version": 1, "totals": totals, "connectors": connectors, **counts})


def _summary_from_text(document_text: str) -> PlanSummary:
    document = json.loads(document_text)
    return PlanSummary(
        totals=tuple(
            PlanTotal(
                each["currency"],
                each["rows"],
                each["unknown"],
                int(each["planned"]),
                None if each["previous"] is None else int(each["previous"]),
            )
            for each in document["totals"]
        ),
        connectors=tuple(
            PlanConnector(
                each["name"],
                each["rows"],
                frozenset(parse_enum(Capability, one) for one in each["missing"]),
            )
            for each in document["connectors"]
        ),
        unchanged=document["unchanged"],
        unknown=document["unknown"],
    )


def columns_of_row(plan_id: str, row: PlanRow) -> dict[str, Any]:
    """Return the columns of a new row of a plan."""
    amount = row.amount
    return {
        "plan_id": plan_id,
        "line": row.line,
        "account_id": row.account_id,
        "connector": row.connector,
        "remote_account": row.remote_account,
        "minor_units": None if amount is None else amount.minor_units,
        "currency": None if amount is None else amount.currency,
        "effective_at": row.effective_at,
        "memo": row.memo,
        "reference_number": row.reference_number,
        **previous_columns(row),
        **outcome_columns(row),
    }


def previous_columns(row: PlanRow) -> dict[str, Any]:
    """Return the columns that reading the account fills."""
    return {
        "previous_state": None if row.previous_state is None else row.previous_state.value,
        "previous": opening_balance_to_text(row.previous),
        "previous_at": row.previous_at,
        "is_unchanged": row.is_unchanged,
        **_reason_columns(row),
    }


def outcome_columns(row: PlanRow) -> dict[str, Any]:
    """Return the columns that an outcome fills."""
    return {"outcome": row.outcome.value, "write_id": row.write_id, **_reason_columns(row)}


def _reason_columns(row: PlanRow) -> dict[str, Any]:
    return {
        "error_code": row.code,
        "error_message": row.message,
        "error_field": row.field,
        "error_retryable": row.retryable,
    }


def plan_row_from_row(row: Row[Any]) -> PlanRow:
    """Convert a row to a row of a plan; raises like ``plan_from_row``."""
    with reading_row(f"line {row.line} of plan {row.plan_id}"):
        state = row.previous_state
        return PlanRow(
            line=row.line,
            account_id=row.account_id,
            outcome=parse_enum(RowOutcome, row.outcome),
            connector=row.connector,
            remote_account=row.remote_account,
            amount=None if row.minor_units is None else Money(row.minor_units, row.currency),
            effective_at=row.effective_at,
            memo=row.memo,
            reference_number=row.reference_number,
            previous_state=None if state is None else parse_enum(PreviousState, state),
            previous=opening_balance_from_text(row.previous),
            previous_at=row.previous_at,
            is_unchanged=row.is_unchanged,
            write_id=row.write_id,
            code=row.error_code,
            message=row.error_message,
            field=row.error_field,
            retryable=row.error_retryable,
        )
