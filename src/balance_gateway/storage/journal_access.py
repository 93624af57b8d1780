"""Reads and changes the rows of the journal, for the classes that implement its ports."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.domain.audit import AuditEvent
from balance_gateway.domain.writes import WriteOutcome, WriteRecord
from balance_gateway.ports.write_journal import JournalUnavailable
from balance_gateway.storage import audit
from balance_gateway.storage.database import Database, DatabaseError
from balance_gateway.storage.journal_rows import outcome_columns, record_from_row
from balance_gateway.storage.tables import writes

logger = logging.getLogger(__name__)

#: Maximum number of records in a list of unfinished or unsettled writes.
_RECORDS_MAX = 10_000


class JournalAccess:
    """The database of the journal; its failures are raised as ``JournalUnavailable``.

    Args:
        database: the database of the journal.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def _read_first(self, statement: Select[Any]) -> WriteRecord | None:
        rows = await self._read_rows(statement.limit(1))
        return record_from_row(rows[0]) if rows else None

    async def _read_record(self, write_id: str) -> WriteRecord | None:
        try:
            return await self._read_first(select(writes).where(writes.c.id == write_id))
        except JournalUnavailable:
            raise
        except Exception:
            logger.exception("journal.unreadable", extra={"write_id": write_id})
            return None

    async def _read_readable(self, ids: Select[Any]) -> Sequence[WriteRecord]:
        """Return the readable records of a query for ids, in its order."""
        # Each row is read by itself, so that one damaged row does not hide the others.
        rows = await self._read_rows(ids)
        records = [await self._read_record(row.id) for row in rows]
        return [record for record in records if record]

    async def _read_rows(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        try:
            async with self._database.read_transaction() as connection:
                rows: Sequence[Row[Any]] = (await connection.execute(statement)).all()
                return rows
        except DatabaseError as error:
            raise _unavailable() from error

    @asynccontextmanager
    async def _write_transaction(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._database.write_transaction() as connection:
                yield connection
        except DatabaseError as error:
            raise _unavailable() from error


def _unavailable() -> JournalUnavailable:
    return JournalUnavailable("The write journal is unavailable.")


def oldest_first(statement: Select[Any]) -> Select[Any]:
    """Return the query sorted by start, with the maximum number of records."""
    return statement.order_by(writes.c.started_at, writes.c.id).limit(_RECORDS_MAX)


async def store_outcome(
    database: Database,
    connection: AsyncConnection,
    record: WriteRecord,
    event: AuditEvent,
    *,
    at: datetime,
    keeps_order: bool = False,
) -> None:
    """Change a write to the outcome of its record, with the row of the audit log.

    Args:
        database: the database of the connection.
        connection: a connection in a transaction that has locked the row of the write.
        record: the write with its outcome.
        event: what happened to the write.
        at: when it happened.
        keeps_order: whether the write keeps its place among the writes that finished, which
            decides which one is the last applied.
    """
    number = await audit.append(database, connection, record, event, at=at)
    values = outcome_columns(record)
    if event is not AuditEvent.SUPERSEDED and not keeps_order:
        values["finished_in"] = number
    if record.outcome is WriteOutcome.REJECTED and record.error_retryable:
        # Nothing happened and the caller may try again, so the key is released.
        values["idempotency_key"] = None
    await connection.execute(update(writes).where(writes.c.id == record.intent.id).values(values))
