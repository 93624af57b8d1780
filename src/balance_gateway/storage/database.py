"""Opens an SQLite or PostgreSQL database and provides its transactions."""

import asyncio
import os.path
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from threading import Thread
from types import MappingProxyType
from typing import Any
from weakref import WeakSet

from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from balance_gateway.ports.storage_changes import StorageUnavailable
from balance_gateway.storage import migrations, pooler
from balance_gateway.storage.database_url import find_sqlite_path, parse_database_url
from balance_gateway.storage.engines import (
    LOCK_WAIT_S,
    driver_errors,
    make_engine,
    make_look_engine,
)
from balance_gateway.storage.postgresql_url import UrlError
from balance_gateway.storage.sqlite_connection import CommitCount
from balance_gateway.storage.sqlite_damage import DAMAGED, find_obstacle, is_damage
from balance_gateway.storage.sqlite_file import SqliteFile, is_open_here
from balance_gateway.storage.sqlite_reader import SqliteReader

#: Time in seconds that closing waits for each connection that is still busy.
CLOSE_WAIT_S = 5

#: Key of PostgreSQL's advisory lock for migrations; an arbitrary number that never changes.
_MIGRATION_LOCK = 7_362_514_409


#: What a statement fails with that its own session does not know, or that another has prepared.
_OF_POOLERS = ("DuplicatePreparedStatementError", "InvalidSQLStatementNameError")

_EXPECTED = "storage.url must be sqlite:///path, sqlite:// or postgresql://user@host/name"


class DatabaseError(StorageUnavailable):
    """The database is unavailable or refused a statement.

    The message is one line without secrets or stored values.
    """


class Database:
    """An open and migrated database; create it with ``open_database``.

    Attributes:
        label: scheme, host and name of the database for messages, without user and password.
        is_sqlite: True for SQLite, False for PostgreSQL.
        path: the absolute path of an SQLite file as configured, with its links; None for a file
            that is configured as a URI, and for any other database.
        file: the watched file of an SQLite database; None for any other.
        commits: counts the commits of an in-memory database; None for any other.
        is_damaged: whether SQLite has found the file damaged since it was opened.
    """

    def __init__(
        self, url: URL, *, label: str, options: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self.label = label
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self._keepalive: sqlite3.Connection | None = None
        self.path: str | None = None
        self.commits: CommitCount | None = None
        if label == "sqlite://":
            self.commits = CommitCount()
            # An in-memory database exists only while a connection to it is open. This connection
            # runs no statements, so no failure or cancellation can close it.
            self._keepalive = sqlite3.connect(f"{url.database}?mode=memory&cache=shared", uri=True)
        elif self.is_sqlite:
            assert url.database is not None
            self.path = None if "uri" in url.query else os.path.abspath(url.database)
        self.file: SqliteFile | None = None
        self.is_damaged = False
        self._reader: SqliteReader | None = None
        self._threads: WeakSet[Thread] = WeakSet()
        self._engine = make_engine(url, options, commits=self.commits, threads=self._threads)
        self._look_engine = None if self.is_sqlite else make_look_engine(url, options)
        # SQLite polls for its write lock, so writers of this process wait in a queue instead. An
        # in-memory database has a single connection, which already serialises its users; a lock
        # on top could deadlock with it.
        queues = self.is_sqlite and self._keepalive is None
        self._write_queue: AbstractAsyncContextManager[None] = (
            asyncio.Lock() if queues else nullcontext()
        )
        _, named = self._engine.dialect.create_connect_args(url)
        self._driver_arguments = {**named, **options}
        # TypeError and ValueError: the driver does not accept an option in the URL.
        self._connect_errors: tuple[type[Exception], ...] = (
            *(SQLAlchemyError, OSError, TypeError, ValueError),
            *driver_errors(is_sqlite=self.is_sqlite),
        )
        self._secrets = [str(each) for each in (url.password, url.query.get("password")) if each]

    async def ping(self) -> None:
        """Make one round trip to the database.

        Raises:
            DatabaseError: the database is unavailable.
        """
        async with self.read_transaction() as connection:
            await connection.execute(text("SELECT 1"))

    @asynccontextmanager
    async def read_transaction(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction for reading.

        Raises:
            DatabaseError: the database is unavailable or refused a statement.
        """
        async with self.connect() as connection, connection.begin():
            yield connection

    async def read_rows(self, statement: str, parameters: Mapping[str, Any]) -> Sequence[Any]:
        """Return the rows of one statement that reads, as the driver has their values.

        On SQLite it takes one turn of a connection's thread, where a transaction takes nine.

        Args:
            statement: SQL with parameters as ``:name``.
            parameters: their values.

        Raises:
            DatabaseError: the database is unavailable or refused the statement.
        """
        async with self.connect() as connection:
            if not self.is_sqlite:
                return (await connection.execute(text(statement), parameters)).all()
            driver: Any = (await connection.get_raw_connection()).driver_connection
            try:
                rows: Sequence[Any] = await driver.execute_fetchall(statement, parameters)
            except sqlite3.Error as error:
                raise self._statement_error(error) from error
            return rows

    def read_rows_now(self, statement: str, parameters: Mapping[str, Any]) -> Sequence[Any] | None:
        """Return the rows of one short statement, in the thread of the event loop.

        Args:
            statement: SQL that reads, with parameters as ``:name``.
            parameters: their values.

        Returns:
            None if the database is not an SQLite file, or the statement failed: ``read_rows``
            then reads, and reports the failure.
        """
        if self._reader is None or self.is_damaged:
            return None
        return self._reader.read_rows(statement, parameters)

    @asynccontextmanager
    async def write_transaction(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction for reading and writing.

        On SQLite it is the only writer of the whole database.

        Raises:
            IntegrityError: SQLAlchemy's error for a violated constraint; nothing was written.
            DatabaseError: the database is unavailable or refused a statement. If this happened
                at the end of the transaction, it may have been committed nevertheless.
        """
        # Queue before connecting, so that waiting writers occupy no connection.
        async with (
            self._write_queue,
            self.connect() as connection,
            self._begin_immediate(connection),
        ):
            yield connection

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection without a transaction; raises like ``write_transaction``."""
        async with self._connect(self._engine) as connection:
            yield connection

    @asynccontextmanager
    async def connect_to_look(self) -> AsyncIterator[AsyncConnection]:
        """Open the one connection for looks; each statement is a transaction of its own.

        Only for PostgreSQL; raises like ``read_transaction``.
        """
        assert self._look_engine is not None
        async with self._connect(self._look_engine) as connection:
            yield connection

    @asynccontextmanager
    async def _connect(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(engine.connect())
            except self._connect_errors as error:
                raise self._connect_error(error) from None
            try:
                yield connection
            except IntegrityError:
                raise
            except DBAPIError as error:
                raise self._statement_error(error) from error

    @asynccontextmanager
    async def begin_write(self, connection: AsyncConnection) -> AsyncIterator[None]:
        """Start a transaction like ``write_transaction`` on an open connection."""
        async with self._write_queue, self._begin_immediate(connection):
            yield

    async def lock(self, connection: AsyncConnection, name: str) -> None:
        """Take a named lock until the end of the transaction.

        Waits until no other transaction holds the same name.
        """
        # SQLite has only one writer at a time, so it needs no lock.
        if not self.is_sqlite:
            statement = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
            await connection.execute(statement, {"name": name})

    async def aclose(self) -> None:
        """Close all connections. No other method may be called afterwards."""
        await self._engine.dispose()
        if self._look_engine is not None:
            await self._look_engine.dispose()
        # The thread of a cancelled user's connection may still be busy and reports to this loop.
        for thread in [thread for thread in self._threads if thread.is_alive()]:
            await asyncio.to_thread(thread.join, CLOSE_WAIT_S)
        if self._keepalive is not None:
            self._keepalive.close()
        if self._reader is not None:
            self._reader.close()
        if self.file is not None:
            self.file.close()

    @asynccontextmanager
    async def _begin_immediate(self, connection: AsyncConnection) -> AsyncIterator[None]:
        # SQLite: take the write lock at the start and not at the first write, so that two processes
        # wait for each other and cannot deadlock.
        await connection.execution_options(begin_immediate=True)
        self._require_sound_file()
        async with connection.begin():
            yield
        # Replaced meanwhile, it has the commit nowhere, and nothing may be sent because of it.
        self._require_sound_file()

    def _require_sound_file(self) -> None:
        if self.is_damaged:
            raise DatabaseError(f"the database {self.label} {DAMAGED}")
        if self.file is not None and not self.file.is_same():
            message = f"the file of the database {self.label} was deleted or replaced"
            raise DatabaseError(f"{message}; restart the gateway")

    async def watch_file(self) -> None:
        """Refuse writes from now on when the SQLite file is not the one that is open.

        Raises:
            DatabaseError: the file cannot be opened.
        """
        async with self.read_transaction() as connection:
            rows = await connection.execute(text("PRAGMA database_list"))
            path = self.path or next(str(row.file) for row in rows if row.name == "main")
            try:
                self.file = SqliteFile(path)
                self._reader = SqliteReader(path, self._note_damage)
            except (OSError, sqlite3.Error, ValueError):
                message = f"cannot open the file of the database {self.label}"
                raise DatabaseError(message) from None

    async def check_pooler(self) -> None:
        """Refuse PostgreSQL behind a pooler that would break prepared statements.

        Raises:
            DatabaseError: there is such a pooler, or the database is unavailable.
        """
        try:
            is_refused = await pooler.loses_statements(self._driver_arguments)
        except self._connect_errors as error:
            raise self._connect_error(error) from None
        if is_refused:
            raise DatabaseError(f"cannot use the database {self.label}: {pooler.ADVICE}")

    async def _migrate(self) -> None:
        async with self.read_transaction() as connection:
            if await connection.run_sync(migrations.is_current):
                return
        # Polled, not awaited: event loops in several threads may open databases.
        while not migrations.upgrade_lock.acquire(blocking=False):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        try:
            async with self.write_transaction() as connection:
                if not self.is_sqlite:
                    statement = text("SELECT pg_advisory_xact_lock(:key)")
                    await connection.execute(statement, {"key": _MIGRATION_LOCK})
                await connection.run_sync(migrations.upgrade)
        finally:
            migrations.upgrade_lock.release()

    def _connect_error(self, error: Exception) -> DatabaseError:
        cause = getattr(error, "orig", None) or error
        if self._note_damage(cause):
            return DatabaseError(f"the database {self.label} {DAMAGED}")
        reason = " ".join(str(cause).split()) or type(cause).__name__
        if any(secret in reason for secret in self._secrets):
            reason = type(cause).__name__
        return DatabaseError(f"cannot connect to the database {self.label}: {reason}")

    def _note_damage(self, cause: BaseException) -> bool:
        self.is_damaged = self.is_damaged or is_damage(cause) or is_damage(cause.__cause__)
        return self.is_damaged

    def _statement_error(self, error: Exception) -> DatabaseError:
        # Drivers quote the values of a statement in their messages, so only the error's type is
        # reported.
        cause = getattr(error, "orig", None) or error
        if self._note_damage(cause):
            return DatabaseError(f"the database {self.label} {DAMAGED}")
        kind = type(cause.__cause__ or cause).__name__
        message = f"a statement failed in the database {self.label} ({kind})"
        return DatabaseError(f"{message}: {pooler.ADVICE}" if kind in _OF_POOLERS else message)


async def open_database(url: str) -> Database:
    """Open a database and migrate its tables to the newest version.

    Several processes may open a database at the same time: one migrates, the others wait.

    Args:
        url: ``sqlite:///relative/path``, ``sqlite:////absolute/path``, ``sqlite://`` (in memory,
            lost when closed) or ``postgresql://user:password@host:port/name`` with the parameters
            of ``postgresql_url``.

    Raises:
        DatabaseError: the URL has none of these forms, asyncpg is missing, the database is
            unavailable or damaged, a newer release created it, or its tables are of an earlier one
            and its user may not change them.
    """
    try:
        parsed, label, options = parse_database_url(url)
    except UrlError as error:
        raise DatabaseError(str(error)) from None
    path = find_sqlite_path(parsed)
    # Before any connection: closing one could make the damage permanent.
    problem = None
    if path is not None and not is_open_here(path):
        problem = await asyncio.to_thread(find_obstacle, path)
    if problem is not None:
        raise DatabaseError(f"the database {label} {problem}")
    try:
        database = Database(parsed, label=label, options=options)
    except (SQLAlchemyError, sqlite3.Error, ValueError, TypeError):
        raise DatabaseError(f"storage.url: cannot open {label}") from None
    try:
        if label.startswith("sqlite:///"):
            await _set_journal_mode(database)
        if not database.is_sqlite:
            await database.check_pooler()
        await database._migrate()
        if label.startswith("sqlite:///"):
            await database.watch_file()
    except migrations.UpgradeError as error:
        await database.aclose()
        raise DatabaseError(f"{label} {error}") from None
    except BaseException:
        await database.aclose()
        raise
    return database


async def _set_journal_mode(database: Database) -> None:
    """Turn on WAL mode, which the file keeps."""
    # With synchronous=FULL (see ``engines``), WAL mode keeps committed data through kill -9 and a
    # loss of power. SQLite does not wait for locks when it changes the mode, so this loop does.
    attempts = LOCK_WAIT_S * 20
    for attempt in range(attempts):
        try:
            async with database.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                assert driver is not None
                await driver.execute("PRAGMA journal_mode = WAL")
                return
        except sqlite3.Error as error:
            if "locked" not in str(error) or attempt == attempts - 1:
                raise database._connect_error(error) from None
        await asyncio.sleep(0.05)
