"""The mutation root: setting opening balances. Every field needs the scope balances:write."""

from typing import Annotated

import strawberry

from balance_gateway.api.request.context import Info, RequestContext
from balance_gateway.api.request.limits import DEFAULT_LIMITS
from balance_gateway.api.schema.bank_account import (
    BankAccount,
    OpeningBalance,
    build_bank_account,
    build_opening_balance,
)
from balance_gateway.api.schema.errors import internal_message, log_defect
from balance_gateway.api.schema.opening_balance_inputs import (
    UpsertOpeningBalanceInput,
    build_upsert_request,
)
from balance_gateway.domain.access import Scope
from balance_gateway.domain.errors import AccountNotFound, BadInput, GatewayError
from balance_gateway.service import opening_balances as service


@strawberry.type(description="The provider has the opening balance.")
class OpeningBalanceApplied:
    """The provider has it."""

    bank_account: BankAccount = strawberry.field(description="The account.")
    opening_balance: OpeningBalance = strawberry.field(description="What stands now.")
    verified: bool = strawberry.field(
        description="Whether it was read back from the provider after it was set."
    )
    replayed: bool = strawberry.field(
        description="Whether this is the outcome of an earlier request with the same key."
    )


@strawberry.type(
    description="The provider may or may not have the opening balance. Look at the account before "
    "you try again: repeating a write can undo somebody else's newer one."
)
class OpeningBalanceUncertain:
    """The provider may or may not have it."""

    bank_account: BankAccount = strawberry.field(description="The account.")
    write_id: str = strawberry.field(description="The gateway's id of the write, for its audit.")
    message: str = strawberry.field(description="What happened.")


@strawberry.type(description="The provider certainly does not have the opening balance.")
class OpeningBalanceRejected:
    """The provider certainly does not have it."""

    code: str = strawberry.field(description="The code of the reason, as in errors.")
    message: str = strawberry.field(description="The reason and the next step.")
    retryable: bool = strawberry.field(
        description="Whether the same write can succeed later without a change."
    )
    field: str | None = strawberry.field(
        description="The input field at fault, as a dotted path; null when none is."
    )


UpsertOpeningBalanceResult = Annotated[
    OpeningBalanceApplied | OpeningBalanceUncertain | OpeningBalanceRejected,
    strawberry.union(
        "UpsertOpeningBalanceResult", description="The one outcome that each write has."
    ),
]


async def _upsert(
    context: RequestContext, given: UpsertOpeningBalanceInput
) -> OpeningBalanceApplied | OpeningBalanceUncertain | OpeningBalanceRejected:
    try:
        request = build_upsert_request(given)
        return _outcome_of(await context.gateway.writes.upsert(context.principal, request), context)
    except GatewayError as error:
        return OpeningBalanceRejected(
            code=error.code, message=error.message, retryable=error.retryable, field=error.field
        )
    except Exception as defect:
        return _outcome_of_defect(context, str(given.account_id), defect)
    finally:
        context.written()


def _outcome_of(
    result: service.UpsertResult, context: RequestContext
) -> OpeningBalanceApplied | OpeningBalanceUncertain | OpeningBalanceRejected:
    match result:
        case service.Applied():
            return OpeningBalanceApplied(
                bank_account=build_bank_account(result.account),
                opening_balance=build_opening_balance(result.opening_balance, context.now),
                verified=result.verified,
                replayed=result.replayed,
            )
        case service.Uncertain():
            return OpeningBalanceUncertain(
                bank_account=build_bank_account(result.account),
                write_id=result.write_id,
                message=result.message,
            )
        case service.Rejected():
            return OpeningBalanceRejected(
                code=result.code,
                message=result.message,
                retryable=result.retryable,
                field=result.field,
            )


def _outcome_of_defect(
    context: RequestContext, account_id: str, defect: Exception
) -> OpeningBalanceUncertain | OpeningBalanceRejected:
    """A defect while writing says nothing of the provider, and must not hide the other writes."""
    log_defect(defect, context.request_id)
    message = internal_message(context.request_id)
    try:
        account = context.gateway.directory.account(context.principal, account_id)
    except AccountNotFound:
        return OpeningBalanceRejected(code="INTERNAL", message=message, retryable=False, field=None)
    return OpeningBalanceUncertain(
        bank_account=build_bank_account(account),
        write_id=context.request_id,
        message=f"{message} Look at the account before you try again.",
    )


async def _upsert_one(
    info: Info,
    input: Annotated[
        UpsertOpeningBalanceInput, strawberry.argument(description="What to set, and where.")
    ],
) -> UpsertOpeningBalanceResult:
    info.context.principal.require(Scope.BALANCES_WRITE)
    return await _upsert(info.context, input)


async def _upsert_several(
    info: Info,
    inputs: Annotated[
        list[UpsertOpeningBalanceInput],
        strawberry.argument(description=f"What to set, and where; 1 to {DEFAULT_LIMITS.inputs}."),
    ],
) -> list[UpsertOpeningBalanceResult]:
    info.context.principal.require(Scope.BALANCES_WRITE)
    inputs_max = info.context.limits.inputs
    if not 1 <= len(inputs) <= inputs_max:
        message = f"inputs takes 1 to {inputs_max} items, not {len(inputs)}. Split the list."
        raise BadInput(message, field="inputs")
    return [await _upsert(info.context, each) for each in inputs]


@strawberry.type(description="Everything that can be changed. Needs the scope balances:write.")
class Mutation:
    """Everything that can be changed."""

    upsert_opening_balance: UpsertOpeningBalanceResult = strawberry.mutation(
        resolver=_upsert_one,
        description="Sets an account's opening balance in place of the one that stands. Needs "
        "balances:write.",
    )
    upsert_opening_balances: list[UpsertOpeningBalanceResult] = strawberry.mutation(
        resolver=_upsert_several,
        description="Sets opening balances one after the other, each on its own: one that is "
        "rejected does not undo or stop another. Needs balances:write.",
    )
