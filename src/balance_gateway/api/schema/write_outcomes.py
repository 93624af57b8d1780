"""The GraphQL outcomes of a write: applied, uncertain or rejected."""

import math
from typing import Annotated

import strawberry

from balance_gateway.api.request.context import RequestContext
from balance_gateway.api.schema.bank_account import (
    BankAccount,
    OpeningBalance,
    build_bank_account,
    build_opening_balance,
)
from balance_gateway.api.schema.error_codes import ErrorCode, to_graphql_code
from balance_gateway.api.schema.errors import build_internal_message, log_defect
from balance_gateway.domain import balances as domain
from balance_gateway.domain.errors import AccountNotFound, GatewayError, Internal
from balance_gateway.ports.reads import Observed
from balance_gateway.service import opening_balances as service


@strawberry.interface(description="The outcome of a write.")
class WriteOutcome:
    """The outcome of a write."""

    account_id: strawberry.ID = strawberry.field(description="The account id of the request.")
    write_id: strawberry.ID | None = strawberry.field(
        description="The gateway's id of the write, as in the audit log; null if nothing was "
        "recorded and nothing was sent."
    )
    message: str = strawberry.field(description="What is known, and the next step if there is one.")


@strawberry.type(description="The write succeeded: the provider has the opening balance.")
class OpeningBalanceApplied(WriteOutcome):
    """The outcome of a write that succeeded."""

    bank_account: BankAccount | None = strawberry.field(description="The account.")
    opening_balance: OpeningBalance = strawberry.field(description="The current opening balance.")
    previous: OpeningBalance | None = strawberry.field(
        description="The opening balance before the write; null if none was set or known."
    )
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
class OpeningBalanceUncertain(WriteOutcome):
    """The outcome of a write with an unknown effect."""

    write_id: strawberry.ID = strawberry.field(
        description="The gateway's id of the write, as in the audit log."
    )
    bank_account: BankAccount | None = strawberry.field(description="The account.")
    found: OpeningBalance | None = strawberry.field(
        description="What reading back showed; null if it was not read, or none was set."
    )


@strawberry.type(description="The write failed: the provider does not have the opening balance.")
class OpeningBalanceRejected(WriteOutcome):
    """The outcome of a write that failed."""

    code: ErrorCode = strawberry.field(
        description="The error code, as in extensions.code of an error."
    )
    retryable: bool = strawberry.field(
        description="Whether the same write can succeed later without a change."
    )
    retry_after_seconds: int | None = strawberry.field(
        description="Seconds to wait before a retry; null if unknown."
    )
    field: str | None = strawberry.field(
        description="The invalid input field as a dotted path; null if no field is invalid."
    )
    current: OpeningBalance | None = strawberry.field(
        description="The opening balance that is set; null if none is set or known."
    )


UpsertOpeningBalanceResult = Annotated[
    OpeningBalanceApplied | OpeningBalanceUncertain | OpeningBalanceRejected,
    strawberry.union("UpsertOpeningBalanceResult", description="The result of a write."),
]


def build_outcome(
    result: service.UpsertResult, account_id: str, context: RequestContext
) -> OpeningBalanceApplied | OpeningBalanceUncertain | OpeningBalanceRejected:
    """Build the GraphQL outcome of a write."""
    match result:
        case service.Applied():
            return OpeningBalanceApplied(
                account_id=strawberry.ID(account_id),
                write_id=strawberry.ID(result.write_id),
                message=result.message,
                bank_account=build_bank_account(result.account),
                opening_balance=build_opening_balance(result.opening_balance, context.now),
                previous=_build_or_none(result.previous, context),
                verified=result.verified,
                replayed=result.replayed,
            )
        case service.Uncertain():
            return OpeningBalanceUncertain(
                account_id=strawberry.ID(account_id),
                write_id=strawberry.ID(result.write_id),
                message=result.message,
                bank_account=build_bank_account(result.account),
                found=_build_or_none(result.found, context),
            )
        case service.Rejected():
            return OpeningBalanceRejected(
                account_id=strawberry.ID(account_id),
                write_id=None if result.write_id is None else strawberry.ID(result.write_id),
                message=result.message,
                code=to_graphql_code(result.code),
                retryable=result.retryable,
                retry_after_seconds=round_up(result.retry_after_s),
                field=result.field,
                current=_build_or_none(result.current, context),
            )


def build_input_rejection(error: GatewayError, account_id: str) -> OpeningBalanceRejected:
    """Build the outcome of a write with an invalid input; nothing was recorded."""
    return OpeningBalanceRejected(
        account_id=strawberry.ID(account_id),
        write_id=None,
        message=error.message,
        code=to_graphql_code(error.code),
        retryable=error.retryable,
        retry_after_seconds=round_up(error.retry_after_s),
        field=error.field,
        current=None,
    )


def build_defect_outcome(
    context: RequestContext, account_id: str, defect: Exception
) -> OpeningBalanceUncertain | OpeningBalanceRejected:
    """Build the outcome of a write that raised an unexpected exception; the exception is logged."""
    log_defect(defect, context.request_id)
    message = build_internal_message(context.request_id)
    try:
        account = context.gateway.directory.account(context.principal, account_id)
    except AccountNotFound:
        return build_input_rejection(Internal(message), account_id)
    # The defect may have been raised after the provider accepted the write.
    return OpeningBalanceUncertain(
        account_id=strawberry.ID(account_id),
        write_id=strawberry.ID(context.request_id),
        message=f"{message} Check the account before you retry.",
        bank_account=build_bank_account(account),
        found=None,
    )


def round_up(seconds: float | None) -> int | None:
    """Return whole seconds; None for None."""
    return None if seconds is None else math.ceil(seconds)


def _build_or_none(
    observed: Observed[domain.OpeningBalance] | None, context: RequestContext
) -> OpeningBalance | None:
    return None if observed is None else build_opening_balance(observed, context.now)
