"""Build the gateway: wire settings, storage, providers, pipeline and use cases together."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from balance_gateway.app.cache_builder import (
    CacheComponents,
    build_account_keys,
    build_cache,
    build_lifetimes,
    build_remote_renames,
    build_unsettled_check,
)
from balance_gateway.app.call_observer import make_call_observer
from balance_gateway.app.clock_check import ClockCheck
from balance_gateway.app.provider_builder import build_gate, build_provider
from balance_gateway.app.write_deadlines import (
    READ_BACK_S,
    build_write_deadlines,
    compute_effect_window_s,
)
from balance_gateway.config.settings import Settings
from balance_gateway.domain.accounts import Account, Capability, ProviderKind
from balance_gateway.domain.calendar_days import Clock, system_clock
from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.domain.money import is_withdrawn
from balance_gateway.domain.writes import WriteRecord
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.cache.cache_keys import AccountKeys
from balance_gateway.pipeline.cache.cached_reads import CachedReads
from balance_gateway.pipeline.calls.call_gate import ConnectorGate
from balance_gateway.pipeline.calls.circuit_breaker import BreakerState
from balance_gateway.pipeline.calls.health_tracked_provider import HealthTrackedProvider
from balance_gateway.pipeline.calls.health_tracker import HealthTracker
from balance_gateway.pipeline.calls.observed_opening_balances import ObservedOpeningBalances
from balance_gateway.pipeline.calls.recorded_opening_balances import RecordedOpeningBalances
from balance_gateway.pipeline.calls.retrying_provider import RetryingProvider
from balance_gateway.pipeline.redis_configuration import warn_of_risks
from balance_gateway.ports.bank_feeds import BankFeedReader
from balance_gateway.ports.provider_dependencies import ProviderDependencies
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.providers.registry import PROVIDERS
from balance_gateway.service.directory import Connector, Directory
from balance_gateway.service.gateway import Gateway
from balance_gateway.service.reconciler import Reconciler
from balance_gateway.service.recovery import Recovery
from balance_gateway.service.write_results import log_uncertain
from balance_gateway.service.writer import OpeningBalanceWriter
from balance_gateway.storage.changes import open_storage_changes
from balance_gateway.storage.database import Database, open_database
from balance_gateway.storage.database_clock import DatabaseClock
from balance_gateway.storage.journal import SqlWriteJournal
from balance_gateway.storage.journal_history import SqlWriteHistory
from balance_gateway.storage.journal_settlements import SqlWriteSettlements
from balance_gateway.storage.ledger import SqlLedgerStore
from balance_gateway.storage.sides import SqlSideStore

logger = logging.getLogger(__name__)

#: Interval in seconds at which uncertain writes are settled in the background.
SETTLE_INTERVAL_S = 30.0

#: Interval in seconds at which writes without an outcome are resolved after their lease.
RECOVER_INTERVAL_S = 5.0


@dataclass(frozen=True, slots=True)
class GatewayComponents:
    """The running parts of a gateway.

    Attributes:
        gateway: the use cases.
        database: the storage.
        cache: the write fences and the cached values.
        providers: the providers by connector name.
        metrics: the metrics of this process.
        clocks: compares the clocks of this machine, the database and Redis.
    """

    gateway: Gateway
    database: Database
    cache: CacheComponents
    providers: Mapping[str, BalanceProvider]
    metrics: Metrics
    clocks: ClockCheck


@contextlib.asynccontextmanager
async def open_gateway(
    settings: Settings, clock: Clock = system_clock
) -> AsyncIterator[GatewayComponents]:
    """Open a gateway, recover writes that a crash interrupted, and close all parts in order."""
    # The stack closes in reverse order: the writer drains while its journal, fences and providers
    # are still open.
    async with contextlib.AsyncExitStack() as stack:
        database = await open_database(settings.storage.url.reveal())
        stack.push_async_callback(database.aclose)
        storage_changes = await stack.enter_async_context(open_storage_changes(database))
        # Leases, deadlines and holds of writes are judged by all processes in the same time.
        write_clock = await DatabaseClock.open(database, clock)
        journal = SqlWriteJournal(database, write_clock)
        # Before anything looks a write up: earlier releases named accounts by ids as written.
        await journal.rename_remote_accounts(build_remote_renames(settings))
        metrics = Metrics()
        cache = build_cache(settings, build_unsettled_check(settings, journal, write_clock))
        stack.push_async_callback(cache.fences.aclose)
        clocks = _start_clock_check(ClockCheck(clock, write_clock, cache.link), stack)
        gates = {
            connector.name: build_gate(connector, cache.link) for connector in settings.connectors
        }
        tracker = HealthTracker(gates, clock)
        _register_gauges(metrics, gates, cache)
        keys = build_account_keys(settings)
        remote_accounts = {account_id: key.remote for account_id, key in keys.items()}
        ledger = SqlLedgerStore(database, clock)
        await ledger.record_currencies(
            [one for one in settings.accounts if one.provider is ProviderKind.LOCAL]
        )
        sides = SqlSideStore(database, remote_accounts, clock)
        _warn_of_withdrawn_currencies(settings.accounts)
        on_call = make_call_observer(metrics, gates, tracker)
        providers: dict[str, BalanceProvider] = {}
        feed_readers: dict[str, BankFeedReader] = {}
        sources: dict[str, BalanceProvider] = {}
        for connector in settings.connectors:
            dependencies = ProviderDependencies(
                clock, on_call, gates[connector.name], ledger, sides
            )
            provider = build_provider(connector, dependencies)
            stack.push_async_callback(provider.aclose)
            # Undecorated: a bank feed is not worth a retry.
            if isinstance(provider, BankFeedReader):
                feed_readers[connector.name] = provider
            sources[connector.name] = _decorate_provider(provider, tracker)
        reads = _build_reads(settings, providers, feed_readers, keys, cache, clock, metrics)
        stack.push_async_callback(reads.aclose)
        directory = Directory(
            settings.accounts,
            [Connector(p.connector, p.kind, p.capabilities) for p in sources.values()],
        )
        limits = build_write_deadlines(settings)
        history = SqlWriteHistory(database)
        reconciler = Reconciler(
            directory=directory,
            sources=sources,
            remote_accounts=remote_accounts,
            fence=reads,
            journal=journal,
            settlements=SqlWriteSettlements(database),
            history=history,
            clock=write_clock,
            hold_s=compute_effect_window_s(settings),
            read_timeout_s=READ_BACK_S,
            on_settled=lambda connector, how: metrics.writes_settled.labels(connector, how).inc(),
            on_count=metrics.unsettled_writes.set,
        )
        stack.push_async_callback(reconciler.drain)
        # Reads report to the reconciler, and the reconciler drops the values that they cached.
        for name, source in sources.items():
            observed = ObservedOpeningBalances(source, reconciler, write_clock)
            providers[name] = _record_opening_balances(observed, journal, remote_accounts)
        writer = OpeningBalanceWriter(
            directory=directory,
            providers=providers,
            remote_accounts=remote_accounts,
            fence=reads,
            journal=journal,
            reconciler=reconciler,
            sources=sources,
            clock=write_clock,
            new_id=lambda: str(uuid.uuid4()),
            limits=limits,
            on_outcome=lambda connector, outcome: metrics.writes.labels(connector, outcome).inc(),
        )
        stack.push_async_callback(writer.drain)
        on_uncertain = partial(_report_uncertain, metrics, reconciler)
        recovery = Recovery(
            directory,
            sources,
            reads,
            journal,
            write_clock,
            limits,
            on_uncertain,
            writer.keeps_outcome,
        )
        await _recover(recovery, compute_effect_window_s(settings), cache, stack)
        _run_in_background(reconciler.run(SETTLE_INTERVAL_S), stack)
        if cache.link is not None:
            _run_in_background(warn_of_risks(cache.link), stack)
        gateway = Gateway(
            directory,
            reads,
            writer,
            tracker,
            clock,
            reconciler,
            history,
            storage_changes,
            settings.server.environment,
        )
        yield GatewayComponents(gateway, database, cache, providers, metrics, clocks)


def _start_clock_check(clocks: ClockCheck, stack: contextlib.AsyncExitStack) -> ClockCheck:
    _run_in_background(clocks.run(), stack)
    return clocks


def _warn_of_withdrawn_currencies(accounts: Iterable[Account]) -> None:
    for account in accounts:
        if is_withdrawn(account.currency):
            extra = {"account_id": account.id, "currency": account.currency}
            logger.warning("account.currency_withdrawn", extra=extra)


def _build_reads(
    settings: Settings,
    providers: Mapping[str, BalanceProvider],
    feed_readers: Mapping[str, BankFeedReader],
    keys: Mapping[str, AccountKeys],
    cache: CacheComponents,
    clock: Clock,
    metrics: Metrics,
) -> CachedReads:
    return CachedReads(
        providers=providers,
        keys=keys,
        fences=cache.fences,
        values=cache.values,
        claims=cache.claims,
        lifetimes=build_lifetimes(settings.cache),
        clock=clock,
        metrics=metrics,
        # Reads end before their request, so that a late read can fall back on a stale value.
        deadline_s=settings.server.request_timeout_s * 0.9,
        feed_readers=feed_readers,
        accounts=settings.accounts,
        in_storage=frozenset(
            account.id
            for account in settings.accounts
            if PROVIDERS[account.provider].values_in_storage
        ),
    )


def _register_gauges(
    metrics: Metrics, gates: Mapping[str, ConnectorGate], cache: CacheComponents
) -> None:
    """Register the metrics that ``/metrics`` reads from the state of gates and cache."""
    for name, gate in gates.items():
        metrics.breaker_open.labels(name).set_function(partial(_is_open, gate))
        if gate.rate_limiter.per_minute is not None:
            metrics.budget_remaining.labels(name).set_function(partial(_remaining, gate))
            metrics.budget_refills_seconds.labels(name).set_function(partial(_refills_in_s, gate))
    link = cache.link
    metrics.cache_up.set_function(lambda: 1.0 if link is None else float(link.is_up))


def _is_open(gate: ConnectorGate) -> float:
    return float(gate.breaker.state is not BreakerState.CLOSED)


def _refills_in_s(gate: ConnectorGate) -> float:
    return gate.rate_limiter.refills_in_s() or 0.0


def _remaining(gate: ConnectorGate) -> float:
    return float(gate.rate_limiter.remaining() or 0)


def _decorate_provider(provider: BalanceProvider, tracker: HealthTracker) -> BalanceProvider:
    """Add retries or health tracking."""
    # Without reports of its calls, the health of a provider is seen from their results.
    if PROVIDERS[provider.kind].reports_calls:
        return RetryingProvider(provider)
    return HealthTrackedProvider(provider, tracker)


def _record_opening_balances(
    provider: BalanceProvider, journal: SqlWriteJournal, remote_accounts: Mapping[str, str]
) -> BalanceProvider:
    """Add the opening balances of the journal if the provider can read none."""
    if Capability.READ_OPENING_BALANCE in provider.capabilities:
        return provider
    return RecordedOpeningBalances(provider, journal, remote_accounts)


def _report_uncertain(metrics: Metrics, reconciler: Reconciler, record: WriteRecord) -> None:
    log_uncertain(record)
    metrics.writes.labels(record.intent.connector, record.outcome.value).inc()
    reconciler.add(record)


async def _recover(
    recovery: Recovery,
    effect_window_s: float,
    cache: CacheComponents,
    stack: contextlib.AsyncExitStack,
) -> None:
    try:
        await recovery.hold_fences(effect_window_s)
        # Without fences to hold, this is the first command: it sets the metric cache_up.
        await cache.fences.ping()
    except CacheUnavailable:
        # Not an error: when the cache is back, its own fences or a quarantine protect its values.
        logger.warning("recovery.cache_out_of_reach")
    _run_in_background(recovery.run(RECOVER_INTERVAL_S), stack)


def _run_in_background(work: Coroutine[Any, Any, None], stack: contextlib.AsyncExitStack) -> None:
    task = asyncio.get_running_loop().create_task(work)

    async def stop() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(stop)
