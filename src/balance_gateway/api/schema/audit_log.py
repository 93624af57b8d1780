"""The audit log in GraphQL, in pages. Needs the scope audit:read."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Annotated

import strawberry

from balance_gateway.api.request.context import Info
from balance_gateway.api.request.limits import DEFAULT_LIMITS, Limits
from balance_gateway.api.schema import pages
from balance_gateway.api.schema.error_codes import ErrorCode, to_graphql_code
from balance_gateway.api.schema.list_sizes import COUNTED_BY_PARENT, TYPICAL_SIZE
from balance_gateway.api.schema.list_sizes import list_size as declare_size
from balance_gateway.api.schema.money import Money, build_money
from balance_gateway.api.schema.opening_balance_writes import OpeningBalanceWriteOutcome
from balance_gateway.api.schema.scalars import BigInt, unset_to_none
from balance_gateway.domain import audit as domain
from balance_gateway.domain.access import Scope
from balance_gateway.domain.errors import BadInput
from balance_gateway.ports import audit_log as ports
from balance_gateway.service.write_results import parse_code

#: The number of entries on a page if the caller asks for none.
PAGE_SIZE = 50
_ITEMS_MAX = DEFAULT_LIMITS.ids
_CURSOR_PREFIX = b"l1:"


@strawberry.enum(description="A change that the audit log records.")
class AuditAction(Enum):
    """A change that the audit log records."""

    BEGUN = strawberry.enum_value(domain.AuditEvent.BEGUN, description="A write has begun.")
    FINISHED = strawberry.enum_value(
        domain.AuditEvent.FINISHED, description="A write has its outcome."
    )
    LEASE_EXPIRED = strawberry.enum_value(
        domain.AuditEvent.LEASE_EXPIRED, description="A write was not finished in time."
    )
    DISREGARDED = strawberry.enum_value(
        domain.AuditEvent.DISREGARDED,
        description="An outcome arrived after a final one and changed nothing.",
    )
    PROVED = strawberry.enum_value(
        domain.AuditEvent.PROVED, description="A read showed that an uncertain write was applied."
    )
    DISPROVED = strawberry.enum_value(
        domain.AuditEvent.DISPROVED,
        description="A read showed that an uncertain write was not applied.",
    )
    SUPERSEDED = strawberry.enum_value(
        domain.AuditEvent.SUPERSEDED,
        description="A later write made an uncertain one irrelevant.",
    )
    SETTLED = strawberry.enum_value(
        domain.AuditEvent.SETTLED, description="A caller settled an uncertain write."
    )
    PRUNED = strawberry.enum_value(
        domain.AuditEvent.PRUNED, description="Old entries were exported and removed."
    )
    PLAN_MADE = strawberry.enum_value(
        domain.AuditEvent.PLAN_MADE, description="A plan was made: it is READY or REFUSED."
    )
    PLAN_APPROVED = strawberry.enum_value(
        domain.AuditEvent.PLAN_APPROVED, description="A caller approved a plan."
    )
    PLAN_APPLIED = strawberry.enum_value(
        domain.AuditEvent.PLAN_APPLIED, description="A caller let the gateway apply a plan."
    )
    PLAN_FINISHED = strawberry.enum_value(
        domain.AuditEvent.PLAN_FINISHED, description="Every row of a plan has its outcome."
    )


@strawberry.enum(description="The order of the entries of the audit log.")
class AuditOrder(Enum):
    """The order of entries."""

    NEWEST_FIRST = strawberry.enum_value("newest_first", description="The newest entry first.")
    OLDEST_FIRST = strawberry.enum_value("oldest_first", description="The oldest entry first.")


@strawberry.type(
    description="Neighbouring entries that were exported and removed. The removal is an entry "
    "with the action PRUNED, which has a hash of these values."
)
class RemovedAuditEntries:
    """Entries that were removed."""

    first_sequence: BigInt = strawberry.field(description="The sequence of the first of them.")
    last_sequence: BigInt = strawberry.field(description="The sequence of the last of them.")
    previous_hash: str = strawberry.field(
        description="The hash of the entry before the first of them."
    )
    last_hash: str = strawberry.field(description="The hash of the last of them.")
    removed_in: BigInt = strawberry.field(
        description="The sequence of the entry that records the removal."
    )


@strawberry.type(
    description="A recorded change. A value that cannot be read is null, and record has it as "
    "it is stored."
)
class AuditEntry:
    """A recorded change."""

    number: BigInt = strawberry.field(
        description="The number of the entry; numbers rise with time, with gaps."
    )
    sequence: BigInt | None = strawberry.field(
        description="The place in your chain of hashes, from 1; null for an entry of a release "
        "without the chain."
    )
    hash: str | None = strawberry.field(
        description="The SHA-256 of record, in hexadecimal; null without a sequence."
    )
    previous_hash: str | None = strawberry.field(
        description="The hash of the entry before in the chain; null without a sequence."
    )
    record: str = strawberry.field(
        description="All stored values as one JSON object: exactly the text that hash is made "
        "from. Without hash and, with a sequence, without number."
    )
    at: datetime | None = strawberry.field(description="When the change was recorded.")
    action: AuditAction | None = strawberry.field(description="The change.")
    principal: str = strawberry.field(description="The name of the caller.")
    account_id: strawberry.ID | None = strawberry.field(
        description="The id of the account; null if the change concerns none."
    )
    write_id: strawberry.ID | None = strawberry.field(
        description="The id of the write; null if the change concerns none."
    )
    plan_id: strawberry.ID | None = strawberry.field(
        description="The id of the plan; null if the change concerns none."
    )
    outcome: OpeningBalanceWriteOutcome | None = strawberry.field(
        description="The state of the write after the change; null if the change concerns none."
    )
    amount: Money | None = strawberry.field(description="The amount that was requested.")
    effective_at: datetime | None = strawberry.field(
        description="The instant that was requested or chosen; null if there was none."
    )
    previous: Money | None = strawberry.field(
        description="The amount before the write; null if none was set or known."
    )
    applied: Money | None = strawberry.field(
        description="The amount after the write; null unless it was applied."
    )
    found: Money | None = strawberry.field(
        description="The amount that reading showed when the outcome was not as requested; null if "
        "unknown."
    )
    verified: bool = strawberry.field(description="Whether the applied value was read back.")
    code: ErrorCode | None = strawberry.field(description="The error code; null without an error.")
    message: str | None = strawberry.field(description="The reason; null without an error.")
    provider_code: str | None = strawberry.field(
        description="The provider's own stable code of the error; null without one."
    )
    note: str | None = strawberry.field(
        description="The reason of a settlement; or, as JSON, what was removed, or the contentHash "
        "and facts of a plan; null without one."
    )
    removed_before: list[RemovedAuditEntries] = strawberry.field(
        metadata=declare_size(TYPICAL_SIZE),
        description="The entries that were removed between this one and the one before in the "
        "chain, in their order.",
    )


@strawberry.type(description="An entry on a page.")
class AuditEntryEdge:
    """An entry on a page."""

    cursor: str = strawberry.field(description="The cursor of the entry, to send as after.")
    node: AuditEntry = strawberry.field(description="The entry.")


@strawberry.type(description="A page of the audit log.")
class AuditEntryConnection:
    """A page of the audit log."""

    edges: list[AuditEntryEdge] = strawberry.field(
        metadata=declare_size(COUNTED_BY_PARENT), description="The entries with their cursors."
    )
    nodes: list[AuditEntry] = strawberry.field(
        metadata=declare_size(COUNTED_BY_PARENT), description="The entries."
    )
    page_info: pages.PageInfo = strawberry.field(description="The position of the page.")


@strawberry.input(
    description="A filter for entries: an entry must match every condition. An empty list matches "
    "no entry. Only all entries of a chain together can be verified."
)
class AuditFilter:
    """A filter for entries."""

    account_ids: list[strawberry.ID] | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"Entries of one of these accounts; at most {_ITEMS_MAX}.",
    )
    actions: list[AuditAction] | None = strawberry.field(
        default=strawberry.UNSET, description="Entries with one of these actions."
    )
    since: datetime | None = strawberry.field(
        default=strawberry.UNSET, description="Entries at or after this instant."
    )
    until: datetime | None = strawberry.field(
        default=strawberry.UNSET, description="Entries before this instant."
    )


async def list_audit_log(
    info: Info,
    filter: Annotated[
        AuditFilter | None,
        strawberry.argument(description="The entries to include. Default: all entries."),
    ] = strawberry.UNSET,
    first: Annotated[
        int | None,
        strawberry.argument(
            description=f"The maximum number of entries; 0 to {DEFAULT_LIMITS.writes_page_size}."
        ),
    ] = PAGE_SIZE,
    after: Annotated[
        str | None,
        strawberry.argument(description="The cursor before the page. Default: the start."),
    ] = strawberry.UNSET,
    order: Annotated[
        AuditOrder | None,
        strawberry.argument(description="The order; an export needs OLDEST_FIRST."),
    ] = AuditOrder.NEWEST_FIRST,
) -> AuditEntryConnection | None:
    """Resolve a page of the audit log of the caller's tenant."""
    context = info.context
    context.principal.require(Scope.AUDIT_READ)
    sent_first = PAGE_SIZE if first is None else first
    count = pages.require_page_size(sent_first, context.limits.writes_page_size)
    selected = _to_port_filter(filter, context.limits.ids)
    sent_after = unset_to_none(after)
    number = None if sent_after is None else pages.decode_number_cursor(_CURSOR_PREFIX, sent_after)
    entries = await context.audit_log.page(
        context.principal.tenant,
        selected,
        count + 1,
        number,
        oldest_first=order is AuditOrder.OLDEST_FIRST,
    )
    return _build_page(entries, count, number)


def count_audit_page(limits: Limits, first: object) -> int:
    """Return the number of entries on a page, for the cost of a document."""
    return min(max(first if isinstance(first, int) else PAGE_SIZE, 1), limits.writes_page_size)


def _build_page(
    entries: Sequence[domain.AuditEntry], count: int, after: int | None
) -> AuditEntryConnection:
    edges = [
        AuditEntryEdge(
            cursor=pages.encode_number_cursor(_CURSOR_PREFIX, entry.number),
            node=_build_entry(entry),
        )
        for entry in entries[:count]
    ]
    return AuditEntryConnection(
        edges=edges,
        nodes=[edge.node for edge in edges],
        page_info=pages.build_page_info(
            [edge.cursor for edge in edges],
            has_next=len(entries) > count,
            has_previous=after is not None,
        ),
    )


def _build_entry(entry: domain.AuditEntry) -> AuditEntry:
    return AuditEntry(
        number=BigInt(entry.number),
        sequence=None if entry.sequence is None else BigInt(entry.sequence),
        hash=entry.hash,
        previous_hash=entry.previous_hash,
        record=entry.record,
        at=entry.at,
        action=None if entry.event is None else AuditAction(entry.event),
        principal=entry.principal,
        account_id=None if entry.account_id is None else strawberry.ID(entry.account_id),
        write_id=None if entry.write_id is None else strawberry.ID(entry.write_id),
        plan_id=None if entry.plan_id is None else strawberry.ID(entry.plan_id),
        outcome=None if entry.outcome is None else OpeningBalanceWriteOutcome(entry.outcome),
        amount=build_money(entry.amount),
        effective_at=entry.effective_at,
        previous=build_money(entry.previous),
        applied=build_money(entry.applied),
        found=build_money(entry.found),
        verified=entry.verified,
        code=None if entry.error_code is None else to_graphql_code(parse_code(entry.error_code)),
        message=entry.error_message,
        provider_code=entry.provider_code,
        note=entry.note,
        removed_before=[
            RemovedAuditEntries(
                first_sequence=BigInt(removed.first_sequence),
                last_sequence=BigInt(removed.last_sequence),
                previous_hash=removed.previous_hash,
                last_hash=removed.last_hash,
                removed_in=BigInt(removed.removed_in),
            )
            for removed in entry.removed_before
        ],
    )


def _to_port_filter(sent: AuditFilter | None, ids_max: int) -> ports.AuditFilter:
    if not sent:
        return ports.AuditFilter()
    actions, ids = unset_to_none(sent.actions), unset_to_none(sent.account_ids)
    for items, field in ((actions, "filter.actions"), (ids, "filter.accountIds")):
        if items is not None and len(items) > ids_max:
            message = f"{field} must have at most {ids_max} items, not {len(items)}."
            raise BadInput(message, field=field)
    return ports.AuditFilter(
        account_ids=None if ids is None else frozenset(map(str, ids)),
        events=None
        if actions is None
        else frozenset(domain.AuditEvent[each.name] for each in actions),
        since=unset_to_none(sent.since),
        until=unset_to_none(sent.until),
    )
