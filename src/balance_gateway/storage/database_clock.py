"""The time of the database, by which processes that share a journal agree on leases."""

import asyncio
import contextlib
import logging
import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from balance_gateway.domain.calendar_days import Clock
from balance_gateway.storage.database import Database, DatabaseError

logger = logging.getLogger(__name__)

#: Interval in seconds at which the database is asked for its time.
MEASURE_S = 30.0

_NOW = text("SELECT clock_timestamp()")


class DatabaseClock:
    """Returns the time of PostgreSQL; that of this machine for SQLite, which has no other.

    Between two measurements it advances with this process's monotonic clock, so that a machine
    with a wrong clock, or one that is set meanwhile, does not disagree with the others.

    Args:
        database: the database.
        clock: returns the time of this machine.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        #: The database's time, and the monotonic time at which it was measured.
        self._measured: tuple[datetime, float] | None = None

    @classmethod
    async def open(cls, database: Database, clock: Clock) -> "DatabaseClock":
        """Build the clock and measure once; it is this machine's until a measurement succeeds."""
        built = cls(database, clock)
        with contextlib.suppress(DatabaseError):
            await built.measure()
        return built

    @property
    def is_local(self) -> bool:
        """Whether it is the clock of this machine."""
        return self._database.is_sqlite

    def __call__(self) -> datetime:
        """Return the current instant."""
        if self._measured is None:
            return self._clock()
        instant, at_s = self._measured
        return instant + timedelta(seconds=time.monotonic() - at_s)

    async def measure(self) -> None:
        """Ask the database for its time.

        Raises:
            DatabaseError: the database is unavailable.
        """
        if self._database.is_sqlite:
            return
        async with self._database.read_transaction() as connection:
            began_s = time.monotonic()
            instant = (await connection.execute(_NOW)).scalar_one()
            ended_s = time.monotonic()
        self._measured = (instant.astimezone(UTC), (began_s + ended_s) / 2)

    async def run(self) -> None:
        """Measure again and again."""
        while True:
            await asyncio.sleep(MEASURE_S)
            try:
                await self.measure()
            except DatabaseError:
                logger.info("clock.not_measured", extra={"of": "storage"})
