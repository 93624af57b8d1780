"""Aborts the transactions of a process that is about to end, without waiting for them."""

import asyncio
from typing import Any

from sqlalchemy import event, text

from balance_gateway.storage.database import Database, DatabaseError

#: Time in seconds in which PostgreSQL must take the request to abort.
ABORT_S = 1.0

_TERMINATE = text("SELECT pg_terminate_backend(:process_id)")


class TransactionAborter:
    """Knows the connections in use of a database that was opened just before.

    A driver's own cancellation can wait for the server for ever. A server that computes a statement
    does not notice that its client has gone, and keeps its locks.

    Args:
        database: the database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._in_use: set[Any] = set()
        if not database.is_sqlite:
            engine = database._engine.sync_engine
            event.listen(engine, "checkout", lambda driver, *_more: self._in_use.add(driver))
            event.listen(engine, "checkin", lambda driver, *_more: self._in_use.discard(driver))

    async def abort(self) -> None:
        """Let PostgreSQL end the sessions in use; SQLite rolls back when the process ends.

        It never raises: without the server, ending the process is all that can be done.
        """
        try:
            async with asyncio.timeout(ABORT_S):
                for driver in self._in_use:
                    process_id = driver.driver_connection.get_server_pid()
                    async with self._database.connect_to_look() as connection:
                        await connection.execute(_TERMINATE, {"process_id": process_id})
        except (TimeoutError, DatabaseError, OSError):
            return
