"""Implements the write journal on SQL."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Text, insert, select, type_coerce, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.domain.audit import AuditEvent
from balance_gateway.domain.calendar_days import Clock, system_clock
from balance_gateway.domain.errors import ErrorCode
from balance_gateway.domain.writes import UnsettledWrite, WriteIntent, WriteOutcome, WriteRecord
from balance_gateway.ports.write_journal import AccountBusy, WriteNotBegun
from balance_gateway.storage import audit
from balance_gateway.storage.audit_chain import lock_chains
from balance_gateway.storage.database import Database
from balance_gateway.storage.journal_access import JournalAccess, oldest_first, store_outcome
from balance_gateway.storage.journal_rows import (
    record_from_row,
    row_from_record,
    unsettled_from_row,
)
from balance_gateway.storage.tables import APPLIED, STARTED, UNSETTLED, writes

#: Attempts of ``begin`` when other processes record the same key or account first.
_BEGIN_ATTEMPTS = 10

#: Number of names in one query, below the databases' limits of parameters.
_NAMES_PER_QUERY = 1_000

_FINAL = (WriteOutcome.APPLIED, WriteOutcome.REJECTED)


class SqlWriteJournal(JournalAccess):
    """Implements ``ports.write_journal.WriteJournal``; every change adds a row to the audit log.

    Every method raises ``JournalUnavailable`` when the database is unavailable. Constraints in the
    database forbid a second write with a tenant's idempotency key and a second STARTED write of a
    remote account, so any number of processes can share a journal.

    Args:
        database: the database of the journal.
        clock: decides when a lease has expired. The clocks of processes that share a journal must
            agree to within a small part of the lease, as ``DatabaseClock`` does.
    """

    def __init__(self, database: Database, clock: Clock = system_clock) -> None:
        super().__init__(database)
        self._clock = clock

    async def begin(self, intent: WriteIntent, *, lease_s: float) -> WriteRecord:
        """Record the intent durably, or return the existing record with its idempotency key.

        Raises:
            AccountBusy: the remote account has a STARTED write younger than ``lease_s``.
            JournalUnavailable: the database is unavailable; nothing may be sent.
        """
        for attempt in range(_BEGIN_ATTEMPTS):
            try:
                async with self._write_transaction() as connection:
                    return await self._begin(connection, intent, lease_s)
            except IntegrityError:
                # Another process recorded the key or the account first; the next attempt sees it.
                if attempt == _BEGIN_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def finish(self, record: WriteRecord) -> None:
        """Record the outcome of a STARTED or UNCERTAIN write; repeating the call is harmless.

        An APPLIED or REJECTED record is never changed again: a different outcome that arrives
        later only adds a DISREGARDED row to the audit log.

        Raises:
            ValueError: the record is STARTED, which is not an outcome.
            WriteNotBegun: the write was never recorded as started.
            JournalUnavailable: the database is unavailable; the outcome may not be recorded.
        """
        if record.outcome is WriteOutcome.STARTED:
            raise ValueError("STARTED is not an outcome")
        now = self._clock()
        statement = select(writes).where(writes.c.id == record.intent.id).with_for_update()
        async with self._write_transaction() as connection:
            row = (await connection.execute(statement)).one_or_none()
            if row is None:
                raise WriteNotBegun(f"write {record.intent.id} was never recorded as started")
            stored = record_from_row(row)
            finished = replace(record, intent=stored.intent, finished_at=record.finished_at or now)
            if _is_same_outcome(stored, finished):
                return
            if stored.outcome in _FINAL or stored.settlement is not None:
                event = AuditEvent.DISREGARDED
                await audit.append(self._database, connection, finished, event, at=now)
                return
            # Settling a write depends on which one of the account finished last.
            await self._database.lock(connection, stored.intent.remote_account)
            await store_outcome(
                self._database,
                connection,
                finished,
                AuditEvent.FINISHED,
                at=now,
                # It was in doubt since its lease ended. Writes that were applied since were sent
                # later, so that theirs stays the last one.
                keeps_order=stored.outcome is WriteOutcome.UNCERTAIN,
            )

    async def by_key(self, tenant: str, idempotency_key: str) -> WriteRecord | None:
        """Return the record with this idempotency key, or None."""
        of_key = (writes.c.tenant == tenant) & (writes.c.idempotency_key == idempotency_key)
        return await self._read_first(select(writes).where(of_key))

    async def last_applied(self, remote_account: str) -> WriteRecord | None:
        """Return the APPLIED write of a remote account that finished last, or None."""
        applied = select(writes).where(writes.c.remote_account == remote_account, APPLIED)
        return await self._read_first(applied.order_by(writes.c.finished_in.desc()))

    async def unfinished(self) -> Sequence[WriteRecord]:
        """Return all readable STARTED writes, oldest first, at most 10,000."""
        records = await self._read_readable(oldest_first(select(writes.c.id).where(STARTED)))
        return [record for record in records if record.outcome is WriteOutcome.STARTED]

    async def unsettled_since(self, instant: datetime) -> Sequence[UnsettledWrite]:
        """Return STARTED and UNCERTAIN writes started at or after the instant.

        They are sorted oldest first, at most 10,000. A damaged row is included.
        """
        # As text: a value that is not an instant must not fail the whole query.
        started_at = type_coerce(writes.c.started_at, Text).label("started_at")
        columns = select(writes.c.id, writes.c.tenant, writes.c.account_id, started_at)
        since = columns.where(UNSETTLED, writes.c.started_at >= instant)
        return [unsettled_from_row(row) for row in await self._read_rows(oldest_first(since))]

    async def rename_remote_accounts(self, names: Mapping[str, str]) -> None:
        """Give a remote account's writes its new name, so that they are found by it.

        Calling it again changes nothing more. REJECTED writes keep the old name, because no
        lookup uses it. So does a STARTED write while the new name has one too: its id is enough
        to resolve it, and a later call renames it. The audit log gets no row, because nothing
        about the writes changes.

        Args:
            names: the new name of a remote account by its old one. A new name must not be the
                old name of another.

        Raises:
            ValueError: a new name is an old name too.
            JournalUnavailable: the database is unavailable; nothing was renamed.
        """
        changes = {old: new for old, new in names.items() if old != new}
        if not changes.keys().isdisjoint(changes.values()):
            raise ValueError("a new name of a remote account must not be an old name too")
        used = await self._find_used_names(list(changes))
        if not used:
            return
        async with self._write_transaction() as connection:
            # Two processes that rename the same rows in two orders would wait for each other.
            await self._database.lock(connection, "remote-account-names")
            for old in sorted(used):
                await _rename_remote_account(connection, old, changes[old])

    async def _find_used_names(self, names: Sequence[str]) -> set[str]:
        """Return the names under which a write is recorded that is looked up by its name."""
        used: set[str] = set()
        for start in range(0, len(names), _NAMES_PER_QUERY):
            some = writes.c.remote_account.in_(names[start : start + _NAMES_PER_QUERY])
            # One query for each partial index: a single one would read the whole table.
            for condition in (UNSETTLED, APPLIED):
                found = select(writes.c.remote_account).where(some, condition).distinct()
                used |= {row.remote_account for row in await self._read_rows(found)}
        return used

    async def _begin(
        self, connection: AsyncConnection, intent: WriteIntent, lease_s: float
    ) -> WriteRecord:
        now = self._clock()
        if intent.idempotency_key is not None:
            of_key = writes.c.idempotency_key == intent.idempotency_key
            statement = select(writes).where(writes.c.tenant == intent.tenant, of_key)
            known = (await connection.execute(statement)).one_or_none()
            if known is not None:
                return record_from_row(known)
        of_account = writes.c.remote_account == intent.remote_account
        statement = select(writes).where(of_account, STARTED)
        row = (await connection.execute(statement.with_for_update())).one_or_none()
        expired: list[WriteRecord] = []
        if row is not None:
            started = record_from_row(row)
            if now - started.intent.started_at < timedelta(seconds=lease_s):
                raise AccountBusy(f"another write of {intent.account_id} is in progress")
            expired = [_expire(started, now)]
            # The database allows one STARTED write of an account.
            ended = update(writes).where(writes.c.id == started.intent.id)
            await connection.execute(ended.values(outcome=WriteOutcome.UNCERTAIN.value))
        record = WriteRecord(intent, WriteOutcome.STARTED)
        await connection.execute(insert(writes).values(row_from_record(record)))
        # The insert can wait for another transaction, and whoever holds a chain must not wait.
        tenants = {each.intent.tenant for each in (record, *expired)}
        await lock_chains(self._database, connection, tenants)
        for each in expired:
            event = AuditEvent.LEASE_EXPIRED
            await store_outcome(self._database, connection, each, event, at=now)
        await audit.append(self._database, connection, record, AuditEvent.BEGUN, at=now)
        return record


async def _rename_remote_account(connection: AsyncConnection, old: str, new: str) -> None:
    rename = update(writes).where(writes.c.remote_account == old).values(remote_account=new)
    # In the order of a write's states, so that a write that another process finishes meanwhile is
    # not missed.
    with suppress(IntegrityError):  # the new name has a STARTED write
        async with connection.begin_nested():
            await connection.execute(rename.where(STARTED))
    is_uncertain = writes.c.outcome == WriteOutcome.UNCERTAIN.value
    await connection.execute(rename.where(UNSETTLED, is_uncertain))
    await connection.execute(rename.where(APPLIED))


def _expire(started: WriteRecord, now: datetime) -> WriteRecord:
    return replace(
        started,
        outcome=WriteOutcome.UNCERTAIN,
        finished_at=now,
        # Not a timeout of the provider: the process that sent the write ended first.
        error_code=ErrorCode.INTERNAL,
        error_message="The write was started and never finished; it may have been applied.",
    )


def _is_same_outcome(stored: WriteRecord, finished: WriteRecord) -> bool:
    """Return whether two records have the same outcome, apart from when it was recorded."""
    settled = replace(finished, settlement=stored.settlement, found=stored.found)
    return replace(settled, finished_at=stored.finished_at) == stored
