"""The write journal on SQL: begun durably before a provider is called, finished exactly once."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, Text, insert, select, type_coerce, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.domain.calendar_days import Clock, system_clock
from balance_gateway.domain.errors import ProviderTimeout
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import (
    UnsettledWrite,
    WriteIntent,
    WriteOutcome,
    WriteRecord,
)
from balance_gateway.ports.write_journal import (
    AccountBusy,
    JournalUnavailable,
)
from balance_gateway.storage import audit
from balance_gateway.storage.audit import AuditEvent
from balance_gateway.storage.database import Database, DatabaseError
from balance_gateway.storage.journal_json import opening_balance_from_text, opening_balance_to_text
from balance_gateway.storage.tables import APPLIED, STARTED, UNSETTLED, writes

logger = logging.getLogger(__name__)

#: How often ``begin`` looks again after another process was quicker with the key or the account.
_BEGIN_ATTEMPTS = 10

#: The most records that a list of unfinished or unsettled writes holds.
_RECORDS_MAX = 10_000

_FINAL = (WriteOutcome.APPLIED, WriteOutcome.REJECTED)


class SqlWriteJournal:
    """Implements ``domain.writes.WriteJournal``; every change leaves a row in the audit log.

    Every method raises ``JournalUnavailable`` when the database is out of reach. Constraints of
    the database, not only this code, forbid a second write with a tenant's idempotency key and a
    second STARTED write of a remote account, so that any number of processes can share it.

    Args:
        database: where the journal is kept.
        clock: tells when a lease has run out. Processes that share a journal need clocks that
            agree to within a small part of the lease.
    """

    def __init__(self, database: Database, clock: Clock = system_clock) -> None:
        self._database = database
        self._clock = clock

    async def begin(self, intent: WriteIntent, *, lease_s: float) -> WriteRecord:
        """Records the intent durably, or returns the record that already has its key.

        Raises:
            AccountBusy: the remote account has a STARTED write younger than ``lease_s``.
            JournalUnavailable: the database is out of reach; nothing may be sent.
        """
        for attempt in range(_BEGIN_ATTEMPTS):
            try:
                async with self._writing() as connection:
                    return await self._begin(connection, intent, lease_s)
            except IntegrityError:
                # Another process was quicker; the next look sees what it wrote.
                if attempt == _BEGIN_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def finish(self, record: WriteRecord) -> None:
        """Records the outcome of a STARTED or UNCERTAIN write. Finishing twice alike is harmless.

        An APPLIED, or REJECTED, record is never changed again: another outcome that comes in
        later is only noted in the audit log, as DISREGARDED.

        Raises:
            ValueError: the record says STARTED, which is no outcome.
            LookupError: the write was never begun.
            JournalUnavailable: the database is out of reach; the outcome may not be recorded.
        """
        if record.outcome is WriteOutcome.STARTED:
            raise ValueError("STARTED is not an outcome")
        now = self._clock()
        statement = select(writes).where(writes.c.id == record.intent.id).with_for_update()
        async with self._writing() as connection:
            row = (await connection.execute(statement)).one_or_none()
            if row is None:
                raise LookupError(f"no write {record.intent.id} was begun")
            stored = _record(row)
            finished = replace(record, intent=stored.intent, finished_at=record.finished_at or now)
            if _is_same_outcome(stored, finished):
                return
            if stored.outcome in _FINAL:
                await audit.append(connection, finished, AuditEvent.DISREGARDED, at=now)
                return
            await _store_outcome(connection, finished, AuditEvent.FINISHED, at=now)

    async def by_key(self, tenant: str, idempotency_key: str) -> WriteRecord | None:
        """The record with this key; None when there is none."""
        of_key = (writes.c.tenant == tenant) & (writes.c.idempotency_key == idempotency_key)
        return await self._first(select(writes).where(of_key))

    async def last_applied(self, remote_account: str) -> WriteRecord | None:
        """The newest APPLIED write of a remote account, in the order of finishing; None: none."""
        applied = select(writes).where(writes.c.remote_account == remote_account, APPLIED)
        return await self._first(applied.order_by(writes.c.finished_in.desc()))

    async def unfinished(self) -> Sequence[WriteRecord]:
        """All STARTED writes that can be read, oldest first, at most 10,000."""
        # The row of its id is read alone, so that one that cannot be read hides no other.
        ids = await self._rows(_oldest_first(select(writes.c.id).where(STARTED)))
        found = [await self._readable(row.id) for row in ids]
        return [record for record in found if record and record.outcome is WriteOutcome.STARTED]

    async def unsettled_since(self, instant: datetime) -> Sequence[UnsettledWrite]:
        """STARTED and UNCERTAIN writes started at or after the instant, oldest first.

        At most 10,000.
        """
        started_at = type_coerce(writes.c.started_at, Text).label("started_at")
        columns = select(writes.c.id, writes.c.tenant, writes.c.account_id, started_at)
        since = columns.where(UNSETTLED, writes.c.started_at >= instant)
        return [_unsettled(row) for row in await self._rows(_oldest_first(since))]

    async def _begin(
        self, connection: AsyncConnection, intent: WriteIntent, lease_s: float
    ) -> WriteRecord:
        now = self._clock()
        if intent.idempotency_key is not None:
            of_key = writes.c.idempotency_key == intent.idempotency_key
            statement = select(writes).where(writes.c.tenant == intent.tenant, of_key)
            known = (await connection.execute(statement)).one_or_none()
            if known is not None:
                return _record(known)
        of_account = writes.c.remote_account == intent.remote_account
        statement = select(writes).where(of_account, STARTED)
        row = (await connection.execute(statement.with_for_update())).one_or_none()
        if row is not None:
            started = _record(row)
            if now - started.intent.started_at < timedelta(seconds=lease_s):
                raise AccountBusy(f"a write of {intent.account_id} is under way")
            expired = _expired(started, now)
            await _store_outcome(connection, expired, AuditEvent.LEASE_EXPIRED, at=now)
        record = WriteRecord(intent, WriteOutcome.STARTED)
        await connection.execute(insert(writes).values(_row(record)))
        await audit.append(connection, record, AuditEvent.BEGUN, at=now)
        return record

    async def _first(self, statement: Select[Any]) -> WriteRecord | None:
        rows = await self._rows(statement.limit(1))
        return _record(rows[0]) if rows else None

    async def _readable(self, write_id: str) -> WriteRecord | None:
        try:
            return await self._first(select(writes).where(writes.c.id == write_id))
        except JournalUnavailable:
            raise
        except Exception:
            logger.exception("journal.unreadable", extra={"write_id": write_id})
            return None

    async def _rows(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        try:
            async with self._database.reading() as connection:
                rows: Sequence[Row[Any]] = (await connection.execute(statement)).all()
                return rows
        except DatabaseError as error:
            raise _out_of_reach() from error

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._database.writing() as connection:
                yield connection
        except DatabaseError as error:
            raise _out_of_reach() from error


def _out_of_reach() -> JournalUnavailable:
    return JournalUnavailable("The write journal is out of reach.")


def _oldest_first(statement: Select[Any]) -> Select[Any]:
    return statement.order_by(writes.c.started_at, writes.c.id).limit(_RECORDS_MAX)


def _unsettled(row: Row[Any]) -> UnsettledWrite:
    try:
        started_at = datetime.fromisoformat(row.started_at)
    except (ValueError, TypeError):
        started_at = None
    if started_at is not None and started_at.tzinfo is None:
        started_at = None
    return UnsettledWrite(row.id, row.tenant, row.account_id, started_at)


def _expired(started: WriteRecord, now: datetime) -> WriteRecord:
    return replace(
        started,
        outcome=WriteOutcome.UNCERTAIN,
        finished_at=now,
        error_code=ProviderTimeout.code,
        error_message="The write was begun and never finished; it may have been applied.",
        error_retryable=True,
    )


def _is_same_outcome(stored: WriteRecord, finished: WriteRecord) -> bool:
    """Whether two records tell the same outcome, whenever it was told."""
    intent = replace(finished.intent, idempotency_key=stored.intent.idempotency_key)
    return replace(finished, intent=intent, finished_at=stored.finished_at) == stored


async def _store_outcome(
    connection: AsyncConnection, record: WriteRecord, event: AuditEvent, *, at: datetime
) -> None:
    number = await audit.append(connection, record, event, at=at)
    values = {**_outcome_columns(record), "finished_in": number}
    if record.outcome is WriteOutcome.REJECTED and record.error_retryable:
        # Nothing happened, and the caller was told to try again: the key is free for that.
        values["idempotency_key"] = None
    await connection.execute(update(writes).where(writes.c.id == record.intent.id).values(values))


def _row(record: WriteRecord) -> dict[str, Any]:
    intent = record.intent
    return {
        "id": intent.id,
        "tenant": intent.tenant,
        "account_id": intent.account_id,
        "remote_account": intent.remote_account,
        "connector": intent.connector,
        "principal": intent.principal,
        "minor_units": intent.amount.minor_units,
        "currency": intent.amount.currency,
        "effective_at": intent.effective_at,
        "memo": intent.memo,
        "reference_number": intent.reference_number,
        "idempotency_key": intent.idempotency_key,
        "fingerprint": intent.fingerprint,
        "previous": opening_balance_to_text(intent.previous),
        "started_at": intent.started_at,
        **_outcome_columns(record),
    }


def _outcome_columns(record: WriteRecord) -> dict[str, Any]:
    return {
        "outcome": record.outcome.value,
        "finished_at": record.finished_at,
        "applied": opening_balance_to_text(record.applied),
        "verified": record.verified,
        "error_code": record.error_code,
        "error_message": record.error_message,
        "error_retryable": record.error_retryable,
        "error_field": record.error_field,
    }


def _record(row: Row[Any]) -> WriteRecord:
    intent = WriteIntent(
        id=row.id,
        tenant=row.tenant,
        account_id=row.account_id,
        remote_account=row.remote_account,
        connector=row.connector,
        principal=row.principal,
        amount=Money(row.minor_units, row.currency),
        effective_at=row.effective_at,
        memo=row.memo,
        reference_number=row.reference_number,
        idempotency_key=row.idempotency_key,
        fingerprint=row.fingerprint,
        previous=opening_balance_from_text(row.previous),
        started_at=row.started_at,
    )
    return WriteRecord(
        intent=intent,
        outcome=WriteOutcome(row.outcome),
        finished_at=row.finished_at,
        applied=opening_balance_from_text(row.applied),
        verified=row.verified,
        error_code=row.error_code,
        error_message=row.error_message,
        error_retryable=row.error_retryable,
        error_field=row.error_field,
    )
