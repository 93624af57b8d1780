"""Implements the list of unsettled writes, and their settlement, on SQL."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlalchemy import select

from balance_gateway.domain.audit import AuditEvent
from balance_gateway.domain.writes import SettledBy, WriteRecord
from balance_gateway.storage.journal_access import JournalAccess, oldest_first, store_outcome
from balance_gateway.storage.journal_rows import record_from_row
from balance_gateway.storage.tables import APPLIED, DOUBTFUL, writes

#: Number of names in one query, below the databases' limits of parameters.
_NAMES_PER_QUERY = 1_000

_EVENTS = {
    SettledBy.PROVED: AuditEvent.PROVED,
    SettledBy.DISPROVED: AuditEvent.DISPROVED,
    SettledBy.SUPERSEDED: AuditEvent.SUPERSEDED,
    SettledBy.PERSON: AuditEvent.SETTLED,
}


class SqlWriteSettlements(JournalAccess):
    """Implements ``ports.write_journal.WriteSettlements``; each change adds a row to the audit log.

    Every method raises ``JournalUnavailable`` when the database is unavailable.
    """

    async def unsettled_of(self, remote_accounts: Collection[str]) -> Sequence[WriteRecord]:
        """Return the unsettled writes of remote accounts, oldest first.

        Raises:
            UnreadableRow: a row is damaged, or a newer release wrote it.
        """
        names = sorted(set(remote_accounts))
        found: list[WriteRecord] = []
        for start in range(0, len(names), _NAMES_PER_QUERY):
            some = writes.c.remote_account.in_(names[start : start + _NAMES_PER_QUERY])
            rows = await self._read_rows(select(writes).where(some, DOUBTFUL))
            found += [record_from_row(row) for row in rows]
        return sorted(found, key=lambda record: (record.intent.started_at, record.intent.id))

    async def unsettled(self) -> Sequence[WriteRecord]:
        """Return all readable unsettled writes, oldest first, at most 10,000."""
        records = await self._read_readable(oldest_first(select(writes.c.id).where(DOUBTFUL)))
        return [record for record in records if record.is_unsettled]

    async def settle(self, record: WriteRecord, *, last: WriteRecord | None) -> bool:
        """Record the settlement of an unsettled write; see the port for the result."""
        settlement = record.settlement
        if settlement is None:
            raise ValueError("the record must have a settlement")
        statement = select(writes).where(writes.c.id == record.intent.id).with_for_update()
        async with self._write_transaction() as connection:
            row = (await connection.execute(statement)).one_or_none()
            stored = None if row is None else record_from_row(row)
            if stored is None or not stored.is_unsettled:
                return False
            remote_account = stored.intent.remote_account
            # A concurrent write would otherwise finish between this look and the settlement.
            await self._database.lock(connection, remote_account)
            of_account = select(writes.c.id).where(
                writes.c.remote_account == remote_account, APPLIED
            )
            newest = of_account.order_by(writes.c.finished_in.desc()).limit(1)
            newest_id = (await connection.execute(newest)).scalar_one_or_none()
            if newest_id != (None if last is None else last.intent.id):
                return False
            settled = replace(record, intent=stored.intent)
            event = _EVENTS[settlement.how]
            await store_outcome(self._database, connection, settled, event, at=settlement.at)
            return True
