"""Stages the entries of an import in a temporary table that only its connection can see.

Filling the table takes no lock. The transaction that blocks other writers needs only one
comparison with the stored entries and one statement that inserts the new ones.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from datetime import date
from typing import Any

from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    text,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.domain.ledger import Book, Entry
from balance_gateway.ports.ledger_store import EntryConflict
from balance_gateway.storage.tables import BigIntText, Day, ledger_entries

#: Number of entries sent to the database at a time.
_BATCH = 5_000

#: Maximum number of conflicts listed in one error.
_CONFLICTS_MAX = 20

#: The sum of entries per book and day.
Totals = dict[Book, dict[date, int]]

_staged = Table(
    "staged_entries",
    MetaData(),
    Column("position", Integer, nullable=False),
    Column("book", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("day", Day, nullable=False),
    Column("minor_units", BigIntText, nullable=False),
    Column("description", Text),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
#: Two entries with the same id must agree in these columns. Descriptions may differ.
_CONTENT = (_staged.c.day, _staged.c.minor_units)
_earlier = _staged.alias("earlier")
_stored = ledger_entries


class Staging:
    """The temporary table of one import.

    Call ``fill``, then ``move_to_ledger``, then ``drop``, all on one connection; on PostgreSQL the
    first two in one transaction.

    Attributes:
        received: number of entries passed to ``fill``.
    """

    def __init__(self, connection: AsyncConnection, account_id: str, *, is_sqlite: bool) -> None:
        self._connection = connection
        self._account_id = account_id
        self._is_sqlite = is_sqlite
        self._totals: Totals = {book: defaultdict(int) for book in Book}
        self.received = 0

    async def fill(self, entries: Iterable[Entry] | AsyncIterator[Entry]) -> None:
        """Stage the entries that are not stored yet, each id once.

        Raises:
            EntryConflict: an id occurs twice, or is stored, with a different day or amount.
        """
        if self._is_sqlite:
            await self._execute(text("DROP TABLE IF EXISTS staged_entries"))
        await self._connection.run_sync(_staged.create)
        async for batch in _batches(entries):
            await self._connection.execute(insert(_staged), [self._row(entry) for entry in batch])
        await self._execute(text("CREATE INDEX staged_by_id ON staged_entries (book, id)"))
        if not self._is_sqlite:
            # PostgreSQL has no statistics for a new table and would plan a slow join.
            await self._execute(text("ANALYZE staged_entries"))
        await self._skip_repeated()
        # Stored entries never change or disappear, so they can be skipped before the lock is held.
        await self._skip_stored()

    async def move_to_ledger(self) -> tuple[int, Totals]:
        """Insert the new entries into the ledger.

        Returns:
            The number of inserted entries and their totals.

        Raises:
            EntryConflict: an id was stored meanwhile with a different day or amount.
        """
        await self._skip_stored()
        rows = select(
            literal(self._account_id),
            _staged.c.book,
            _staged.c.id,
            _staged.c.day,
            _staged.c.minor_units,
            _staged.c.description,
        ).order_by(_staged.c.book, _staged.c.id)
        names = ["account_id", "book", "id", "day", "minor_units", "description"]
        await self._execute(insert(_stored).from_select(names, rows))
        added = await self._connection.scalar(select(func.count()).select_from(_staged))
        return added or 0, self._totals

    async def drop(self) -> None:
        """Drop the temporary table; PostgreSQL drops it at the end of the transaction."""
        if not self._is_sqlite:
            return
        # If the connection is broken, the table disappears with it.
        with suppress(SQLAlchemyError):
            async with self._connection.begin():
                await self._execute(text("DROP TABLE IF EXISTS staged_entries"))

    def _row(self, entry: Entry) -> dict[str, Any]:
        self._totals[entry.book][entry.day] += entry.minor_units
        self.received += 1
        return {
            "position": self.received,
            "book": entry.book.value,
            "id": entry.id,
            "day": entry.day,
            "minor_units": entry.minor_units,
            "description": entry.description,
        }

    async def _skip_repeated(self) -> None:
        ids = select(_staged.c.book, _staged.c.id).group_by(_staged.c.book, _staged.c.id)
        repeated = ids.having(func.count() > 1)
        if (await self._execute(repeated.limit(1))).first() is None:
            return
        differ = [func.min(content) != func.max(content) for content in _CONTENT]
        await self._raise_conflicts(repeated.having(or_(*differ)), stored=False)
        same = (_earlier.c.book == _staged.c.book) & (_earlier.c.id == _staged.c.id)
        same &= _earlier.c.position < _staged.c.position
        await self._remove_staged(select(_earlier.c.id).where(same))

    async def _skip_stored(self) -> None:
        same = (_stored.c.account_id == self._account_id) & (_stored.c.book == _staged.c.book)
        same &= _stored.c.id == _staged.c.id
        differ = [content != _stored.c[content.name] for content in _CONTENT]
        conflicts = select(_staged.c.book, _staged.c.id).join(_stored, same).where(or_(*differ))
        await self._raise_conflicts(conflicts, stored=True)
        await self._remove_staged(select(_stored.c.id).where(same))

    async def _remove_staged(self, known: Select[Any]) -> None:
        """Remove the staged entries for which the subquery finds a row."""
        # A single statement, because stored entries may change between two statements.
        removed = delete(_staged).where(known.exists())
        stream = await self._connection.stream(
            removed.returning(_staged.c.book, _staged.c.day, _staged.c.minor_units)
        )
        async for batch in stream.partitions(_BATCH):
            for book, day, minor_units in batch:
                self._totals[Book(book)][day] -= minor_units

    async def _raise_conflicts(self, conflicts: Select[Any], *, stored: bool) -> None:
        rows = (await self._execute(conflicts.limit(_CONFLICTS_MAX))).all()
        if rows:
            raise EntryConflict([(Book(book), id_) for book, id_ in rows], stored=stored)

    async def _execute(self, statement: Any) -> Any:
        return await self._connection.execute(statement)


async def _batches(entries: Iterable[Entry] | AsyncIterator[Entry]) -> AsyncIterator[list[Entry]]:
    batch: list[Entry] = []
    if isinstance(entries, AsyncIterator):
        async for entry in entries:
            batch.append(entry)
            if len(batch) == _BATCH:
                yield batch
                batch = []
    else:
        for entry in entries:
            batch.append(entry)
            if len(batch) == _BATCH:
                yield batch
                batch = []
    if batch:
        yield batch
