"""The mutation root: sets opening balances. Every field needs the scope balances:write."""

from collections.abc import Mapping
from typing import Annotated, Any

import strawberry

from balance_gateway.api.request.context import Info, RequestContext
from balance_gateway.api.request.limits import DEFAULT_LIMITS, Limits
from balance_gateway.api.schema.list_sizes import count_items, list_size
from balance_gateway.api.schema.mutation_rules import mutation_rules
from balance_gateway.api.schema.opening_balance_inputs import (
    UpsertOpeningBalanceInput,
    build_upsert_request,
)
from balance_gateway.api.schema.opening_balance_plan_mutations import (
    PLAN_RULES,
    OpeningBalancePlanResult,
    apply_plan,
    approve_plan,
    plan_opening_balances,
)
from balance_gateway.api.schema.settle_opening_balance_write import (
    SettleOpeningBalanceWriteResult,
    settle_opening_balance_write,
)
from balance_gateway.api.schema.write_outcomes import (
    OpeningBalanceApplied,
    OpeningBalanceRejected,
    OpeningBalanceUncertain,
    UpsertOpeningBalanceResult,
    build_defect_outcome,
    build_input_rejection,
    build_outcome,
)
from balance_gateway.domain.access import Scope
from balance_gateway.domain.errors import BadInput, GatewayError


async def _upsert(
    context: RequestContext, sent: UpsertOpeningBalanceInput
) -> OpeningBalanceApplied | OpeningBalanceUncertain | OpeningBalanceRejected:
    account_id = str(sent.account_id)
    try:
        request = build_upsert_request(sent)
        result = await context.gateway.writes.upsert(context.principal, request)
    except GatewayError as error:
        return build_input_rejection(error, account_id)
    except Exception as defect:
        # A raised error would null the whole list and hide the results of the other writes.
        return build_defect_outcome(context, account_id, defect)
    finally:
        # After a failure as well: the write may have reached the provider.
        context.reset_after_write()
    try:
        return build_outcome(result, account_id, context)
    except Exception as defect:
        # The write may have been applied, so an error about showing it is no rejection.
        return build_defect_outcome(context, account_id, defect)


async def _upsert_one(
    info: Info,
    input: Annotated[
        UpsertOpeningBalanceInput,
        strawberry.argument(description="The account and its new opening balance."),
    ],
) -> UpsertOpeningBalanceResult:
    info.context.principal.require(Scope.BALANCES_WRITE)
    return await _upsert(info.context, input)


def _count_inputs(limits: Limits, inputs: object) -> int:
    return min(count_items(inputs), limits.inputs)


def _check_inputs(limits: Limits, arguments: Mapping[str, Any]) -> None:
    count = len(arguments["inputs"])
    if not 1 <= count <= limits.inputs:
        message = f"inputs must have 1 to {limits.inputs} items, not {count}. Split a long list."
        raise BadInput(message, field="inputs")


async def _upsert_several(
    info: Info,
    inputs: Annotated[
        list[UpsertOpeningBalanceInput],
        strawberry.argument(
            description="The accounts and their new opening balances; "
            f"1 to {DEFAULT_LIMITS.inputs}."
        ),
    ],
) -> list[UpsertOpeningBalanceResult]:
    info.context.principal.require(Scope.BALANCES_WRITE)
    # One after the other, because several inputs may be about the same account.
    return [await _upsert(info.context, each) for each in inputs]


@strawberry.type(description="The write operations. Needs the scope balances:write.")
class Mutation:
    """The write operations."""

    upsert_opening_balance: UpsertOpeningBalanceResult = strawberry.mutation(
        resolver=_upsert_one,
        description="Sets the opening balance of an account, in place of the current one. Needs "
        "balances:write.",
    )
    upsert_opening_balances: list[UpsertOpeningBalanceResult] = strawberry.mutation(
        resolver=_upsert_several,
        metadata={
            **list_size(_count_inputs, "inputs"),
            **mutation_rules(_check_inputs, independent_rows=("inputs",)),
        },
        description="Sets opening balances one after the other. Each write is independent: a "
        "rejected write does not undo or stop the others, and an input with an unreadable amount, "
        "currency or instant is rejected alone. Needs balances:write.",
    )
    settle_opening_balance_write: SettleOpeningBalanceWriteResult = strawberry.mutation(
        resolver=settle_opening_balance_write,
        description="Settles a write that the provider may or may not have applied, as you found "
        "it there. Needs balances:write.",
    )
    plan_opening_balances: OpeningBalancePlanResult = strawberry.mutation(
        resolver=plan_opening_balances,
        metadata=PLAN_RULES,
        description="Makes a plan of up to 100,000 opening balances, or adds a part to it. Nothing "
        "is sent to a provider: the gateway reads what is set now, until the plan is READY. A plan "
        "with an invalid row is REFUSED. Needs balances:write.",
    )
    approve_plan: OpeningBalancePlanResult = strawberry.mutation(
        resolver=approve_plan,
        description="Approves a READY plan that another principal made. Needs balances:write.",
    )
    apply_plan: OpeningBalancePlanResult = strawberry.mutation(
        resolver=apply_plan,
        description="Applies a READY plan, and returns at once: the gateway sends each row at most "
        "once, if the account still has the previous opening balance. Repeating it is harmless and "
        "shows the progress. Needs balances:write.",
    )
