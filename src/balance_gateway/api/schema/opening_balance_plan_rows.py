"""The rows of a plan in GraphQL, in pages sorted by line."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum

import strawberry

from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema import pages
from balance_gateway.api.schema.bank_account import OpeningBalance, build_opening_balance
from balance_gateway.api.schema.error_codes import ErrorCode, to_graphql_code
from balance_gateway.api.schema.list_sizes import COUNTED_BY_PARENT, list_size
from balance_gateway.api.schema.money import Money, build_money
from balance_gateway.domain import opening_balance_plans as domain
from balance_gateway.ports.reads import FreshnessState
from balance_gateway.service.write_results import observe_opening_balance, parse_code

#: The number of rows on a page if the caller asks for none.
PAGE_SIZE = 100
_CURSOR_PREFIX = b"p1:"


@strawberry.enum(description="What became of a row of a plan.")
class OpeningBalancePlanOutcome(Enum):
    """What became of a row."""

    PENDING = strawberry.enum_value(
        domain.RowOutcome.PENDING, description="It has no outcome yet; nothing may have been sent."
    )
    INVALID = strawberry.enum_value(
        domain.RowOutcome.INVALID,
        description="It cannot be applied; the plan is refused, and nothing of it is sent.",
    )
    APPLIED = strawberry.enum_value(
        domain.RowOutcome.APPLIED, description="The provider has the opening balance."
    )
    UNCHANGED = strawberry.enum_value(
        domain.RowOutcome.UNCHANGED,
        description="The account has the opening balance already; nothing was sent.",
    )
    REJECTED = strawberry.enum_value(
        domain.RowOutcome.REJECTED, description="The provider certainly does not have it."
    )
    UNCERTAIN = strawberry.enum_value(
        domain.RowOutcome.UNCERTAIN,
        description="The provider may or may not have it. Once its write is settled as applied or "
        "rejected, the row has that outcome.",
    )


@strawberry.enum(description="What was known of an account's opening balance when it was planned.")
class OpeningBalancePlanPrevious(Enum):
    """What is known of the previous opening balance."""

    VALUE = strawberry.enum_value(domain.PreviousState.VALUE, description="It is in previous.")
    NONE = strawberry.enum_value(domain.PreviousState.NONE, description="None was set.")
    UNREADABLE = strawberry.enum_value(
        domain.PreviousState.UNREADABLE,
        description="The provider cannot return it and the gateway has recorded none; the row is "
        "applied only while that is still so.",
    )
    FAILED = strawberry.enum_value(
        domain.PreviousState.FAILED,
        description="It could not be read; code and message say why. The row is not sent.",
    )


@strawberry.type(description="A row of a plan.")
class OpeningBalancePlanRow:
    """A row of a plan."""

    line: int = strawberry.field(description="The line in your file.")
    account_id: strawberry.ID = strawberry.field(
        description="The account id of the row; empty if the sent text cannot be one."
    )
    amount: Money | None = strawberry.field(
        description="The new opening balance; null if the row is invalid."
    )
    effective_at: datetime | None = strawberry.field(
        description="The instant of the row; null without one: the instant of the write, or the "
        "provider's own date."
    )
    memo: str | None = strawberry.field(description="The note of the row; null without one.")
    reference_number: str | None = strawberry.field(
        description="The reference number of the row; null without one."
    )
    previous_state: OpeningBalancePlanPrevious | None = strawberry.field(
        description="What is known of previous; null until it was read."
    )
    previous: OpeningBalance | None = strawberry.field(
        description="The opening balance when it was planned; null if none was set or known."
    )
    unchanged: bool = strawberry.field(
        description="Whether the account had the opening balance already when it was planned."
    )
    outcome: OpeningBalancePlanOutcome = strawberry.field(description="What became of the row.")
    write_id: strawberry.ID | None = strawberry.field(
        description="The gateway's id of the write; null if nothing was recorded."
    )
    code: ErrorCode | None = strawberry.field(
        description="Why the row is invalid, rejected or uncertain, or previous unknown; null "
        "without a reason."
    )
    message: str | None = strawberry.field(description="The reason; null without one.")
    field: str | None = strawberry.field(
        description="The invalid field of the row; null if no field is invalid."
    )
    retryable: bool = strawberry.field(
        description="Whether the same row can succeed in a later plan."
    )


@strawberry.type(description="A row on a page.")
class OpeningBalancePlanRowEdge:
    """A row on a page."""

    cursor: str = strawberry.field(description="The cursor of the row, to send as after.")
    node: OpeningBalancePlanRow = strawberry.field(description="The row.")


@strawberry.type(description="A page of a plan's rows, sorted by line.")
class OpeningBalancePlanRowConnection:
    """A page of rows."""

    edges: list[OpeningBalancePlanRowEdge] = strawberry.field(
        metadata=list_size(COUNTED_BY_PARENT), description="The rows with their cursors."
    )
    nodes: list[OpeningBalancePlanRow] = strawberry.field(
        metadata=list_size(COUNTED_BY_PARENT), description="The rows."
    )
    page_info: pages.PageInfo = strawberry.field(description="The position of the page.")


def count_row_page(limits: Limits, first: object) -> int:
    """Return the number of rows on a page, for the cost of a document."""
    return min(max(first if isinstance(first, int) else PAGE_SIZE, 1), limits.plan_rows_page_size)


def build_row_page(
    rows: Sequence[domain.PlanRow], count: int, after_line: int | None, now: datetime
) -> OpeningBalancePlanRowConnection:
    """Build a page of at most ``count`` rows; a row more shows that another page follows."""
    edges = [
        OpeningBalancePlanRowEdge(
            cursor=pages.encode_number_cursor(_CURSOR_PREFIX, row.line), node=_build_row(row, now)
        )
        for row in rows[:count]
    ]
    return OpeningBalancePlanRowConnection(
        edges=edges,
        nodes=[edge.node for edge in edges],
        page_info=pages.build_page_info(
            [edge.cursor for edge in edges],
            has_next=len(rows) > count,
            has_previous=after_line is not None,
        ),
    )


def _build_row(row: domain.PlanRow, now: datetime) -> OpeningBalancePlanRow:
    previous, previous_at = row.previous, row.previous_at
    state = row.previous_state
    return OpeningBalancePlanRow(
        line=row.line,
        account_id=strawberry.ID(row.account_id),
        amount=build_money(row.amount),
        effective_at=row.effective_at,
        memo=row.memo,
        reference_number=row.reference_number,
        previous_state=None if state is None else OpeningBalancePlanPrevious(state),
        previous=None
        if previous is None or previous_at is None
        else build_opening_balance(
            observe_opening_balance(previous, previous_at, FreshnessState.CACHED), now
        ),
        unchanged=row.is_unchanged,
        outcome=OpeningBalancePlanOutcome(row.outcome),
        write_id=None if row.write_id is None else strawberry.ID(row.write_id),
        code=None if row.code is None else to_graphql_code(parse_code(row.code)),
        message=row.message,
        field=row.field,
        retryable=row.retryable,
    )


def decode_cursor(cursor: str) -> int:
    """Return the line in a cursor.

    Raises:
        BadInput: the text is not the cursor of a row.
    """
    line = pages.decode_number_cursor(_CURSOR_PREFIX, cursor)
    if not 0 < line < 2**31:
        raise pages.build_after_error()
    return line
