"""Stages the entries of an import in a temporary table that only its connection can see.

Filling the table takes no lock. The transaction that blocks other writers needs only one
comparison with the stored entries and one statement that inserts the new ones.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date
from itertools import chain, compress, islice
from operator import lt
from typing import Any

from sqlalchemy import Select, Text, column, delete, func, insert, literal, or_, select, table, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.domain.ledger import Book, Entry, EntryColumns
from balance_gateway.ports.ledger_store import EntryConflict
from balance_gateway.storage.tables import BigIntText, Day, ledger_entries

#: Number of entries sent to the database at a time, unless they come in batches.
_BATCH = 2_000

#: Maximum number of conflicts listed in one error.
_CONFLICTS_MAX = 20

#: The sum of entries per book and day.
Totals = dict[Book, dict[date, int]]

_staged = table(
    "staged_entries",
    column("position"),
    column("book", Text),
    column("id", Text),
    column("day", Day),
    column("minor_units", BigIntText),
    column("description", Text),
)
_COLUMNS = """
    book text NOT NULL, id text NOT NULL, day text NOT NULL, minor_units text NOT NULL,
    description text
"""
#: SQLite numbers the rows by itself.
_CREATE_SQLITE = f"""
    CREATE TEMPORARY TABLE staged_entries (position integer PRIMARY KEY, {_COLUMNS})
"""
_CREATE_POSTGRESQL = f"""
    CREATE TEMPORARY TABLE staged_entries (position bigint NOT NULL, {_COLUMNS}) ON COMMIT DROP
"""
_INSERT_SQLITE = "INSERT INTO staged_entries (book, id, day, minor_units, description) VALUES "
_VALUES_SQLITE = "(?, ?, ?, ?, ?)"
#: Number of rows in one statement of SQLite, which takes half the time of one statement each.
_ROWS_PER_STATEMENT = 100
# The name stands first, as in SQLite: an operator finds an import by it.
_INSERT_POSTGRESQL = """INSERT INTO staged_entries
    SELECT $1 + position, book, id, day, minor_units, description
    FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
    WITH ORDINALITY AS entry (book, id, day, minor_units, description, position)
"""
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
        #: Whether the staged entries are new, except for what was stored since.
        self._is_checked = False
        #: Whether the ids of each book have come in ascending order, so that none is repeated.
        self._is_ascending = True
        self._last_ids = dict.fromkeys(Book, "")
        self.received = 0

    async def fill(self, batches: Iterable[EntryColumns] | AsyncIterator[EntryColumns]) -> None:
        """Stage the entries that are not stored yet, each id once.

        Raises:
            EntryConflict: an id occurs twice, or is stored, with a different day or amount.
        """
        if self._is_sqlite:
            await self._execute(text("DROP TABLE IF EXISTS staged_entries"))
        await self._execute(text(_CREATE_SQLITE if self._is_sqlite else _CREATE_POSTGRESQL))
        if isinstance(batches, AsyncIterator):
            async for batch in batches:
                await self._add(batch)
        else:
            for batch in batches:
                await self._add(batch)
        # PostgreSQL's lock stops only imports into the same account, and may be held for longer.
        if self._is_sqlite or await self._has_stored():
            await self._check()

    async def _check(self) -> None:
        """Find the entries with an id that occurs twice or is stored, and remove them."""
        is_repeated = not self._is_ascending and await self._create_index()
        if not self._is_sqlite:
            # PostgreSQL has no statistics for a new table and would plan a slow join.
            await self._execute(text("ANALYZE staged_entries"))
        if is_repeated:
            await self._skip_repeated()
        self._is_checked = True
        # Stored entries never change or disappear, so they can be skipped before the lock is held.
        await self._skip_stored()

    async def move_to_ledger(self) -> tuple[int, Totals]:
        """Insert the new entries into the ledger.

        Returns:
            The number of inserted entries and their totals.

        Raises:
            EntryConflict: an id was stored meanwhile with a different day or amount.
        """
        if not self._is_checked:
            try:
                async with self._connection.begin_nested():
                    await self._insert()
                return self.received, self._totals
            except IntegrityError:
                await self._check()
        await self._skip_stored()
        await self._insert()
        added = await self._connection.scalar(select(func.count()).select_from(_staged))
        return added or 0, self._totals

    async def _insert(self) -> None:
        rows = self._select_new()
        if self._is_sqlite and self._is_ascending:
            # Each book has the order of the ledger already, and needs no sorting.
            for book in Book:
                await self._insert_rows(rows.where(_staged.c.book == book.value))
            return
        if self._is_checked:
            # In the order of the indexes of both tables.
            rows = rows.order_by(_staged.c.book, _staged.c.id)
        await self._insert_rows(rows)

    def _select_new(self) -> Select[Any]:
        return select(
            literal(self._account_id),
            _staged.c.book,
            _staged.c.id,
            _staged.c.day,
            _staged.c.minor_units,
            _staged.c.description,
        )

    async def _insert_rows(self, rows: Select[Any]) -> None:
        names = ["account_id", "book", "id", "day", "minor_units", "description"]
        await self._execute(insert(_stored).from_select(names, rows))

    async def drop(self) -> None:
        """Drop the temporary table; PostgreSQL drops it at the end of the transaction."""
        if not self._is_sqlite:
            return
        # If the connection is broken, the table disappears with it.
        with suppress(SQLAlchemyError):
            async with self._connection.begin():
                await self._execute(text("DROP TABLE IF EXISTS staged_entries"))

    async def _add(self, batch: EntryColumns) -> None:
        # Below SQLAlchemy's conversions, which take longer than the databases do.
        ids, books, days, amounts, descriptions = batch
        day_texts = {day: day.isoformat() for day in set(days)}
        columns = (
            ["bank" if book is Book.BANK else "ledger" for book in books],
            ids,
            [day_texts[day] for day in days],
            list(map(str, amounts)),
            descriptions,
        )
        if self._is_sqlite:
            await self._add_to_sqlite(columns)
        else:
            arrays = (self.received, *columns)
            await self._connection.exec_driver_sql(_INSERT_POSTGRESQL, arrays)
        bank, ledger = self._totals[Book.BANK], self._totals[Book.LEDGER]
        for book, day, minor_units in zip(books, days, amounts, strict=True):
            (bank if book is Book.BANK else ledger)[day] += minor_units
        self.received += len(ids)
        if self._is_ascending:
            is_bank = [book is Book.BANK for book in books]
            is_ledger = [not each for each in is_bank]
            self._is_ascending = self._continues(
                Book.BANK, list(compress(ids, is_bank))
            ) and self._continues(Book.LEDGER, list(compress(ids, is_ledger)))

    async def _add_to_sqlite(self, columns: Sequence[Sequence[Any]]) -> None:
        cells = list(chain.from_iterable(zip(*columns, strict=True)))
        step = len(columns) * _ROWS_PER_STATEMENT
        whole = len(cells) // step * step
        for first, end, count in (
            (0, whole, _ROWS_PER_STATEMENT),
            (whole, len(cells), 1),
        ):
            size = len(columns) * count
            rows = [tuple(cells[at : at + size]) for at in range(first, end, size)]
            if rows:
                values = ",".join([_VALUES_SQLITE] * count)
                await self._connection.exec_driver_sql(_INSERT_SQLITE + values, rows)

    def _continues(self, book: Book, ids: Sequence[str]) -> bool:
        """Return whether the ids of a book come after its earlier ones, in ascending order."""
        earlier = [self._last_ids[book], *ids[:-1]]
        self._last_ids[book] = ids[-1] if ids else self._last_ids[book]
        return all(map(lt, earlier, ids))

    async def _create_index(self) -> bool:
        """Create the index by id; return whether an id occurs more than once."""
        columns = "staged_by_id ON staged_entries (book, id)"
        try:
            async with self._connection.begin_nested():
                await self._execute(text(f"CREATE UNIQUE INDEX {columns}"))
        except IntegrityError:
            await self._execute(text(f"CREATE INDEX {columns}"))
            return True
        return False

    async def _skip_repeated(self) -> None:
        ids = select(_staged.c.book, _staged.c.id).group_by(_staged.c.book, _staged.c.id)
        repeated = ids.having(func.count() > 1)
        differ = [func.min(content) != func.max(content) for content in _CONTENT]
        await self._raise_conflicts(repeated.having(or_(*differ)), stored=False)
        same = (_earlier.c.book == _staged.c.book) & (_earlier.c.id == _staged.c.id)
        same &= _earlier.c.position < _staged.c.position
        await self._remove_staged(select(_earlier.c.id).where(same))

    async def _skip_stored(self) -> None:
        if not await self._has_stored():
            return
        same = (_stored.c.account_id == self._account_id) & (_stored.c.book == _staged.c.book)
        same &= _stored.c.id == _staged.c.id
        differ = [content != _stored.c[content.name] for content in _CONTENT]
        conflicts = select(_staged.c.book, _staged.c.id).join(_stored, same).where(or_(*differ))
        await self._raise_conflicts(conflicts, stored=True)
        await self._remove_staged(select(_stored.c.id).where(same))

    async def _has_stored(self) -> bool:
        stored = select(literal(1)).where(_stored.c.account_id == self._account_id).limit(1)
        return await self._connection.scalar(stored) is not None

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


def split_entries(
    entries: Iterable[Entry] | AsyncIterator[Entry],
) -> Iterator[EntryColumns] | AsyncIterator[EntryColumns]:
    """Return the entries in batches."""
    if isinstance(entries, AsyncIterator):
        return _split_async(entries)
    return _split(iter(entries))


def _split(entries: Iterator[Entry]) -> Iterator[EntryColumns]:
    while batch := list(islice(entries, _BATCH)):
        yield EntryColumns.of(batch)


async def _split_async(entries: AsyncIterator[Entry]) -> AsyncIterator[EntryColumns]:
    batch: list[Entry] = []
    async for entry in entries:
        batch.append(entry)
        if len(batch) == _BATCH:
            yield EntryColumns.of(batch)
            batch = []
    if batch:
        yield EntryColumns.of(batch)
