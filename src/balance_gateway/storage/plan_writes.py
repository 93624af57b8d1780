"""Relates the journal's writes to the rows of plans."""

from typing import Any

from sqlalchemy import Text, cast, func, literal, not_, or_, select
from sqlalchemy.sql.elements import ColumnElement

from balance_gateway.domain.opening_balance_plans import PlanState, RowOutcome
from balance_gateway.storage.plan_tables import plan_rows, plans
from balance_gateway.storage.tables import writes

#: The states in which rows without an outcome may have been begun.
_UNDER_WAY = (PlanState.APPLYING.value,)


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


def _build_key() -> ColumnElement[str]:
    """Return the idempotency key of a row, as ``service.opening_balance_plans`` builds it."""
    line = cast(plan_rows.c.line, Text)
    return literal("plan:") + plan_rows.c.plan_id + literal(":") + line
