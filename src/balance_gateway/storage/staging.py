"""Staging: entries on their way into the ledger, in a temporary table that only we can see.

Filling it takes no lock. What is left for the transaction that others wait for is one comparison
with the entries that are stored, and one statement which takes the new ones over.
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

from balance_gateway.domain.ledger import (
    Book,
    Entry,
)
from balance_gateway.ports.ledger_store import (
    EntryConflict,
)
from balance_gateway.storage.tables import BigIntText, Day, ledger_entries

#: Entries sent to the database at a time.
_BATCH = 5_000

#: Conflicts that one error names.
_CONFLICTS_MAX = 20

#: Per book and day, the sum of entries.
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
)
#: What makes two entries with one id the same. The description is for people: it does not count.
_CONTENT = (_staged.c.day, _staged.c.minor_units)
_earlier = _staged.alias("earlier")
_stored = ledger_entries


class Staging:
    """One import's temporary table: ``fill``, then ``move``, then ``drop``, on one connection.

    Attributes:
        received: how many entries were filled in.
    """

    def __init__(self, connection: AsyncConnection, account_id: str, *, is_sqlite: bool) -> None:
        self._connection = connection
        self._account_id = account_id
        self._is_sqlite = is_sqlite
        self._totals: Totals = {book: defaultdict(int) for book in Book}
        self.received = 0

    async def fill(self, entries: Iterable[Entry] | AsyncIterator[Entry]) -> None:
        """Stages the entries that are not stored yet, each id once.

        Raises:
            EntryConflict: an id comes twice, or is stored, with another day or amount.
        """
        await self._execute(text("DROP TABLE IF EXISTS staged_entries"))
        await self._connection.run_sync(_staged.create)
        async for batch in _batches(entries):
            await self._connection.execute(insert(_staged), [self._row(entry) for entry in batch])
        await self._execute(text("CREATE INDEX staged_by_id ON staged_entries (book, id)"))
        if not self._is_sqlite:
            await self._execute(text("ANALYZE staged_entries"))
        await self._pass_over_repeated()
        # Entries are never changed or removed: what is stored now need not be looked for again.
        await self._pass_over_stored()

    async def move(self) -> tuple[int, Totals]:
        """Takes the new entries over into the ledger: how many, and their totals.

        Raises:
            EntryConflict: an id was stored meanwhile, with another day or amount.
        """
        await self._pass_over_stored()
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
        """Removes the temporary table, if the connection still works; else it is gone anyway."""
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

    async def _pass_over_repeated(self) -> None:
        ids = select(_staged.c.book, _staged.c.id).group_by(_staged.c.book, _staged.c.id)
        repeated = ids.having(func.count() > 1)
        if (await self._execute(repeated.limit(1))).first() is None:
            return
        differ = [func.min(content) != func.max(content) for content in _CONTENT]
        await self._refuse(repeated.having(or_(*differ)), stored=False)
        again = (_earlier.c.book == _staged.c.book) & (_earlier.c.id == _staged.c.id)
        again &= _earlier.c.position < _staged.c.position
        await self._pass_over(select(_earlier.c.id).where(again))

    async def _pass_over_stored(self) -> None:
        same = (_stored.c.account_id == self._account_id) & (_stored.c.book == _staged.c.book)
        same &= _stored.c.id == _staged.c.id
        differ = [content != _stored.c[content.name] for content in _CONTENT]
        conflicts = select(_staged.c.book, _staged.c.id).join(_stored, same).where(or_(*differ))
        await self._refuse(conflicts, stored=True)
        await self._pass_over(select(_stored.c.id).where(same))

    async def _pass_over(self, known: Select[Any]) -> None:
        """Takes the staged entries for which ``known`` finds a row out again."""
        # One statement: what is stored may change between two.
        gone = delete(_staged).where(known.exists())
        stream = await self._connection.stream(
            gone.returning(_staged.c.book, _staged.c.day, _staged.c.minor_units)
        )
        async for batch in stream.partitions(_BATCH):
            for book, day, minor_units in batch:
                self._totals[Book(book)][day] -= minor_units

    async def _refuse(self, conflicts: Select[Any], *, stored: bool) -> None:
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
