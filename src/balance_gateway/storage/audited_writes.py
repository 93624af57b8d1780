"""Compares the journal's writes, which can be updated, with the audit log."""

from typing import Any

from sqlalchemy import Row, Text, func, literal_column, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.domain.audit import AuditEvent
from balance_gateway.domain.money import Money
from balance_gateway.storage.journal_format import UnreadableRow, intended_from_text
from balance_gateway.storage.tables import write_audit, writes

_BATCH_ROWS = 1_000

#: Columns that a write and its newest audit row have in common.
_COMMON = (
    "tenant",
    "account_id",
    "previous",
    "applied",
    "outcome",
    "verified",
    "error_code",
    "error_message",
    "found",
    "provider_code",
)


async def find_differing_writes(connection: AsyncConnection, tenant: str | None) -> list[str]:
    """Return the ids of writes that differ from their newest audit row, or have none.

    Args:
        connection: a connection in a transaction.
        tenant: the tenant of the writes; None for all.
    """
    later = write_audit.alias("later")
    # An outcome that contradicts the final one changed no write, and neither did a removal of rows.
    unchanged = (AuditEvent.DISREGARDED.value, AuditEvent.PRUNED.value)
    changed = (later.c.write_id == writes.c.id) & later.c.event.not_in(unchanged)
    newest = select(func.max(later.c.number)).where(changed).scalar_subquery()
    common = [
        writes.c[name].is_not_distinct_from(write_audit.c[name]).label(f"same_{name}")
        for name in _COMMON
    ]
    statement = (
        select(
            writes.c.id,
            # As text: a damaged amount must not fail the whole query.
            type_coerce(writes.c.minor_units, Text).label("minor_units"),
            writes.c.currency,
            writes.c.memo,
            writes.c.reference_number,
            write_audit.c.intended,
            *common,
        )
        .select_from(writes.outerjoin(write_audit, write_audit.c.number == newest))
        .order_by(literal_column("1"))
    )
    if tenant is not None:
        statement = statement.where(writes.c.tenant == tenant)
    differing: list[str] = []
    async with connection.stream(statement) as rows:
        async for batch in rows.partitions(_BATCH_ROWS):
            differing += [row.id for row in batch if not _is_same(row)]
    return differing


def _is_same(row: Row[Any]) -> bool:
    if not all(getattr(row, f"same_{name}") for name in _COMMON):
        return False
    try:
        intended = intended_from_text(row.intended)
        amount = Money(int(row.minor_units), row.currency)
    except (UnreadableRow, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return False
    values = (amount, row.memo, row.reference_number)
    return values == (intended.amount, intended.memo, intended.reference_number)
