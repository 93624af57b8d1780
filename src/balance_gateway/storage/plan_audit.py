"""The audit log of plans: one append-only row per step, chained per tenant as ``write_audit`` is.

The canonical form of a row and its hash are those of ``audit_chain``.
"""

import enum
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnClause, insert, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.domain.opening_balance_plans import Plan
from balance_gateway.storage.audit_chain import EMPTY_HASH, hash_row
from balance_gateway.storage.database import Database
from balance_gateway.storage.plan_tables import plan_audit
from balance_gateway.storage.tables import instant_text

_BATCH_ROWS = 1_000

#: The columns as they are stored, without the conversions of their types.
_STORED: list[ColumnClause[Any]] = [literal_column(column.name) for column in plan_audit.c]


class PlanEvent(enum.Enum):
    """A step of a plan.

    MADE: it is complete, with READY or REFUSED as the state in ``details``. APPLIED: a caller
    let the gateway apply it. FINISHED: every row has its outcome.
    """

    MADE = "plan_made"
    APPROVED = "plan_approved"
    APPLIED = "plan_applied"
    FINISHED = "plan_finished"


async def append(
    database: Database,
    connection: AsyncConnection,
    plan: Plan,
    event: PlanEvent,
    *,
    principal: str,
    details: Mapping[str, Any],
    at: datetime,
) -> None:
    """Add a row to the tenant's chain, in the transaction of the step that it records.

    It locks the chain until the end of the transaction, which may then wait for no other lock.
    """
    await database.lock(connection, f"plan-audit-chain {plan.tenant}")
    of_tenant = plan_audit.c.tenant == plan.tenant
    newest = select(plan_audit.c.sequence, plan_audit.c.hash).where(of_tenant)
    newest = newest.order_by(plan_audit.c.sequence.desc()).limit(1)
    head = (await connection.execute(newest)).one_or_none()
    values = {
        "event": event.value,
        "tenant": plan.tenant,
        "principal": principal,
        "plan_id": plan.id,
        "content_hash": plan.content_hash,
        "details": json.dumps({"version": 1, **details}),
        "sequence": 1 if head is None else head.sequence + 1,
        "previous_hash": EMPTY_HASH if head is None else head.hash,
    }
    row_hash = hash_row({**values, "at": instant_text(at)})
    await connection.execute(insert(plan_audit).values(**values, at=at, hash=row_hash))


async def read_stored_plan_rows(
    connection: AsyncConnection, tenant: str | None
) -> AsyncIterator[Sequence[dict[str, Any]]]:
    """Read the stored columns of a tenant's rows, or of all, in batches by number."""
    statement = select(*_STORED).select_from(plan_audit).order_by(plan_audit.c.number)
    if tenant is not None:
        statement = statement.where(plan_audit.c.tenant == tenant)
    async with connection.stream(statement) as rows:
        async for batch in rows.mappings().partitions(_BATCH_ROWS):
            yield [dict(row) for row in batch]
