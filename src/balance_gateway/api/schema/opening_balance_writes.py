"""The recorded writes in GraphQL: one by its id, or pages of them. Needs the scope audit:read."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Annotated

import strawberry

from balance_gateway.api.request.context import Info
from balance_gateway.api.request.limits import DEFAULT_LIMITS, Limits
from balance_gateway.api.schema import pages
from balance_gateway.api.schema.bank_account import OpeningBalance, build_opening_balance
from balance_gateway.api.schema.error_codes import ErrorCode, to_graphql_code
from balance_gateway.api.schema.list_sizes import COUNTED_BY_PARENT
from balance_gateway.api.schema.list_sizes import list_size as declare_size
from balance_gateway.api.schema.money import Money, build_money
from balance_gateway.api.schema.scalars import unset_to_none
from balance_gateway.domain import balances as domain
from balance_gateway.domain import writes
from balance_gateway.domain.access import Scope
from balance_gateway.domain.errors import BadInput
from balance_gateway.ports.reads import FreshnessState
from balance_gateway.ports.write_journal import WriteFilter, WritePosition
from balance_gateway.service.write_results import observe_opening_balance, parse_code

#: The number of writes on a page if the caller asks for none.
PAGE_SIZE = 50
_ITEMS_MAX = DEFAULT_LIMITS.ids
_CURSOR_PREFIX = b"w1:"


@strawberry.enum(description="The state of a recorded write.")
class OpeningBalanceWriteOutcome(Enum):
    """The state of a recorded write."""

    STARTED = strawberry.enum_value(
        writes.WriteOutcome.STARTED, description="It has begun and has no outcome yet."
    )
    APPLIED = strawberry.enum_value(
        writes.WriteOutcome.APPLIED, description="The provider has, or had, the opening balance."
    )
    REJECTED = strawberry.enum_value(
        writes.WriteOutcome.REJECTED, description="The provider certainly does not have it."
    )
    UNCERTAIN = strawberry.enum_value(
        writes.WriteOutcome.UNCERTAIN, description="The provider may or may not have it."
    )


@strawberry.enum(description="How an uncertain write was settled.")
class SettledBy(Enum):
    """How an uncertain write was settled."""

    PROVED = strawberry.enum_value(
        writes.SettledBy.PROVED, description="A read showed what was sent."
    )
    DISPROVED = strawberry.enum_value(
        writes.SettledBy.DISPROVED,
        description="A read showed something else when the write could no longer take effect.",
    )
    SUPERSEDED = strawberry.enum_value(
        writes.SettledBy.SUPERSEDED,
        description="A later write, begun when this one could no longer take effect, was applied.",
    )
    PERSON = strawberry.enum_value(
        writes.SettledBy.PERSON, description="A caller settled it with settleOpeningBalanceWrite."
    )


@strawberry.type(description="The settlement of an uncertain write.")
class WriteSettlement:
    """The settlement of an uncertain write."""

    how: SettledBy = strawberry.field(description="How it was settled.")
    at: datetime = strawberry.field(description="When it was settled.")
    principal: str | None = strawberry.field(
        description="The name of the caller who settled it; null if the gateway did."
    )
    note: str | None = strawberry.field(description="The reason; null if there is none.")


@strawberry.type(description="A write as the gateway has recorded it.")
class OpeningBalanceWrite:
    """A recorded write."""

    id: strawberry.ID = strawberry.field(description="The gateway's id of the write.")
    account_id: strawberry.ID = strawberry.field(description="The id of the account.")
    principal: str = strawberry.field(description="The name of the caller.")
    amount: Money = strawberry.field(description="The amount that was requested.")
    effective_at: datetime | None = strawberry.field(
        description="The instant that was requested or chosen; null if there was none."
    )
    memo: str | None = strawberry.field(description="The requested note; null without one.")
    reference_number: str | None = strawberry.field(
        description="The requested reference number; null without one."
    )
    started_at: datetime = strawberry.field(description="When the write began.")
    finished_at: datetime | None = strawberry.field(
        description="When its outcome was recorded; null while it has none."
    )
    outcome: OpeningBalanceWriteOutcome = strawberry.field(description="The current state.")
    unsettled: bool = strawberry.field(
        description="Whether it is unknown if the provider has the opening balance."
    )
    verified: bool = strawberry.field(description="Whether the requested value was read back.")
    previous: OpeningBalance | None = strawberry.field(
        description="The opening balance before the write; null if none was set or known."
    )
    applied: OpeningBalance | None = strawberry.field(
        description="The opening balance after the write; null unless it was applied."
    )
    found: OpeningBalance | None = strawberry.field(
        description="What reading showed when the outcome was not as requested; null if unknown."
    )
    code: ErrorCode | None = strawberry.field(
        description="The error code; null if the write was applied or has no outcome."
    )
    message: str | None = strawberry.field(description="The reason; null without an error.")
    provider_code: str | None = strawberry.field(
        description="The provider's own stable code of the error; null without one."
    )
    settlement: WriteSettlement | None = strawberry.field(
        description="How an uncertain write was settled; null if it is not, or needs none."
    )


@strawberry.type(description="A write on a page.")
class OpeningBalanceWriteEdge:
    """A write on a page."""

    cursor: str = strawberry.field(description="The cursor of the write, to send as after.")
    node: OpeningBalanceWrite = strawberry.field(description="The write.")


@strawberry.type(description="A page of writes, newest first.")
class OpeningBalanceWriteConnection:
    """A page of writes."""

    edges: list[OpeningBalanceWriteEdge] = strawberry.field(
        metadata=declare_size(COUNTED_BY_PARENT), description="The writes with their cursors."
    )
    nodes: list[OpeningBalanceWrite] = strawberry.field(
        metadata=declare_size(COUNTED_BY_PARENT), description="The writes."
    )
    page_info: pages.PageInfo = strawberry.field(description="The position of the page.")


@strawberry.input(
    description="A filter for writes: a write must match every condition. An empty list matches "
    "no write."
)
class OpeningBalanceWriteFilter:
    """A filter for writes."""

    outcomes: list[OpeningBalanceWriteOutcome] | None = strawberry.field(
        default=strawberry.UNSET, description="Writes in one of these states."
    )
    account_ids: list[strawberry.ID] | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"Writes of one of these accounts; at most {_ITEMS_MAX}.",
    )
    since: datetime | None = strawberry.field(
        default=strawberry.UNSET, description="Writes that began at or after this instant."
    )


def build_write(record: writes.WriteRecord, now: datetime) -> OpeningBalanceWrite:
    """Build the GraphQL object of a recorded write."""
    intent, settlement = record.intent, record.settlement
    amount = build_money(intent.amount)
    assert amount is not None
    finished_at = record.finished_at or intent.started_at
    return OpeningBalanceWrite(
        id=strawberry.ID(intent.id),
        account_id=strawberry.ID(intent.account_id),
        principal=intent.principal,
        amount=amount,
        effective_at=intent.effective_at,
        memo=intent.memo,
        reference_number=intent.reference_number,
        started_at=intent.started_at,
        finished_at=record.finished_at,
        outcome=OpeningBalanceWriteOutcome(record.outcome),
        unsettled=record.is_unsettled,
        verified=record.verified,
        previous=_build_value(intent.previous, intent.started_at, now),
        applied=_build_value(record.applied, finished_at, now),
        found=_build_value(record.found, finished_at, now),
        code=None if record.error_code is None else to_graphql_code(parse_code(record.error_code)),
        message=record.error_message,
        provider_code=record.provider_code,
        settlement=None
        if settlement is None
        else WriteSettlement(
            how=SettledBy(settlement.how),
            at=settlement.at,
            principal=settlement.principal,
            note=settlement.note,
        ),
    )


def _build_value(
    value: domain.OpeningBalance | None, observed_at: datetime, now: datetime
) -> OpeningBalance | None:
    if value is None:
        return None
    observed = observe_opening_balance(value, observed_at, FreshnessState.CACHED)
    return build_opening_balance(observed, now)


async def get_write(
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="The id of the write.")],
) -> OpeningBalanceWrite | None:
    """Resolve one write of the caller's tenant; None when there is none with the id."""
    context = info.context
    context.principal.require(Scope.AUDIT_READ)
    record = await context.history.by_id(context.principal.tenant, id)
    return None if record is None else build_write(record, context.now)


async def list_writes(
    info: Info,
    filter: Annotated[
        OpeningBalanceWriteFilter | None,
        strawberry.argument(description="The writes to include. Default: all writes."),
    ] = strawberry.UNSET,
    first: Annotated[
        int | None,
        strawberry.argument(
            description=f"The maximum number of writes; 0 to {DEFAULT_LIMITS.writes_page_size}."
        ),
    ] = PAGE_SIZE,
    after: Annotated[
        str | None,
        strawberry.argument(description="The cursor before the page. Default: the newest."),
    ] = strawberry.UNSET,
) -> OpeningBalanceWriteConnection | None:
    """Resolve a page of the writes of the caller's tenant, newest first."""
    context = info.context
    context.principal.require(Scope.AUDIT_READ)
    sent_first = PAGE_SIZE if first is None else first
    count = pages.require_page_size(sent_first, context.limits.writes_page_size)
    selected = _to_domain_filter(filter, context.limits.ids)
    sent_after = unset_to_none(after)
    position = None if sent_after is None else decode_cursor(sent_after)
    tenant = context.principal.tenant
    records = await context.history.page(tenant, selected, count + 1, position)
    return _build_page(records, count, position, context.now)


def _build_page(
    records: Sequence[writes.WriteRecord],
    count: int,
    after: WritePosition | None,
    now: datetime,
) -> OpeningBalanceWriteConnection:
    page = records[:count]
    edges = [
        OpeningBalanceWriteEdge(cursor=encode_cursor(record), node=build_write(record, now))
        for record in page
    ]
    return OpeningBalanceWriteConnection(
        edges=edges,
        nodes=[edge.node for edge in edges],
        page_info=pages.build_page_info(
            [edge.cursor for edge in edges],
            has_next=len(records) > count,
            has_previous=after is not None,
        ),
    )


def count_page(limits: Limits, first: object) -> int:
    """Return the number of writes on a page, for the cost of a document."""
    return min(max(first if isinstance(first, int) else PAGE_SIZE, 1), limits.writes_page_size)


def _to_domain_filter(sent: OpeningBalanceWriteFilter | None, ids_max: int) -> WriteFilter:
    if not sent:
        return WriteFilter()
    outcomes, ids = unset_to_none(sent.outcomes), unset_to_none(sent.account_ids)
    for items, field in ((outcomes, "filter.outcomes"), (ids, "filter.accountIds")):
        if items is not None and len(items) > ids_max:
            message = f"{field} must have at most {ids_max} items, not {len(items)}."
            raise BadInput(message, field=field)
    return WriteFilter(
        outcomes=None
        if outcomes is None
        else frozenset(writes.WriteOutcome[each.name] for each in outcomes),
        account_ids=None if ids is None else frozenset(map(str, ids)),
        since=unset_to_none(sent.since),
    )


def encode_cursor(record: writes.WriteRecord) -> str:
    """Build the opaque cursor of a write."""
    return _encode(WritePosition(record.intent.started_at, record.intent.id))


def _encode(position: WritePosition) -> str:
    text = f"{position.started_at.isoformat()} {position.id}"
    return pages.encode_cursor(_CURSOR_PREFIX + text.encode())


def decode_cursor(cursor: str) -> WritePosition:
    """Return the position in a cursor.

    Raises:
        BadInput: the text is not a result of ``encode_cursor``.
    """
    try:
        content = pages.decode_cursor(cursor).removeprefix(_CURSOR_PREFIX).decode()
        started_at, write_id = content.split(" ", 1)
        position = WritePosition(datetime.fromisoformat(started_at), write_id)
    except ValueError:
        raise pages.build_after_error() from None
    if position.started_at.tzinfo is None or _encode(position) != cursor:
        raise pages.build_after_error()
    return position
