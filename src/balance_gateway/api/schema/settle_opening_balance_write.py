"""The mutation that settles an uncertain write as a person found it at the provider."""

from enum import Enum
from typing import Annotated

import strawberry

from balance_gateway.api.request.context import Info
from balance_gateway.api.schema.error_codes import ErrorCode, to_graphql_code
from balance_gateway.api.schema.opening_balance_writes import OpeningBalanceWrite, build_write
from balance_gateway.api.schema.write_outcomes import round_up
from balance_gateway.domain.access import Scope
from balance_gateway.domain.errors import GatewayError


@strawberry.enum(description="What you found at the provider.")
class SettledAs(Enum):
    """What a person found at the provider."""

    APPLIED = strawberry.enum_value(
        "applied", description="The provider has the opening balance of the write now."
    )
    NOT_APPLIED = strawberry.enum_value(
        "not_applied", description="The provider has another opening balance, or none."
    )


@strawberry.type(description="The write is settled.")
class OpeningBalanceWriteSettled:
    """A write that was settled."""

    write: OpeningBalanceWrite = strawberry.field(description="The write after its settlement.")


@strawberry.type(description="The write was not settled; nothing has changed.")
class SettleOpeningBalanceWriteRejected:
    """A write that was not settled."""

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
        description="The invalid argument; null if no argument is invalid."
    )


SettleOpeningBalanceWriteResult = Annotated[
    OpeningBalanceWriteSettled | SettleOpeningBalanceWriteRejected,
    strawberry.union(
        "SettleOpeningBalanceWriteResult", description="The result of settling a write."
    ),
]


async def settle_opening_balance_write(
    info: Info,
    write_id: Annotated[strawberry.ID, strawberry.argument(description="The id of the write.")],
    as_: Annotated[
        SettledAs, strawberry.argument(name="as", description="What you found at the provider.")
    ],
    note: Annotated[
        str,
        strawberry.argument(description="How you know, for the audit log; 1 to 1,000 characters."),
    ],
) -> SettleOpeningBalanceWriteResult:
    """Resolve the mutation."""
    context = info.context
    context.principal.require(Scope.BALANCES_WRITE)
    try:
        record = await context.gateway.reconciler.settle_by_hand(
            context.principal, write_id, applied=as_ is SettledAs.APPLIED, note=note
        )
    except GatewayError as error:
        return SettleOpeningBalanceWriteRejected(
            code=to_graphql_code(error.code),
            message=error.message,
            retryable=error.retryable,
            retry_after_seconds=round_up(error.retry_after_s),
            field=error.field,
        )
    finally:
        context.reset_after_write()
    return OpeningBalanceWriteSettled(write=build_write(record, context.now))
