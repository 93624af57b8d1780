"""Opens the database, SQLite or PostgreSQL, and hands out its transactions.

SQLite runs in WAL mode with ``synchronous=FULL``: what was committed survives kill -9 and a loss
of power. A write takes the database's one write lock when it begins, not half-way, so that two
processes wait for each other and never deadlock.
"""

import asyncio
import importlib.util
import sqlite3
import uuid
from collections.abc import AsyncIterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from threading import Thread
from weakref import WeakSet

from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.storage import migrations
from balance_gateway.storage.engines import LOCK_WAIT_S, driver_errors, make_engine

#: How long closing waits for each connection that is still at work.
CLOSE_WAIT_S = 5

#: Key of the advisory lock under which PostgreSQL is migrated; any number, always the same.
_MIGRATION_LOCK = 7_362_514_409


class DatabaseError(Exception):
    """The database is out of reach, or refused: one line, without a secret or anyone's data."""


class Database:
    """A database that is open and migrated; made by ``open_database``, closed by ``aclose``.

    Attributes:
        label: which database it is, for people: scheme, host and name, no user and no password.
        is_sqlite: SQLite, as opposed to PostgreSQL.
    """

    def __init__(self, url: URL, *, label: str) -> None:
        self.label = label
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self._anchor: sqlite3.Connection | None = None
        if label == "sqlite://":
            # An in-memory database lasts as long as a connection to it. This one is never used
            # for statements, so no failure or cancellation can close it.
            self._anchor = sqlite3.connect(f"{url.database}?mode=memory&cache=shared", uri=True)
        self._threads: WeakSet[Thread] = WeakSet()
        self._engine = make_engine(url, in_memory=self._anchor is not None, threads=self._threads)
        # SQLite polls for its write lock, so within the process we queue for it. In memory the
        # one connection is queue enough, and a second queue could be entered crosswise.
        queues = self.is_sqlite and self._anchor is None
        self._turn: AbstractAsyncContextManager[None] = asyncio.Lock() if queues else nullcontext()
        # TypeError and ValueError: the driver takes no such option as the URL has.
        self._connect_errors: tuple[type[Exception], ...] = (
            *(SQLAlchemyError, OSError, TypeError, ValueError),
            *driver_errors(is_sqlite=self.is_sqlite),
        )
        options = [item for value in url.query.values() for item in _items(value)]
        self._secrets = [] if self.is_sqlite else [url.password or "", *options]

    async def ping(self) -> None:
        """One round trip to the database.

        Raises:
            DatabaseError: it did not answer.
        """
        async with self.reading() as connection:
            await connection.execute(text("SELECT 1"))

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction for reading.

        Raises:
            DatabaseError: the database is out of reach, or refused.
        """
        async with self.connected() as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction for reading and writing; on SQLite alone in the whole database.

        Raises:
            IntegrityError: a constraint was broken (SQLAlchemy's); nothing was written.
            DatabaseError: the database is out of reach, or refused; when that happened at the
                end of the transaction it may have been committed all the same.
        """
        # The turn comes first, so that those who wait for it keep no connection from readers.
        async with self._turn, self.connected() as connection, self._begun(connection):
            yield connection

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[AsyncConnection]:
        """A connection without a transaction. Raises as ``writing`` does."""
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(self._engine.connect())
            except self._connect_errors as error:
                raise self._unreachable(error) from None
            try:
                yield connection
            except IntegrityError:
                raise
            except DBAPIError as error:
                raise self._failed(error) from error

    @asynccontextmanager
    async def begin_writing(self, connection: AsyncConnection) -> AsyncIterator[None]:
        """A transaction as of ``writing``, on a connection that is there already."""
        async with self._turn, self._begun(connection):
            yield

    async def lock(self, connection: AsyncConnection, name: str) -> None:
        """Waits until no other transaction holds the name; held until this transaction ends.

        SQLite has one writer at a time anyway.
        """
        if not self.is_sqlite:
            statement = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
            await connection.execute(statement, {"name": name})

    async def aclose(self) -> None:
        """Closes all connections. No call may follow."""
        await self._engine.dispose()
        # A connection whose user was cancelled may still be at work, and reports to this loop.
        for thread in [thread for thread in self._threads if thread.is_alive()]:
            await asyncio.to_thread(thread.join, CLOSE_WAIT_S)
        if self._anchor is not None:
            self._anchor.close()

    @asynccontextmanager
    async def _begun(self, connection: AsyncConnection) -> AsyncIterator[None]:
        await connection.execution_options(begin_immediate=True)
        async with connection.begin():
            yield

    async def _migrate(self) -> None:
        async with self.reading() as connection:
            if await connection.run_sync(migrations.is_current):
                return
        # A thread's lock, asked for politely: event loops of several threads may open databases.
        while not migrations.one_at_a_time.acquire(blocking=False):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        try:
            async with self.writing() as connection:
                if not self.is_sqlite:
                    statement = text("SELECT pg_advisory_xact_lock(:key)")
                    await connection.execute(statement, {"key": _MIGRATION_LOCK})
                await connection.run_sync(migrations.upgrade)
        finally:
            migrations.one_at_a_time.release()

    def _unreachable(self, error: Exception) -> DatabaseError:
        cause = getattr(error, "orig", None) or error
        reason = " ".join(str(cause).split()) or type(cause).__name__
        if any(secret in reason for secret in self._secrets if secret):
            reason = type(cause).__name__
        return DatabaseError(f"the database {self.label} is out of reach: {reason}")

    def _failed(self, error: Exception) -> DatabaseError:
        # Drivers quote the values of a statement in their messages: only the kind is told.
        cause = getattr(error, "orig", None) or error
        kind = type(cause.__cause__ or cause).__name__
        return DatabaseError(f"the database {self.label} did not do its work ({kind})")


async def open_database(url: str) -> Database:
    """Opens a database and brings its tables to the newest version.

    Several processes may open one database at once; one of them migrates, the others wait.

    Args:
        url: ``sqlite:///relative/path``, ``sqlite:////absolute/path``, ``sqlite://`` (in memory,
            gone when closed) or ``postgresql://user:password@host:port/name``.

    Raises:
        DatabaseError: the URL is of none of these forms, asyncpg is missing, the database is out
            of reach, or a newer release made it.
    """
    parsed, label = _parsed(url)
    try:
        database = Database(parsed, label=label)
    except (SQLAlchemyError, sqlite3.Error, ValueError, TypeError):
        raise DatabaseError(f"storage.url: cannot open {label}") from None
    try:
        if label.startswith("sqlite:///"):
            await _set_journal_mode(database)
        await database._migrate()
    except migrations.UnknownVersion:
        await database.aclose()
        message = f"{label} was made by a newer release of balance-gateway; upgrade this one"
        raise DatabaseError(message) from None
    except BaseException:
        await database.aclose()
        raise
    return database


def _parsed(url: str) -> tuple[URL, str]:
    expected = "storage.url must be sqlite:///path, sqlite:// or postgresql://user@host/name"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise DatabaseError(expected) from None
    if parsed.drivername == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            name = f"file:balance-gateway-{uuid.uuid4().hex}"
            memory = {"mode": "memory", "cache": "shared", "uri": "true"}
            return URL.create("sqlite+aiosqlite", database=name, query=memory), "sqlite://"
        return parsed.set(drivername="sqlite+aiosqlite"), f"sqlite:///{parsed.database}"
    if parsed.drivername == "postgresql":
        if importlib.util.find_spec("asyncpg") is None:
            hint = "pip install balance-gateway[postgres]"
            raise DatabaseError(f"storage.url names PostgreSQL, which needs asyncpg: {hint}")
        if "@" in f"{parsed.host}{parsed.database}":
            raise DatabaseError(f"{expected}; in a password, @ is written %40 and / %2F")
        where = f"{parsed.host or ''}{f':{parsed.port}' if parsed.port else ''}"
        label = f"postgresql://{where}/{parsed.database or ''}"
        return parsed.set(drivername="postgresql+asyncpg"), label
    raise DatabaseError(expected)


async def _set_journal_mode(database: Database) -> None:
    """Turns on WAL, which the file then keeps. SQLite does not wait for locks here: we do."""
    attempts = LOCK_WAIT_S * 20
    for attempt in range(attempts):
        try:
            async with database.connected() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                assert driver is not None
                await driver.execute("PRAGMA journal_mode = WAL")
                return
        except sqlite3.Error as error:
            if "locked" not in str(error) or attempt == attempts - 1:
                raise database._unreachable(error) from None
        await asyncio.sleep(0.05)


def _items(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
