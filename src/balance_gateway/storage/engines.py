"""Creates SQLAlchemy engines for SQLite and PostgreSQL."""

import sqlite3
from collections.abc import Mapping
from functools import partial
from threading import Thread
from typing import Any
from weakref import WeakSet

import aiosqlite
from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from balance_gateway.storage.sqlite_connection import (
    CommitCount,
    CountedConnection,
    SqliteConnection,
)

#: Time in seconds that a transaction waits for a lock or for a connection before it fails.
LOCK_WAIT_S = 30


def make_engine(
    url: URL,
    arguments: Mapping[str, Any],
    *,
    commits: CommitCount | None,
    threads: WeakSet[Thread],
) -> AsyncEngine:
    """Create an engine that configures its connections.

    Args:
        url: a URL of ``sqlite+aiosqlite`` or ``postgresql+asyncpg``.
        arguments: further arguments of the driver's connections, for PostgreSQL.
        commits: counts the commits of an in-memory SQLite database; None for any other.
        threads: receives the thread of each SQLite connection, so that closing can wait for them.
    """
    options: dict[str, Any] = {"hide_parameters": True, "pool_timeout": LOCK_WAIT_S}
    if url.get_backend_name() != "sqlite":
        # At a higher level of the server's own, concurrent commits would fail: each of them changes
        # the row of the storage's version.
        options["isolation_level"] = "READ COMMITTED"
        options["connect_args"] = dict(arguments)
        return create_async_engine(url, pool_size=5, max_overflow=10, pool_pre_ping=True, **options)

    in_memory = commits is not None

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
            "factory": SqliteConnection if commits is None else partial(CountedConnection, commits),
            "async_creator_fn": connect,
        },
        **options,
    )
    event.listen(engine.sync_engine, "connect", _set_pragmas)
    event.listen(engine.sync_engine, "begin", _begin_transaction)
    return engine


def make_look_engine(url: URL, arguments: Mapping[str, Any]) -> AsyncEngine:
    """Create the PostgreSQL engine of looks: one connection, and one round trip per statement.

    Its connection is not checked before use: a look that fails harms nothing, and the next one
    connects again.
    """
    return create_async_engine(
        url,
        connect_args=dict(arguments),
        pool_size=1,
        max_overflow=0,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
    )


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
