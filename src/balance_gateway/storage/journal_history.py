"""Implements the list of a tenant's writes on SQL."""

from collections.abc import Sequence

from sqlalchemy import and_, or_, select

from balance_gateway.domain.writes import WriteRecord
from balance_gateway.ports.write_journal import WriteFilter, WritePosition
from balance_gateway.storage.journal_access import JournalAccess
from balance_gateway.storage.tables import writes


class SqlWriteHistory(JournalAccess):
    """Implements ``ports.write_journal.WriteHistory``.

    Every method raises ``JournalUnavailable`` when the database is unavailable.
    """

    async def by_id(self, tenant: str, write_id: str) -> WriteRecord | None:
        """Return a write of the tenant, or None."""
        is_it = (writes.c.id == write_id) & (writes.c.tenant == tenant)
        return await self._read_first(select(writes).where(is_it))

    async def page(
        self, tenant: str, selected: WriteFilter, limit: int, after: WritePosition | None
    ) -> Sequence[WriteRecord]:
        """Return readable writes of the tenant that match a filter, newest first."""
        started_at, write_id = writes.c.started_at, writes.c.id
        statement = select(write_id).where(writes.c.tenant == tenant)
        if selected.outcomes is not None:
            names = sorted(outcome.value for outcome in selected.outcomes)
            statement = statement.where(writes.c.outcome.in_(names))
        if selected.account_ids is not None:
            statement = statement.where(writes.c.account_id.in_(sorted(selected.account_ids)))
        if selected.since is not None:
            statement = statement.where(started_at >= selected.since)
        if after is not None:
            same_start = and_(started_at == after.started_at, write_id < after.id)
            statement = statement.where(or_(started_at < after.started_at, same_start))
            # The condition above alone would read the index from its start.
            statement = statement.where(started_at <= after.started_at)
        newest_first = statement.order_by(started_at.desc(), write_id.desc()).limit(limit)
        return await self._read_readable(newest_first)
