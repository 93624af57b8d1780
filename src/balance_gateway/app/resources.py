"""Open what outlives a reload of the configuration: storage, fences, cached values, metrics."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any

from balance_gateway.app.cache_builder import (
    CacheComponents,
    build_cache,
    build_unsettled_check,
    name_remote_account,
)
from balance_gateway.app.clock_check import ClockCheck
from balance_gateway.config.settings import Settings
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.observability.metrics import Metrics
from balance_gateway.observability.shared_metrics import SharedMetrics
from balance_gateway.pipeline.cache.cache_entry_rules import ReadResult
from balance_gateway.pipeline.cache.single_flight import SingleFlight
from balance_gateway.pipeline.redis_configuration import warn_of_risks
from balance_gateway.ports.storage_changes import StorageChanges
from balance_gateway.storage.changes import open_storage_changes
from balance_gateway.storage.database import Database, open_database
from balance_gateway.storage.database_clock import DatabaseClock
from balance_gateway.storage.journal import SqlWriteJournal
from balance_gateway.storage.ledger import SqlLedgerStore
from balance_gateway.storage.sides import SqlSideStore


@dataclass(slots=True)
class Resources:
    """The parts of a running gateway that a reload keeps.

    Attributes:
        settings: the settings that are in use; a reload replaces them.
        clock: returns the current time.
        write_clock: returns the time by which writes are judged.
        database: the storage.
        storage_changes: shows whether the storage has changed.
        journal: records the writes.
        ledger: the store of the embedded ledger.
        sides: remembers normal sides.
        metrics: the metrics of this process.
        cache: the write fences and the cached values.
        clocks: compares the clocks of this machine, the database and Redis.
        reads_in_flight: the upstream reads of this process.
    """

    settings: Settings
    clock: Clock
    write_clock: DatabaseClock
    database: Database
    storage_changes: StorageChanges
    journal: SqlWriteJournal
    ledger: SqlLedgerStore
    sides: SqlSideStore
    metrics: Metrics
    cache: CacheComponents
    clocks: ClockCheck
    reads_in_flight: SingleFlight[ReadResult]


@contextlib.asynccontextmanager
async def open_resources(
    settings: Settings, clock: Clock, shared_metrics: SharedMetrics | None
) -> AsyncIterator[Resources]:
    """Open the resources of a gateway, and close them in order.

    Raises:
        DatabaseError: the storage cannot be opened.
    """
    async with contextlib.AsyncExitStack() as stack:
        database = await open_database(settings.storage.url.reveal())
        stack.push_async_callback(database.aclose)
        storage_changes = await stack.enter_async_context(open_storage_changes(database))
        # Leases, deadlines and holds of writes are judged by all processes in the same time.
        write_clock = await DatabaseClock.open(database, clock)
        journal = SqlWriteJournal(database, write_clock)
        metrics = Metrics(shared_metrics)
        cache = build_cache(
            settings, build_unsettled_check(lambda: resources.settings, journal, write_clock)
        )
        stack.push_async_callback(cache.fences.aclose)
        clocks = ClockCheck(clock, write_clock, cache.link)
        link = cache.link
        metrics.watch(metrics.cache_up, lambda: 1.0 if link is None else float(link.is_up))
        resources = Resources(
            settings,
            clock,
            write_clock,
            database,
            storage_changes,
            journal,
            SqlLedgerStore(database, clock),
            SqlSideStore(database, name_remote_account, clock),
            metrics,
            cache,
            clocks,
            SingleFlight(),
        )
        run_in_background(clocks.run(), stack)
        run_in_background(metrics.write_gauges(), stack)
        if link is not None:
            run_in_background(warn_of_risks(link), stack)
        yield resources


def run_in_background(work: Coroutine[Any, Any, None], stack: contextlib.AsyncExitStack) -> None:
    """Run a coroutine until the stack closes."""
    task = asyncio.get_running_loop().create_task(work)

    async def stop() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(stop)
