"""Implements ``ports.storage_changes.StorageChanges`` for each kind of database."""

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from balance_gateway.ports.storage_changes import StorageChanges
from balance_gateway.storage.database import Database, DatabaseError
from balance_gateway.storage.engines import driver_errors
from balance_gateway.storage.sqlite_connection import CommitCount

logger = logging.getLogger(__name__)

#: Time in seconds after which a look at PostgreSQL fails.
LOOK_TIMEOUT_S = 5.0

_VERSION = "SELECT version FROM storage_version"


@asynccontextmanager
async def open_storage_changes(database: Database) -> AsyncIterator[StorageChanges]:
    """Open what shows changes of the database, and close it before the database.

    Raises:
        DatabaseError: the file of an SQLite database cannot be opened.
    """
    if database.commits is not None:
        yield MemoryChanges(database.commits)
    elif database.is_sqlite:
        file_changes = FileChanges(database.path or await _find_path(database), database.label)
        try:
            yield file_changes
        finally:
            file_changes.close()
    else:
        changes = PostgresqlChanges(database)
        try:
            yield changes
        finally:
            await changes.aclose()


async def _find_path(database: Database) -> str:
    async with database.read_transaction() as connection:
        rows = await connection.execute(text("PRAGMA database_list"))
        return next(str(row.file) for row in rows if row.name == "main")


class MemoryChanges:
    """Shows changes of an in-memory SQLite database, which only this process can change.

    A second connection could see them too, but would wait in the event loop for the statement of
    the first.
    """

    def __init__(self, commits: CommitCount) -> None:
        self._commits = commits

    def look_now(self) -> int | None:
        """Return the present version."""
        return self._commits.read_version()

    async def look(self) -> int:
        """Return the present version."""
        return self._commits.read_version()


class FileChanges:
    """Shows changes of an SQLite file, from the thread of the event loop.

    One connection, which never writes, asks SQLite for its ``data_version``: it changes when any
    other connection, of this or another process, has committed a change. This reads shared memory
    and takes about 8 microseconds.

    A file that was replaced or deleted is not the one that the database's connections have open,
    and those opened later have another one. From then on every look fails. The check is a ``stat``
    at each look, about 4 microseconds more; less often, a look could miss a replacement. A file
    that was overwritten in place is the same, but has another time of modification.

    Args:
        path: the path of the file.
        label: the database in messages.

    Raises:
        DatabaseError: the file cannot be opened.
    """

    def __init__(self, path: str, label: str) -> None:
        self._path = path
        self._label = label
        self._is_replaced = False
        #: Changes with the file's size or time of modification.
        self._overwrites = 0
        try:
            self._status = os.stat(path)
            # Without waiting for locks, and without creating a file.
            uri = f"{Path(path).as_uri()}?mode=rw"
            self._connection = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)
        except (OSError, sqlite3.Error, ValueError):
            raise DatabaseError(f"cannot open the file of the database {label}") from None

    def look_now(self) -> int | None:
        """Return the present version; None when the file is locked, unreadable or replaced."""
        try:
            return self._look()
        except (OSError, sqlite3.Error):
            return None

    async def look(self) -> int:
        """Return the present version.

        Raises:
            DatabaseError: the file is locked, unreadable or replaced.
        """
        version = self.look_now()
        if version is None:
            raise DatabaseError(f"cannot see whether the database {self._label} has changed")
        return version

    def close(self) -> None:
        """Close the connection; later looks fail."""
        self._connection.close()

    def _look(self) -> int | None:
        if self._is_replaced:
            return None
        # Read to its end: a statement with rows left would keep its snapshot of the database.
        [(version,)] = self._connection.execute("PRAGMA data_version").fetchall()
        if not self._is_same_file():
            self._is_replaced = True
            logger.error("storage.file_replaced", extra={"database": self._label})
            return None
        return self._overwrites << 32 | int(version)

    def _is_same_file(self) -> bool:
        before = self._status
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return False
        if (status.st_ino, status.st_dev) != (before.st_ino, before.st_dev):
            return False
        if (status.st_mtime_ns, status.st_size) != (before.st_mtime_ns, before.st_size):
            self._overwrites += 1
            self._status = status
        return True


class PostgresqlChanges:
    """Shows changes of a PostgreSQL database, which has a version that every commit changes.

    ``migrations/versions/v0004_storage_version.py`` says how. One connection stays open for all
    looks and is used without SQLAlchemy, which would take eight times as long as the look itself.

    Args:
        database: a PostgreSQL database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        #: The look that has not sent its statement.
        self._unsent: asyncio.Task[int] | None = None
        self._tasks: set[asyncio.Task[int]] = set()
        #: Held by the look with a statement under way.
        self._sending = asyncio.Lock()
        #: asyncpg's connection.
        self._driver: Any = None
        self._open = AsyncExitStack()

    def look_now(self) -> int | None:
        """Return None: a look is a statement."""
        return None

    async def look(self) -> int:
        """Return the present version; looks that begin before a statement is sent share it.

        Raises:
            DatabaseError: the database is unavailable, or did not answer in ``LOOK_TIMEOUT_S``.
        """
        if self._unsent is None:
            self._unsent = asyncio.get_running_loop().create_task(self._read_version())
            self._tasks.add(self._unsent)
            self._unsent.add_done_callback(self._tasks.discard)
        # Shielded: a caller that is cancelled must not cancel the look of the others.
        return await asyncio.shield(self._unsent)

    async def aclose(self) -> None:
        """Cancel the looks under way, and close the connection."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._disconnect()

    async def _read_version(self) -> int:
        reason = "no answer in time"
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S), self._sending:
                version = await self._fetch_version()
            if version is not None:
                return version
            reason = "no version"
        except TimeoutError:
            pass
        except driver_errors(is_sqlite=False) as error:
            reason = type(error).__name__
        except (SQLAlchemyError, OSError) as error:
            reason = type(error).__name__
        finally:
            if self._unsent is asyncio.current_task():
                self._unsent = None
        raise DatabaseError(f"a look failed in the database {self._database.label}: {reason}")

    async def _fetch_version(self) -> int | None:
        try:
            if self._driver is None:
                await self._connect()
            # What is committed from here on may not be seen.
            self._unsent = None
            found: int | None = await self._driver.fetchval(_VERSION)
        except BaseException:
            # It may be broken, or still be busy with the statement.
            await self._disconnect()
            raise
        return found

    async def _connect(self) -> None:
        connection = await self._open.enter_async_context(self._database.connect_to_look())
        self._open.push_async_callback(connection.invalidate)
        self._driver = (await connection.get_raw_connection()).driver_connection

    async def _disconnect(self) -> None:
        self._driver = None
        await self._open.aclose()
