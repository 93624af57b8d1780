"""The connections of both databases: drivers, pools, and how SQLite's are set up."""

import sqlite3
from threading import Thread
from typing import Any
from weakref import WeakSet

import aiosqlite
from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

#: How long a transaction waits for another one's lock, or for a connection, before it fails.
LOCK_WAIT_S = 30


def make_engine(url: URL, *, in_memory: bool, threads: WeakSet[Thread]) -> AsyncEngine:
    """An engine whose connections are set up for their database.

    Args:
        url: of ``sqlite+aiosqlite`` or ``postgresql+asyncpg``.
        in_memory: an SQLite database in memory.
        threads: where the thread of each SQLite connection is noted, for whoever closes the engine.
    """
    options: dict[str, Any] = {"hide_parameters": True, "pool_timeout": LOCK_WAIT_S}
    if url.get_backend_name() != "sqlite":
        return create_async_engine(url, pool_size=5, max_overflow=10, pool_pre_ping=True, **options)

    def connect(*arguments: Any, **named: Any) -> aiosqlite.Connection:
        connection = aiosqlite.connect(*arguments, **named)
        connection._thread.daemon = True  # as SQLAlchemy does when it connects by itself
        threads.add(connection._thread)
        return connection

    engine = create_async_engine(
        url,
        # In memory there is one connection: whoever has it is alone.
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1 if in_memory else 5,
        max_overflow=0 if in_memory else 5,
        # The driver begins no transaction of its own; the listener below begins all of them.
        connect_args={
            "isolation_level": None,
            "timeout": LOCK_WAIT_S,
            "async_creator_fn": connect,
        },
        **options,
    )
    event.listen(engine.sync_engine, "connect", _set_pragmas)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _set_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("begin_immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def driver_errors(*, is_sqlite: bool) -> tuple[type[Exception], ...]:
    """What the driver itself raises when it cannot connect."""
    if is_sqlite:
        return (sqlite3.Error,)
    import asyncpg  # noqa: PLC0415  (an optional dependency)

    return (asyncpg.PostgresError, asyncpg.InterfaceError)
