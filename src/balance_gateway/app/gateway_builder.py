"""Wires settings, storage, providers, pipeline, use cases and the web into one application."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from balance_gateway.app.cache_builder import (
    CacheComponents,
    build_account_keys,
    build_cache,
    build_lifetimes,
)
from balance_gateway.app.call_observer import make_call_observer
from balance_gateway.app.provider_builder import ProviderDependencies, build_gate, build_provider
from balance_gateway.app.write_deadlines import build_write_deadlines, compute_landing_window_s
from balance_gateway.config.settings import Settings
from balance_gateway.domain.accounts import Capability, ProviderKind
from balance_gateway.domain.calendar_days import Clock, system_clock
from balance_gateway.domain.errors import CacheUnavailable, Internal
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.cache.cache_keys import AccountKeys
from balance_gateway.pipeline.cache.cached_reads import CachedReads
from balance_gateway.pipeline.calls.call_gate import ConnectorGate
from balance_gateway.pipeline.calls.circuit_breaker import BreakerState
from balance_gateway.pipeline.calls.health_tracked_provider import HealthTrackedProvider
from balance_gateway.pipeline.calls.health_tracker import HealthTracker
from balance_gateway.pipeline.calls.recorded_opening_balances import RecordedOpeningBalances
from balance_gateway.pipeline.calls.retrying_provider import RetryingProvider
from balance_gateway.ports.providers import (
    BalanceProvider,
)
from balance_gateway.service.directory import Connector, Directory
from balance_gateway.service.gateway import Gateway
from balance_gateway.service.recovery import Recovery
from balance_gateway.service.writer import OpeningBalanceWriter
from balance_gateway.storage.database import Database, DatabaseError, open_database
from balance_gateway.storage.journal import SqlWriteJournal
from balance_gateway.storage.ledger import SqlLedgerStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GatewayComponents:
    """The running parts of a gateway.

    Attributes:
        gateway: the use cases.
        database: storage.
        caching: fences and values.
        providers: by connector name.
        metrics: of this process.
    """

    gateway: Gateway
    database: Database
    caching: CacheComponents
    providers: Mapping[str, BalanceProvider]
    metrics: Metrics


@contextlib.asynccontextmanager
async def open_gateway(
    settings: Settings, clock: Clock = system_clock
) -> AsyncIterator[GatewayComponents]:
    """Opens everything a gateway needs, recovers what a crash left, and closes it in order."""
    async with contextlib.AsyncExitStack() as stack:
        database = await open_database(settings.storage.url.reveal())
        stack.push_async_callback(database.aclose)
        journal = SqlWriteJournal(database, clock)
        metrics = Metrics()
        caching = build_cache(settings, _writes_may_land(settings, journal, clock))
        stack.push_async_callback(caching.fences.aclose)
        gates = {one.name: build_gate(one, caching.link) for one in settings.connectors}
        watch = HealthTracker(gates, clock)
        _show(metrics, gates, caching)
        keys = build_account_keys(settings)
        remote_accounts = {account_id: of.remote for account_id, of in keys.items()}
        ledger = SqlLedgerStore(database, clock)
        on_call = make_call_observer(metrics, gates, watch)
        providers: dict[str, BalanceProvider] = {}
        for connector in settings.connectors:
            wiring = ProviderDependencies(clock, on_call, gates[connector.name])
            provider = build_provider(connector, ledger, wiring)
            stack.push_async_callback(provider.aclose)
            providers[connector.name] = _wrapped(provider, watch, journal, remote_accounts)
        reads = _reads(settings, providers, keys, caching, clock, metrics)
        stack.push_async_callback(reads.aclose)
        directory = Directory(
            settings.accounts,
            [Connector(p.connector, p.kind, p.capabilities) for p in providers.values()],
        )
        limits = build_write_deadlines(settings)
        writer = OpeningBalanceWriter(
            directory=directory,
            providers=providers,
            remote_accounts=remote_accounts,
            fence=reads,
            journal=journal,
            clock=clock,
            new_id=lambda: str(uuid.uuid4()),
            limits=limits,
            on_outcome=lambda connector, outcome: metrics.writes.labels(connector, outcome).inc(),
        )
        stack.push_async_callback(writer.drain)
        recovery = Recovery(directory, providers, reads, journal, clock, limits)
        await _recover(recovery, compute_landing_window_s(settings), caching, stack)
        gateway = Gateway(directory, reads, writer, watch, clock)
        yield GatewayComponents(gateway, database, caching, providers, metrics)


def _writes_may_land(
    settings: Settings, journal: SqlWriteJournal, clock: Clock
) -> Callable[[], Awaitable[bool]]:
    """Asks the journal whether a write that was begun may still take effect."""
    lands_within = timedelta(seconds=compute_landing_window_s(settings))

    async def writes_may_land() -> bool:
        return bool(await journal.unsettled_since(clock() - lands_within))

    return writes_may_land


def _reads(
    settings: Settings,
    providers: Mapping[str, BalanceProvider],
    keys: Mapping[str, AccountKeys],
    caching: CacheComponents,
    clock: Clock,
    metrics: Metrics,
) -> CachedReads:
    return CachedReads(
        providers=providers,
        keys=keys,
        fences=caching.fences,
        values=caching.values,
        claims=caching.claims,
        lifetimes=build_lifetimes(settings.cache),
        clock=clock,
        metrics=metrics,
        # Reads are over before their request is, so that the rest of it can be answered.
        deadline_s=settings.server.request_timeout_s * 0.9,
    )


def _show(metrics: Metrics, gates: Mapping[str, ConnectorGate], caching: CacheComponents) -> None:
    """Lets ``/metrics`` look at what has a state rather than a count."""
    for name, gate in gates.items():
        metrics.breaker_open.labels(name).set_function(partial(_is_open, gate))
        if gate.budget.per_minute is not None:
            metrics.budget_remaining.labels(name).set_function(partial(_remaining, gate))
            metrics.budget_refills_seconds.labels(name).set_function(partial(_refills_in_s, gate))
    link = caching.link
    metrics.cache_up.set_function(lambda: 1.0 if link is None else float(link.is_up))


def _is_open(gate: ConnectorGate) -> float:
    return float(gate.breaker.state is not BreakerState.CLOSED)


def _refills_in_s(gate: ConnectorGate) -> float:
    return gate.budget.refills_in_s() or 0.0


def _remaining(gate: ConnectorGate) -> float:
    return float(gate.budget.remaining() or 0)


def _wrapped(
    provider: BalanceProvider,
    watch: HealthTracker,
    journal: SqlWriteJournal,
    remote_accounts: Mapping[str, str],
) -> BalanceProvider:
    """The provider with its retries, and with the gateway's record where it keeps none."""
    if provider.kind is ProviderKind.LOCAL:
        provider = HealthTrackedProvider(provider, watch)
    else:
        provider = RetryingProvider(provider)
    if Capability.READ_OPENING_BALANCE in provider.capabilities:
        return provider
    return RecordedOpeningBalances(provider, journal, remote_accounts)


async def _recover(
    recovery: Recovery,
    lands_within_s: float,
    caching: CacheComponents,
    stack: contextlib.AsyncExitStack,
) -> None:
    try:
        await recovery.hold_fences(lands_within_s)
        # Where there was nothing to hold: whether the cache is there is known from now on.
        await caching.fences.ping()
    except CacheUnavailable:
        # Whatever the cache holds when it is back is fenced by its own marks, or quarantined.
        logger.warning("recovery.cache_out_of_reach")
    task = asyncio.get_running_loop().create_task(recovery.resolve_unfinished())

    async def end() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(end)


async def _nothing() -> None:
    """The storage has been opened by then, which is proof enough."""


Probe = Callable[[], Awaitable[None]]


@contextlib.asynccontextmanager
async def open_probes(settings: Settings) -> AsyncIterator[dict[str, tuple[str, Probe]]]:
    """What ``check`` tries: name → (kind, a read that raises a GatewayError when it fails).

    Raises:
        Internal: the storage cannot be opened, so that nothing else can be tried.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            assembly = await stack.enter_async_context(open_gateway(settings))
        except DatabaseError as error:
            raise Internal(str(error)) from error
        tries: dict[str, tuple[str, Probe]] = {"storage": ("storage", _nothing)}
        if settings.cache.url.reveal().startswith(("redis", "unix")):
            tries["cache"] = ("cache", assembly.caching.fences.ping)
        for name, provider in assembly.providers.items():
            tries[name] = (provider.kind.value, provider.probe)
        yield tries
