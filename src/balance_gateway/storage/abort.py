"""Aborts the transactions of a process that is about to end, without waiting for them."""

import asyncio

from sqlalchemy import Connection, event, text

from balance_gateway.storage.database import Database, DatabaseError

#: Time in seconds in which PostgreSQL must take the request to abort.
ABORT_S = 1.0

_TERMINATE = text("SELECT pg_terminate_backend(:process_id)")


class TransactionAborter:
    """Knows the transactions of a database that was opened just before.

    A driver's own cancellation can wait for the server for ever. A server that computes a statement
    does not notice that its client has gone, and keeps its locks.

    Args:
        database: the database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        #: PostgreSQL's processes, by transaction. The number that the driver knows may be that of
        #: a pooler, behind which each transaction can have another process.
        self._process_ids: dict[Connection, int] = {}
        if not database.is_sqlite:
            engine = database._engine.sync_engine
            event.listen(engine, "begin", self._add)
            event.listen(engine, "commit", self._remove)
            event.listen(engine, "rollback", self._remove)

    def _add(self, connection: Connection) -> None:
        process_id = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        self._process_ids[connection] = process_id

    def _remove(self, connection: Connection) -> None:
        self._process_ids.pop(connection, None)

    async def abort(self) -> None:
        """Let PostgreSQL end the sessions in use; SQLite rolls back when the process ends.

        It never raises: without the server, ending the process is all that can be done.
        """
        try:
            async with asyncio.timeout(ABORT_S):
                for process_id in list(self._process_ids.values()):
                    async with self._database.connect_to_look() as connection:
                        await connection.execute(_TERMINATE, {"process_id": process_id})
        except (TimeoutError, DatabaseError, OSError):
            return
