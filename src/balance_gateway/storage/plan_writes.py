"""Relates the journal's writes to the rows of plans."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, Text, case, cast, func, literal, not_, or_, select
from sqlalchemy.sql.elements import ColumnElement

from balance_gateway.domain.opening_balance_plans import PlanState, RowOutcome
from balance_gateway.storage.plan_tables import plan_rows, plans
from balance_gateway.storage.tables import writes

#: The states in which rows without an outcome may have been begun.
_UNDER_WAY = (PlanState.APPLYING.value, PlanState.PAUSED.value)

#: What the write of an uncertain row can turn out to be.
_SETTLED = frozenset({RowOutcome.APPLIED, RowOutcome.REJECTED})

#: The columns of the reason, which rows of plans and writes have in common.
_REASON = ("error_code", "error_message", "error_field", "error_retryable")


def is_needed_by_no_plan() -> ColumnElement[bool]:
    """Return the condition of writes that no plan needs any more.

    A plan that is being applied needs all of its writes: the key of one prevents that its row is
    sent again. Any plan needs those of its uncertain rows, which show how they were settled.
    """
    of_plan = select(plan_rows).join(plans, plans.c.id == plan_rows.c.plan_id)
    under_way = of_plan.where(plans.c.state.in_(_UNDER_WAY))
    keys = under_way.with_only_columns(_build_key())
    shown: Any = select(plan_rows.c.write_id).where(
        plan_rows.c.outcome == RowOutcome.UNCERTAIN.value, plan_rows.c.write_id.is_not(None)
    )
    recorded = under_way.with_only_columns(plan_rows.c.write_id).where(
        plan_rows.c.write_id.is_not(None)
    )
    # NOT IN is never true of NULL.
    is_keyed = func.coalesce(writes.c.idempotency_key, "").in_(keys)
    return not_(or_(is_keyed, writes.c.id.in_(shown), writes.c.id.in_(recorded)))


def select_rows(plan_id: str, outcomes: Collection[RowOutcome] | None) -> Select[Any]:
    """Return the query for rows of a plan with their current outcomes.

    The outcome of an uncertain row, and the reason, are those of its write if that has been settled
    since.

    Args:
        plan_id: the plan.
        outcomes: the current outcomes of the rows; None for all.
    """
    of_plan = plan_rows.c.plan_id == plan_id
    if outcomes is not None and not _SETTLED.union({RowOutcome.UNCERTAIN}).intersection(outcomes):
        names = sorted(each.value for each in outcomes)
        return select(plan_rows).where(of_plan, plan_rows.c.outcome.in_(names))
    current = func.coalesce(writes.c.outcome, plan_rows.c.outcome)
    reasons = [
        case((writes.c.id.is_not(None), writes.c[name]), else_=plan_rows.c[name]).label(name)
        for name in _REASON
    ]
    same = [column for column in plan_rows.c if column.name not in (*_REASON, "outcome")]
    columns = (*same, current.label("outcome"), *reasons)
    statement = select(*columns).select_from(_join_settled()).where(of_plan)
    if outcomes is None:
        return statement
    # The stored outcome too, which an index has.
    stored = {*outcomes, RowOutcome.UNCERTAIN}
    return statement.where(
        plan_rows.c.outcome.in_(sorted(each.value for each in stored)),
        current.in_(sorted(each.value for each in outcomes)),
    )


def count_settled(plan_id: str) -> Select[Any]:
    """Return the query for the numbers of uncertain rows by the outcome of their settled write."""
    counted = select(writes.c.outcome, func.count().label("number")).select_from(_join_settled())
    of_plan = plan_rows.c.plan_id == plan_id, writes.c.id.is_not(None)
    is_uncertain = plan_rows.c.outcome == RowOutcome.UNCERTAIN.value
    return counted.where(*of_plan, is_uncertain).group_by(writes.c.outcome)


def _join_settled() -> Any:
    """Return the rows of plans, each with its write if the row is uncertain and the write not."""
    is_settled = writes.c.outcome.in_(sorted(each.value for each in _SETTLED))
    is_uncertain = plan_rows.c.outcome == RowOutcome.UNCERTAIN.value
    of_row = writes.c.id == plan_rows.c.write_id
    return plan_rows.outerjoin(writes, of_row & is_uncertain & is_settled)


def _build_key() -> ColumnElement[str]:
    """Return the idempotency key of a row, as ``service.opening_balance_plans`` builds it."""
    line = cast(plan_rows.c.line, Text)
    return literal("plan:") + plan_rows.c.plan_id + literal(":") + line
