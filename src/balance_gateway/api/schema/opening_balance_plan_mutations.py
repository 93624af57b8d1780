"""The mutations that make, approve and apply plans of opening balances."""

from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Annotated, Any

import strawberry

from balance_gateway.api.request.context import Info, RequestContext
from balance_gateway.api.request.limits import DEFAULT_LIMITS, Limits
from balance_gateway.api.schema.error_codes import ErrorCode, to_graphql_code
from balance_gateway.api.schema.mutation_rules import mutation_rules
from balance_gateway.api.schema.opening_balance_inputs import (
    MoneyInput,
    UpsertOpeningBalanceInput,
    build_upsert_request,
)
from balance_gateway.api.schema.opening_balance_plans import OpeningBalancePlan, build_plan
from balance_gateway.api.schema.scalars import unset_to_none
from balance_gateway.api.schema.write_outcomes import round_up
from balance_gateway.domain import opening_balance_plans as domain
from balance_gateway.domain.errors import BadInput, GatewayError
from balance_gateway.service.opening_balance_plans.requests import SentPart, SentRow


@strawberry.input(description="A row of a plan: one account and its new opening balance.")
class OpeningBalancePlanRowInput:
    """A row of a plan."""

    line: int = strawberry.field(
        description="The line in your file, at least 1; each row of a plan has its own."
    )
    account_id: strawberry.ID = strawberry.field(description="The account's id.")
    amount: MoneyInput = strawberry.field(description="The amount of the opening balance.")
    effective_at: datetime | None = strawberry.field(
        default=strawberry.UNSET,
        description="When the account had this balance. Default: the instant of the write, or the "
        "provider's own date if it has one.",
    )
    memo: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="A free-text note. The row is invalid if the provider stores none.",
    )
    reference_number: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="A reference number. The row is invalid if the provider stores none.",
    )


@strawberry.input(
    description="A part of a plan. A plan has up to 100,000 rows; send them in parts 1, 2, 3, …, "
    "one after the other. A repeated part changes nothing."
)
class PlanOpeningBalancesInput:
    """A part of a plan."""

    rows: list[OpeningBalancePlanRowInput] = strawberry.field(
        description=f"The rows of the part; 1 to {DEFAULT_LIMITS.plan_rows}."
    )
    plan_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET,
        description="The plan of a later part. Left out with part 1, which makes the plan.",
    )
    part: int = strawberry.field(default=1, description="The number of the part, from 1.")
    complete: bool = strawberry.field(
        default=True, description="Whether it is the last part. Without it the plan waits."
    )
    needs_approval: bool = strawberry.field(
        default=False,
        description="Whether another principal must approve the plan. Sent with part 1.",
    )
    idempotency_key: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="For part 1, 1 to 255 characters: repeating the part with the same key returns "
        "the plan that the first request made.",
    )


@strawberry.type(description="The request was refused; the plan has not changed.")
class OpeningBalancePlanRejected:
    """A request about a plan that was refused."""

    code: ErrorCode = strawberry.field(
        description="The error code, as in extensions.code of an error."
    )
    message: str = strawberry.field(description="The reason and the next step.")
    retryable: bool = strawberry.field(
        description="Whether the same request can succeed later without a change."
    )
    retry_after_seconds: int | None = strawberry.field(
        description="Seconds to wait before a retry; null if unknown."
    )
    field: str | None = strawberry.field(
        description="The invalid input field as a dotted path; null if no field is invalid."
    )


OpeningBalancePlanResult = Annotated[
    OpeningBalancePlan | OpeningBalancePlanRejected,
    strawberry.union(
        "OpeningBalancePlanResult", description="The plan after a request, or why it was refused."
    ),
]


def _check_part(limits: Limits, arguments: Mapping[str, Any]) -> None:
    count = len(arguments["input"]["rows"])
    if not 1 <= count <= limits.plan_rows:
        message = f"rows must have 1 to {limits.plan_rows} items, not {count}. Send several parts."
        raise BadInput(message, field="input.rows")


PLAN_RULES = mutation_rules(_check_part, independent_rows=("input",))


async def plan_opening_balances(
    info: Info,
    input: Annotated[
        PlanOpeningBalancesInput, strawberry.argument(description="The part of the plan.")
    ],
) -> OpeningBalancePlanResult:
    """Resolve the mutation that sends a part of a plan."""
    part = SentPart(
        plan_id=None if (plan_id := unset_to_none(input.plan_id)) is None else str(plan_id),
        number=input.part,
        rows=[_build_row(row) for row in input.rows],
        is_last=input.complete,
        needs_approval=input.needs_approval,
        idempotency_key=unset_to_none(input.idempotency_key),
    )
    context = info.context
    return await _respond(context, context.gateway.plans.add_part(context.principal, part))


async def approve_plan(
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="The id of the plan.")],
    content_hash: Annotated[
        str | None,
        strawberry.argument(
            description="The contentHash of the plan that you have seen. Default: not compared."
        ),
    ] = strawberry.UNSET,
) -> OpeningBalancePlanResult:
    """Resolve the mutation that approves a plan."""
    context = info.context
    approving = context.gateway.plans.approve(
        context.principal, str(id), unset_to_none(content_hash)
    )
    return await _respond(context, approving)


async def apply_plan(
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="The id of the plan.")],
) -> OpeningBalancePlanResult:
    """Resolve the mutation that applies a plan."""
    context = info.context
    return await _respond(context, context.gateway.plans.apply(context.principal, str(id)))


async def _respond(
    context: RequestContext, request: Awaitable[domain.Plan]
) -> OpeningBalancePlan | OpeningBalancePlanRejected:
    try:
        return build_plan(await request, context.now)
    except GatewayError as error:
        return OpeningBalancePlanRejected(
            code=to_graphql_code(error.code),
            message=error.message,
            retryable=error.retryable,
            retry_after_seconds=round_up(error.retry_after_s),
            field=error.field,
        )


def _build_row(sent: OpeningBalancePlanRowInput) -> SentRow:
    account_id = str(sent.account_id)
    upsert = UpsertOpeningBalanceInput(
        account_id=sent.account_id,
        amount=sent.amount,
        effective_at=sent.effective_at,
        memo=sent.memo,
        reference_number=sent.reference_number,
    )
    try:
        return SentRow(sent.line, account_id, build_upsert_request(upsert))
    except GatewayError as error:
        return SentRow(sent.line, account_id, error)
