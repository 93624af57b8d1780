"""Plans of opening balances in GraphQL: their state, sums and rows. Needs balances:write."""

from datetime import datetime
from enum import Enum
from typing import Annotated

import strawberry

from balance_gateway.api.request.context import Info
from balance_gateway.api.request.limits import DEFAULT_LIMITS
from balance_gateway.api.schema import pages
from balance_gateway.api.schema.connectors import Capability
from balance_gateway.api.schema.list_sizes import TYPICAL_SIZE, list_size
from balance_gateway.api.schema.money import Money, build_money
from balance_gateway.api.schema.node import build_connector_id
from balance_gateway.api.schema.opening_balance_plan_rows import (
    PAGE_SIZE,
    OpeningBalancePlanOutcome,
    OpeningBalancePlanRowConnection,
    build_row_page,
    count_row_page,
    decode_cursor,
)
from balance_gateway.api.schema.scalars import CurrencyCode, unset_to_none
from balance_gateway.domain import money as domain_money
from balance_gateway.domain import opening_balance_plans as domain


@strawberry.enum(description="The state of a plan.")
class OpeningBalancePlanState(Enum):
    """The state of a plan."""

    RECEIVING = strawberry.enum_value(
        domain.PlanState.RECEIVING, description="Parts of the plan are missing."
    )
    READING = strawberry.enum_value(
        domain.PlanState.READING,
        description="The gateway reads what is set now, within the providers' budgets.",
    )
    REFUSED = strawberry.enum_value(
        domain.PlanState.REFUSED,
        description="Rows are invalid: nothing is sent. Correct them and plan again.",
    )
    READY = strawberry.enum_value(
        domain.PlanState.READY,
        description="It can be applied, after an approval if it needs one.",
    )
    APPLYING = strawberry.enum_value(
        domain.PlanState.APPLYING, description="The gateway sends its rows."
    )
    PAUSED = strawberry.enum_value(
        domain.PlanState.PAUSED,
        description="The storage was restored from a backup that was made while the plan was being "
        "applied. Nothing is sent until applyPlan; rows whose provider cannot show what was sent "
        "since are then rejected.",
    )
    FINISHED = strawberry.enum_value(
        domain.PlanState.FINISHED, description="Every row has its outcome."
    )
    EXPIRED = strawberry.enum_value(
        domain.PlanState.EXPIRED, description="It was not applied in time; plan again."
    )


@strawberry.type(description="The number of a plan's rows by outcome.")
class OpeningBalancePlanCounts:
    """The number of rows by outcome."""

    pending: int = strawberry.field(description="Rows without an outcome.")
    invalid: int = strawberry.field(description="Rows that cannot be applied.")
    applied: int = strawberry.field(description="Rows that were applied.")
    unchanged: int = strawberry.field(description="Rows with nothing to send.")
    rejected: int = strawberry.field(description="Rows that were certainly not applied.")
    uncertain: int = strawberry.field(description="Rows that may or may not have been applied.")


@strawberry.type(description="The sums of a plan's rows in one currency.")
class OpeningBalancePlanTotal:
    """The sums in one currency."""

    currency: CurrencyCode = strawberry.field(description="The currency.")
    rows: int = strawberry.field(description="The number of rows.")
    unknown: int = strawberry.field(
        description="The number of rows with an unknown previous opening balance."
    )
    previous: Money | None = strawberry.field(
        description="The sum of the previous opening balances, where none counts as 0; null if "
        "one is unknown."
    )
    planned: Money = strawberry.field(description="The sum of the new opening balances.")
    change: Money | None = strawberry.field(
        description="planned minus previous; null if previous is."
    )


@strawberry.type(description="The part of a plan at one connector.")
class OpeningBalancePlanConnector:
    """The part of a plan at one connector."""

    connector_id: strawberry.ID = strawberry.field(description="The id of the connector.")
    name: str = strawberry.field(description="The configured name.")
    rows: int = strawberry.field(description="The number of rows.")
    missing: list[Capability] = strawberry.field(
        description="What it cannot do for one of the accounts at least, of CHOOSE_EFFECTIVE_AT, "
        "WRITE_MEMO and READ_OPENING_BALANCE."
    )


@strawberry.type(description="The approval of a plan.")
class OpeningBalancePlanApproval:
    """The approval of a plan."""

    principal: str = strawberry.field(description="The name of the caller who approved it.")
    at: datetime = strawberry.field(description="When it was approved.")
    content_hash: str = strawberry.field(description="The contentHash that was approved.")


async def _resolve_counts(info: Info, root: "OpeningBalancePlan") -> OpeningBalancePlanCounts:
    counts = await info.context.gateway.plans.count_rows(root.plan)
    return OpeningBalancePlanCounts(**{each.value: counts[each] for each in domain.RowOutcome})


async def _resolve_rows(
    info: Info,
    root: "OpeningBalancePlan",
    outcomes: Annotated[
        list[OpeningBalancePlanOutcome] | None,
        strawberry.argument(description="Rows with one of these outcomes. Default: all rows."),
    ] = strawberry.UNSET,
    first: Annotated[
        int | None,
        strawberry.argument(
            description=f"The maximum number of rows; 0 to {DEFAULT_LIMITS.plan_rows_page_size}."
        ),
    ] = PAGE_SIZE,
    after: Annotated[
        str | None,
        strawberry.argument(description="The cursor before the page. Default: the start."),
    ] = strawberry.UNSET,
) -> OpeningBalancePlanRowConnection:
    context = info.context
    sent_first = PAGE_SIZE if first is None else first
    count = pages.require_page_size(sent_first, context.limits.plan_rows_page_size)
    chosen, sent_after = unset_to_none(outcomes), unset_to_none(after)
    after_line = None if sent_after is None else decode_cursor(sent_after)
    rows = await context.gateway.plans.page_rows(
        root.plan,
        count + 1,
        outcomes=None if chosen is None else {domain.RowOutcome[each.name] for each in chosen},
        after_line=after_line,
    )
    return build_row_page(rows, count, after_line, context.now)


@strawberry.type(description="A plan: many opening balances, checked and applied together.")
class OpeningBalancePlan:
    """A plan."""

    plan: strawberry.Private[domain.Plan]

    id: strawberry.ID = strawberry.field(description="The id of the plan.")
    state: OpeningBalancePlanState = strawberry.field(description="The current state.")
    needs_approval: bool = strawberry.field(
        description="Whether another principal must approve it before it is applied."
    )
    made_by: str = strawberry.field(description="The name of the caller who made it.")
    made_at: datetime = strawberry.field(description="When its first part was received.")
    expires_at: datetime = strawberry.field(
        description="From when on it can be neither approved nor applied."
    )
    parts: int = strawberry.field(description="The number of parts that were received.")
    row_count: int = strawberry.field(description="The number of its rows.")
    content_hash: str | None = strawberry.field(
        description="The hash of its rows with what was read of their accounts; null until the "
        "plan is READY. It never changes after that."
    )
    unchanged: int | None = strawberry.field(
        description="The number of rows whose account has the value already; null until READY."
    )
    unknown: int | None = strawberry.field(
        description="The number of rows with an unknown previous opening balance; null until READY."
    )
    totals: list[OpeningBalancePlanTotal] | None = strawberry.field(
        metadata=list_size(TYPICAL_SIZE),
        description="The sums, one per currency, sorted by currency code; null until READY.",
    )
    connectors: list[OpeningBalancePlanConnector] | None = strawberry.field(
        metadata=list_size(TYPICAL_SIZE),
        description="The connectors of the rows, sorted by name; null until READY.",
    )
    approval: OpeningBalancePlanApproval | None = strawberry.field(
        description="The approval; null without one."
    )
    applied_by: str | None = strawberry.field(
        description="The name of the caller who applied it first; null before."
    )
    applied_at: datetime | None = strawberry.field(
        description="When it was applied first; null before."
    )
    finished_at: datetime | None = strawberry.field(
        description="When its last row had its outcome; null before."
    )
    resumed_at: datetime | None = strawberry.field(
        description="When it was applied last after it was PAUSED; null if it never was."
    )
    counts: OpeningBalancePlanCounts = strawberry.field(
        resolver=_resolve_counts, description="The number of rows by outcome: the progress."
    )
    rows: OpeningBalancePlanRowConnection = strawberry.field(
        resolver=_resolve_rows,
        metadata=list_size(count_row_page, "first"),
        description="The rows in pages, sorted by line.",
    )


def build_plan(plan: domain.Plan, now: datetime) -> OpeningBalancePlan:
    """Build the GraphQL object of a plan; its state is that of ``now``."""
    summary, approval = plan.summary, plan.approval
    return OpeningBalancePlan(
        plan=plan,
        id=strawberry.ID(plan.id),
        state=OpeningBalancePlanState(plan.find_state(now)),
        needs_approval=plan.needs_approval,
        made_by=plan.made_by,
        made_at=plan.made_at,
        expires_at=plan.expires_at,
        parts=plan.parts,
        row_count=plan.row_count,
        content_hash=plan.content_hash,
        unchanged=None if summary is None else summary.unchanged,
        unknown=None if summary is None else summary.unknown,
        totals=None if summary is None else [_build_total(each) for each in summary.totals],
        connectors=None
        if summary is None
        else [_build_connector(each) for each in summary.connectors],
        approval=None
        if approval is None
        else OpeningBalancePlanApproval(
            principal=approval.principal, at=approval.at, content_hash=approval.content_hash
        ),
        applied_by=plan.applied_by,
        applied_at=plan.applied_at,
        finished_at=plan.finished_at,
        resumed_at=plan.resumed_at,
    )


def _build_total(total: domain.PlanTotal) -> OpeningBalancePlanTotal:
    def build(minor_units: int | None) -> Money | None:
        if minor_units is None:
            return None
        return build_money(domain_money.Money(minor_units, total.currency))

    planned = build(total.planned)
    assert planned is not None
    change = None if total.previous is None else total.planned - total.previous
    return OpeningBalancePlanTotal(
        currency=CurrencyCode(total.currency),
        rows=total.rows,
        unknown=total.unknown,
        previous=build(total.previous),
        planned=planned,
        change=build(change),
    )


def _build_connector(connector: domain.PlanConnector) -> OpeningBalancePlanConnector:
    names = sorted(each.name for each in connector.missing)
    return OpeningBalancePlanConnector(
        connector_id=build_connector_id(connector.name),
        name=connector.name,
        rows=connector.rows,
        missing=[Capability[name] for name in names],
    )


async def get_plan(
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="The id of the plan.")],
) -> OpeningBalancePlan | None:
    """Resolve a plan of the caller's tenant; None when there is none with the id."""
    context = info.context
    plan = await context.gateway.plans.find(context.principal, str(id))
    return None if plan is None else build_plan(plan, context.now)
