"""Creates SQLAlchemy engines for SQLite and PostgreSQL."""

import sqlite3
from threading import Thread
from typing import Any
from weakref import WeakSet

import aiosqlite
from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

#: Time in seconds that a transaction waits for a lock or for a connection before it fails.
LOCK_WAIT_S = 30


def make_engine(url: URL, *, in_memory: bool, threads: WeakSet[Thread]) -> AsyncEngine:
    """Create an engine that configures its connections.

    Args:
        url: a URL of ``sqlite+aiosqlite`` or ``postgresql+asyncpg``.
        in_memory: whether the database is an in-memory SQLite database.
        threads: receives the thread of each SQLite connection, so that closing can wait for them.
    """
    options: dict[str, Any] = {"hide_parameters": True, "pool_timeout": LOCK_WAIT_S}
    if url.get_backend_name() != "sqlite":
        return create_async_engine(url, pool_size=5, max_overflow=10, pool_pre_ping=True, **options)

    def connect(*arguments: Any, **named: Any) -> aiosqlite.Connection:
        connection = aiosqlite.connect(*arguments, **named)
        connection._thread.daemon = True  # like SQLAlchemy's own connections
        threads.add(connection._thread)
        return connection

    engine = create_async_engine(
        url,
        # An in-memory database has one connection, so its users run one after the other.
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1 if in_memory else 5,
        max_overflow=0 if in_memory else 5,
        # The driver must not begin transactions; the listener below begins all of them.
        connect_args={
            "isolation_level": None,
            "timeout": LOCK_WAIT_S,
            "factory": _Connection,
            "async_creator_fn": connect,
        },
        **options,
    )
    event.listen(engine.sync_engine, "connect", _set_pragmas)
    event.listen(engine.sync_engine, "begin", _begin_transaction)
    return engine


class _Connection(sqlite3.Connection):
    """A connection that closes its cursors before it closes."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    def cursor(self, *arguments: Any, **named: Any) -> Any:
        cursor = super().cursor(*arguments, **named)
        self._cursors.add(cursor)
        return cursor

    def close(self) -> None:
        # SQLite keeps a transaction and its locks while a statement of the connection has rows
        # left, even after the close. The traceback of a cancelled task keeps such a statement's
        # cursor until the garbage collector runs.
        for cursor in list(self._cursors):
            cursor.close()
        self._cursors.clear()
        super().close()


def _set_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    # Committed data survives a loss of power.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _begin_transaction(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("begin_immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def driver_errors(*, is_sqlite: bool) -> tuple[type[Exception], ...]:
    """Return the driver's own error types for a failed connection."""
    if is_sqlite:
        return (sqlite3.Error,)
    import asyncpg  # noqa: PLC0415  (an optional dependency)

    return (asyncpg.PostgresError, asyncpg.InterfaceError)
