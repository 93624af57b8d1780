"""Probes whether a database takes writes, at most once a second."""

import asyncio
import logging
import time

from sqlalchemy import text

from balance_gateway.storage.database import Database, DatabaseError

logger = logging.getLogger(__name__)

#: Time in seconds for which a passed probe counts: anybody may ask, and a probe costs a commit.
PROBE_VALID_S = 1.0

#: True for a standby, for a database or role that is set read-only, and for a lost privilege.
_IS_READ_ONLY = text(
    "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool"
    " OR NOT has_table_privilege('writes', 'INSERT')"
)


class WriteProbe:
    """The probe of one database.

    Args:
        database: the database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()
        self._passed_at_s: float | None = None

    async def check(self) -> None:
        """Check that a write could be recorded now.

        Raises:
            DatabaseError: the database is unavailable, read-only, full or damaged, or its file was
                replaced.
        """
        async with self._lock:
            passed, file = self._passed_at_s, self._database.file
            is_same = file is None or file.is_same()
            is_sound = is_same and not self._database.is_damaged
            if is_sound and passed is not None and time.monotonic() - passed < PROBE_VALID_S:
                return
            problem = await self._find_problem()
            self._passed_at_s = time.monotonic() if problem is None else None
        if problem is not None:
            label = self._database.label
            logger.warning("storage.not_writable", extra={"database": label, "reason": problem})
            raise DatabaseError(f"the database {label} takes no writes: {problem}")

    async def _find_problem(self) -> str | None:
        if self._database.is_damaged:
            return "the file is damaged; restore a backup"
        if self._database.file is not None:
            return await asyncio.to_thread(self._database.file.find_write_problem)
        if self._database.is_sqlite:
            await self._database.ping()
            return None
        async with self._database.read_transaction() as connection:
            is_read_only = (await connection.execute(_IS_READ_ONLY)).scalar_one()
        return "it is read-only: a standby, or set so" if is_read_only else None
