"""Implements the append-only audit log: one row for every change of a write or a plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.domain.audit import AuditEvent
from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.writes import WriteOutcome, WriteRecord
from balance_gateway.storage.audit_chain import ChainHead, hash_row, lock_head
from balance_gateway.storage.database import Database
from balance_gateway.storage.journal_format import (
    IntendedValues,
    intended_from_text,
    intent_to_text,
    opening_balance_from_text,
    opening_balance_to_text,
    parse_enum,
    reading_row,
)
from balance_gateway.storage.tables import instant_text, write_audit


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One change of one write.

    Attributes:
        number: increases across all tenants, with gaps.
        at: when the change was recorded.
        event: the change.
        tenant: the tenant of the account.
        account_id: the gateway's account id.
        principal: the name of the caller of the write, or of the caller who settled it.
        write_id: the id of the write.
        previous: the opening balance before the write; None when none was set or known.
        intended: the requested values.
        applied: for APPLIED, the opening balance after the write; otherwise None.
        outcome: the outcome after this change.
        verified: whether ``applied`` was read back from the provider.
        error_code: the gateway's stable code of the error; None for STARTED and APPLIED.
        error_message: the gateway's message of the error; None for STARTED and APPLIED.
        found: the opening balance that reading back an UNCERTAIN write showed; None without one.
        provider_code: the provider's own stable code of the error; None without one.
        note: the reason of a settlement, or the id of the superseding write; None otherwise.
        sequence: the place in the tenant's chain, from 1; None in rows of releases without it.
        previous_hash: the hash of the row before in the chain (see ``audit_chain``); or None.
        hash: the hash of this row; or None.
    """

    number: int
    at: datetime
    event: AuditEvent
    tenant: str
    account_id: str
    principal: str
    write_id: str
    previous: OpeningBalance | None
    intended: IntendedValues
    applied: OpeningBalance | None
    outcome: WriteOutcome
    verified: bool
    error_code: str | None
    error_message: str | None
    found: OpeningBalance | None = None
    provider_code: str | None = None
    note: str | None = None
    sequence: int | None = None
    previous_hash: str | None = None
    hash: str | None = None


class SqlAuditLog:
    """Reads the rows about writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(
        self,
        tenant: str,
        *,
        account_id: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[AuditRow]:
        """Return a tenant's rows about writes, newest first.

        Args:
            tenant: the tenant; no row of another tenant is returned.
            account_id: return only rows of this account; None returns all accounts.
            before: return only rows with a smaller number, for paging; None starts at the newest.
            limit: the maximum number of rows, at least 1.

        Raises:
            DatabaseError: the database is unavailable.
            UnreadableRow: a row is damaged, or a newer release wrote it; the message has its
                number, with which ``before`` continues after it.
        """
        is_of_write = write_audit.c.event != AuditEvent.PRUNED.value
        is_of_write &= write_audit.c.write_id.is_not(None)
        statement = select(write_audit).where(write_audit.c.tenant == tenant, is_of_write)
        if account_id is not None:
            statement = statement.where(write_audit.c.account_id == account_id)
        if before is not None:
            statement = statement.where(write_audit.c.number < before)
        statement = statement.order_by(write_audit.c.number.desc()).limit(limit)
        async with self._database.read_transaction() as connection:
            return [_audit_row_from(row) for row in await connection.execute(statement)]


async def append(
    database: Database,
    connection: AsyncConnection,
    record: WriteRecord,
    event: AuditEvent,
    *,
    at: datetime,
) -> int:
    """Add a row to its tenant's chain in the transaction of the change that it records.

    It locks the chain until the end of the transaction, which may then wait for no other lock than
    those of chains.

    Returns:
        The number of the row.
    """
    head = await lock_head(database, connection, record.intent.tenant)
    return await insert_row(connection, head, _values_from(record, event), at=at)


async def insert_row(
    connection: AsyncConnection, head: ChainHead, values: Mapping[str, Any], *, at: datetime
) -> int:
    """Insert the next row of a locked chain and return its number.

    Args:
        connection: a connection in a transaction that has locked the chain.
        head: the head of the chain.
        values: the columns of the row, without those of the chain and ``at``.
        at: when the change was made.
    """
    chain = {"sequence": head.sequence + 1, "previous_hash": head.hash}
    row_hash = hash_row({**values, **chain, "at": instant_text(at)})
    statement = insert(write_audit).values(**values, **chain, at=at, hash=row_hash)
    result = await connection.execute(statement.returning(write_audit.c.number))
    number: int = result.scalar_one()
    return number


def _values_from(record: WriteRecord, event: AuditEvent) -> dict[str, Any]:
    intent, settlement = record.intent, record.settlement
    settled_by = None if settlement is None else settlement.principal
    return {
        "event": event.value,
        "tenant": intent.tenant,
        "account_id": intent.account_id,
        "principal": settled_by or intent.principal,
        "write_id": intent.id,
        "previous": opening_balance_to_text(intent.previous),
        "intended": intent_to_text(intent),
        "applied": opening_balance_to_text(record.applied),
        "outcome": record.outcome.value,
        "verified": record.verified,
        "error_code": record.error_code,
        "error_message": record.error_message,
        "found": opening_balance_to_text(record.found),
        "provider_code": record.provider_code,
        "note": None if settlement is None else settlement.note,
    }


def _audit_row_from(row: Row[Any]) -> AuditRow:
    with reading_row(f"row {row.number} of write_audit"):
        return AuditRow(
            number=row.number,
            at=row.at,
            event=parse_enum(AuditEvent, row.event),
            tenant=row.tenant,
            account_id=row.account_id,
            principal=row.principal,
            write_id=row.write_id,
            previous=opening_balance_from_text(row.previous),
            intended=intended_from_text(row.intended),
            applied=opening_balance_from_text(row.applied),
            outcome=parse_enum(WriteOutcome, row.outcome),
            verified=row.verified,
            error_code=row.error_code,
            error_message=row.error_message,
            found=opening_balance_from_text(row.found),
            provider_code=row.provider_code,
            note=row.note,
            sequence=row.sequence,
            previous_hash=row.previous_hash,
            hash=row.hash,
        )
