"""Records the steps of plans in the audit log of their tenant."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.domain.audit import AuditEvent
from balance_gateway.domain.opening_balance_plans import Plan
from balance_gateway.storage.audit import insert_row
from balance_gateway.storage.audit_chain import lock_head
from balance_gateway.storage.database import Database


async def append(
    database: Database,
    connection: AsyncConnection,
    plan: Plan,
    event: AuditEvent,
    *,
    principal: str,
    details: Mapping[str, Any],
    at: datetime,
) -> None:
    """Add a row to the tenant's chain, in the transaction of the step that it records.

    It locks the chain until the end of the transaction, which may then wait for no other lock.

    Args:
        database: the database of the connection.
        connection: a connection in the transaction.
        plan: the plan after the step.
        event: the step.
        principal: the name of the caller.
        details: what else is to be known; JSON values.
        at: when the step was taken.
    """
    head = await lock_head(database, connection, plan.tenant)
    values = {
        "event": event.value,
        "tenant": plan.tenant,
        "plan_id": plan.id,
        "principal": principal,
        # The columns cannot be NULL, though no write is concerned.
        "account_id": "",
        "intended": "",
        "outcome": "",
        "verified": False,
        "note": json.dumps({"content_hash": plan.content_hash, **details}, sort_keys=True),
    }
    await insert_row(connection, head, values, at=at)
