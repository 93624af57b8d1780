"""Compare the clock of this machine with those of the database and of Redis."""

import contextlib
import logging
import time
from datetime import UTC, datetime
from typing import Any

from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import CacheUnavailable, Internal
from balance_gateway.pipeline.redis_client import RedisClient
from balance_gateway.storage.database import DatabaseError
from balance_gateway.storage.database_clock import DatabaseClock

logger = logging.getLogger(__name__)

#: Difference between two clocks in seconds from which it is logged and ``/readyz`` is degraded.
SKEW_MAX_S = 5.0


class ClockCheck:
    """Finds a clock that differs from this machine's.

    Args:
        clock: returns the time of this machine.
        write_clock: the time of the database.
        redis: the client of the shared cache; None without one.
    """

    def __init__(self, clock: Clock, write_clock: DatabaseClock, redis: RedisClient | None) -> None:
        self._clock = clock
        self._write_clock = write_clock
        self._redis = redis

    @property
    def has_others(self) -> bool:
        """Whether there is another clock to compare with."""
        return self._redis is not None or not self._write_clock.is_local

    async def check(self) -> None:
        """Compare the clocks, and log each difference.

        Raises:
            Internal: a clock differs by more than ``SKEW_MAX_S``.
        """
        skews = await self._measure()
        skewed = {name: round(s, 1) for name, s in skews.items() if abs(s) > SKEW_MAX_S}
        for name, skew_s in skewed.items():
            logger.warning("clock.skewed", extra={"of": name, "ahead_seconds": skew_s})
        if skewed:
            raise Internal(f"The clock of this machine differs from that of {', '.join(skewed)}.")

    async def run(self) -> None:
        """Log differences at the start, then keep the time of the database measured."""
        with contextlib.suppress(Internal):
            await self.check()
        await self._write_clock.run()

    async def _measure(self) -> dict[str, float]:
        """Return by how many seconds this machine's clock is ahead, by the name of the other."""
        skews = {}
        # One that cannot be asked is not skewed: the checks of storage and cache report it.
        try:
            await self._write_clock.measure()
            skews["storage"] = (self._clock() - self._write_clock()).total_seconds()
        except DatabaseError:
            logger.info("clock.not_measured", extra={"of": "storage"})
        if self._redis is not None:
            try:
                skews["cache"] = await self._measure_redis(self._redis)
            except CacheUnavailable:
                logger.info("clock.not_measured", extra={"of": "cache"})
        return skews

    async def _measure_redis(self, redis: RedisClient) -> float:
        began_s = time.monotonic()
        answer: Any = await redis.run(redis.client.time)
        waited_s = time.monotonic() - began_s
        seconds, microseconds = answer
        there = datetime.fromtimestamp(int(seconds) + int(microseconds) / 1e6, UTC)
        return (self._clock() - there).total_seconds() - waited_s / 2
