"""The mutation root: sets opening balances. Every field needs the scope balances:write."""

from collections.abc import Mapping
from typing import Annotated, Any

import strawberry

from balance_gateway.api.request.context import Info, RequestContext
from balance_gateway.api.request.limits import DEFAULT_LIMITS, Limits
from balance_gateway.api.schema.bank_account import (
    BankAccount,
    OpeningBalance,
    build_bank_account,
    build_opening_balance,
)
from balance_gateway.api.schema.errors import build_internal_message, log_defect
from balance_gateway.api.schema.list_sizes import count_items, list_size
from balance_gateway.api.schema.mutation_rules import mutation_rules
from balance_gateway.api.schema.opening_balance_inputs import (
    UpsertOpeningBalanceInput,
    build_upsert_request,
)
from balance_gateway.domain.access import Scope
from balance_gateway.domain.errors import AccountNotFound, BadInput, ErrorCode, GatewayError
from balance_gateway.service import opening_balances as service


@strawberry.type(description="The write succeeded: the provider has the opening balance.")
class OpeningBalanceApplied:
    """The result of a write that succeeded."""

    bank_account: BankAccount = strawberry.field(description="The account.")
    opening_balance: OpeningBalance = strawberry.field(description="The current opening balance.")
    verified: bool = strawberry.field(
        description="Whether the requested amount was read back after the write."
    )
    replayed: bool = strawberry.field(
        description="Whether this is the result of an earlier request with the same idempotencyKey."
    )


@strawberry.type(
    description="The provider may or may not have the opening balance. Check the account before "
    "you retry: a repeated write can overwrite a newer write of another caller."
)
class OpeningBalanceUncertain:
    """The result of a write with an unknown outcome."""

    bank_account: BankAccount = strawberry.field(description="The account.")
    write_id: str = strawberry.field(
        description="The gateway's id of the write, as in the audit log."
    )
    message: str = strawberry.field(description="A description of the problem.")


@strawberry.type(description="The write failed: the provider does not have the opening balance.")
class OpeningBalanceRejected:
    """The result of a write that failed."""

    code: str = strawberry.field(description="The error code, as in extensions.code of an error.")
    message: str = strawberry.field(description="The reason and the next step.")
    retryable: bool = strawberry.field(
        description="Whether the same write can succeed later without a change."
    )
    field: str | None = strawberry.field(
        description="The invalid input field as a dotted path; null if no field is invalid."
    )


UpsertOpeningBalanceResult = Annotated[
    OpeningBalanceApplied | OpeningBalanceUncertain | OpeningBalanceRejected,
    strawberry.union("UpsertOpeningBalanceResult", description="The result of a write."),
]


async def _upsert(
    context: RequestContext, sent: UpsertOpeningBalanceInput
) -> OpeningBalanceApplied | OpeningBalanceUncertain | OpeningBalanceRejected:
    try:
        request = build_upsert_request(sent)
        result = await context.gateway.writes.upsert(context.principal, request)
    except GatewayError as error:
        return OpeningBalanceRejected(
            code=error.code, message=error.message, retryable=error.retryable, field=error.field
        )
    except Exception as defect:
        # A raised error would null the whole list and hide the results of the other writes.
        return _build_defect_result(context, str(sent.account_id), defect)
    finally:
        # After a failure as well: the write may have reached the provider.
        context.reset_after_write()
    try:
        return _build_result(result, context)
    except Exception as defect:
        # The write may have been applied, so an error about showing it is no rejection.
        return _build_defect_result(context, str(sent.account_id), defect)


def _build_result(
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


def _build_defect_result(
    context: RequestContext, account_id: str, defect: Exception
) -> OpeningBalanceUncertain | OpeningBalanceRejected:
    """Build the result of a write that raised an unexpected exception; the exception is logged."""
    log_defect(defect, context.request_id)
    message = build_internal_message(context.request_id)
    try:
        account = context.gateway.directory.account(context.principal, account_id)
    except AccountNotFound:
        return OpeningBalanceRejected(
            code=ErrorCode.INTERNAL,
            message=message,
            retryable=ErrorCode.INTERNAL.is_retryable,
            field=None,
        )
    # The defect may have been raised after the provider accepted the write.
    return OpeningBalanceUncertain(
        bank_account=build_bank_account(account),
        write_id=context.request_id,
        message=f"{message} Check the account before you retry.",
    )


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
