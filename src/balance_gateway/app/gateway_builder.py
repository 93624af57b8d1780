"""Build a gateway from its settings: wire resources, connectors, pipeline and use cases."""

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from balance_gateway.app.cache_builder import (
    CacheComponents,
    build_account_keys,
    build_lifetimes,
    build_remote_accounts,
    build_remote_renames,
    with_lifetimes,
)
from balance_gateway.app.clock_check import ClockCheck
from balance_gateway.app.connectors import OpenConnector, open_connectors
from balance_gateway.app.plan_builder import build_plans
from balance_gateway.app.resources import Resources
from balance_gateway.app.write_deadlines import (
    READ_BACK_S,
    build_write_deadlines,
    compute_effect_window_s,
)
from balance_gateway.config.settings import Settings
from balance_gateway.domain.accounts import Account, Capability, ProviderKind
from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.domain.money import is_withdrawn
from balance_gateway.domain.writes import WriteRecord
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.cache.cache_keys import AccountKeys
from balance_gateway.pipeline.cache.cached_reads import CachedReads
from balance_gateway.pipeline.cache.explained_reads import ExplainedReads
from balance_gateway.pipeline.calls.health_tracker import HealthTracker
from balance_gateway.pipeline.calls.observed_opening_balances import ObservedOpeningBalances
from balance_gateway.pipeline.calls.recorded_opening_balances import RecordedOpeningBalances
from balance_gateway.ports.bank_feeds import BankFeedReader
from balance_gateway.ports.begun_balances import BalanceBeginner
from balance_gateway.ports.opening_balances_reader import OpeningBalancesReader
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.ports.stored_balances_reader import StoredBalancesReader
from balance_gateway.providers.registry import PROVIDERS
from balance_gateway.service.directory import Connector, Directory
from balance_gateway.service.gateway import Gateway
from balance_gateway.service.opening_balance_plans.runner import PlanRunner
from balance_gateway.service.reconciler import Reconciler
from balance_gateway.service.recovery import Recovery
from balance_gateway.service.write_results import log_uncertain
from balance_gateway.service.writer import OpeningBalanceWriter
from balance_gateway.storage.audit_pages import SqlAuditPages
from balance_gateway.storage.database import Database
from balance_gateway.storage.journal import SqlWriteJournal
from balance_gateway.storage.journal_history import SqlWriteHistory
from balance_gateway.storage.journal_settlements import SqlWriteSettlements

logger = logging.getLogger(__name__)

#: Interval in seconds at which uncertain writes are settled in the background.
SETTLE_INTERVAL_S = 30.0

#: Interval in seconds at which writes without an outcome are resolved after their lease.
RECOVER_INTERVAL_S = 5.0

#: Interval in seconds at which plans are looked for that another process has left.
PLAN_INTERVAL_S = 5.0


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


@dataclass(slots=True, eq=False)
class ConfiguredGateway:
    """A gateway as one configuration describes it, over resources that outlive it.

    Attributes:
        settings: the configuration.
        connectors: the connectors by name.
        components: the parts, for the application.
        writer: sets opening balances.
        reconciler: settles uncertain writes.
        recovery: resolves the writes that a process left unfinished.
        plan_runner: carries out plans of opening balances.
    """

    settings: Settings
    connectors: Mapping[str, OpenConnector]
    components: GatewayComponents
    writer: OpeningBalanceWriter
    reconciler: Reconciler
    recovery: Recovery
    plan_runner: PlanRunner
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def recover(self) -> None:
        """Hold the fences of writes that another process left, before anything is read."""
        fences = self.components.cache.fences
        try:
            await self.recovery.hold_fences(compute_effect_window_s(self.settings))
            # Without fences to hold, this is the first command: it sets the metric cache_up.
            await fences.ping()
        except CacheUnavailable:
            # Not an error: when the cache is back, its fences or a quarantine protect its values.
            logger.warning("recovery.cache_out_of_reach")

    def start(self) -> None:
        """Start the work in the background."""
        work: tuple[Coroutine[Any, Any, None], ...] = (
            self.recovery.run(RECOVER_INTERVAL_S),
            self.reconciler.run(SETTLE_INTERVAL_S),
            self.plan_runner.run(PLAN_INTERVAL_S),
        )
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(one) for one in work]

    async def stop(self) -> None:
        """Stop the work in the background."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def finish(self) -> None:
        """Wait until every write has its recorded outcome, however long that takes."""
        await self.writer.finish()
        await self.reconciler.drain()

    async def drain(self) -> None:
        """Wait until every write has its outcome, and a while for its record."""
        await self.writer.drain()
        await self.reconciler.drain()


async def configure_gateway(
    settings: Settings,
    resources: Resources,
    former: Mapping[str, OpenConnector],
    keeps_outcome: Callable[[str], bool],
) -> ConfiguredGateway:
    """Build a gateway; nothing of it runs yet, and the resources are used as before.

    Args:
        settings: the configuration.
        resources: the parts that outlive it.
        former: the connectors before a reload, by name.
        keeps_outcome: returns whether a gateway before a reload knows the outcome of a write.

    Raises:
        ValueError: a setting is invalid; the text names it and contains no secret.
        DatabaseError: the storage is unavailable.
    """
    connectors = open_connectors(settings.connectors, resources, former)
    # Before anything looks a write up: earlier releases named accounts by ids as written.
    await resources.journal.rename_remote_accounts(build_remote_renames(settings))
    await resources.ledger.record_currencies(
        [one for one in settings.accounts if one.provider is ProviderKind.LOCAL]
    )
    _warn_of_withdrawn_currencies(settings.accounts)
    return _wire(settings, resources, connectors, keeps_outcome)


def _wire(
    settings: Settings,
    resources: Resources,
    connectors: Mapping[str, OpenConnector],
    keeps_outcome: Callable[[str], bool],
) -> ConfiguredGateway:
    metrics, journal = resources.metrics, resources.journal
    cache = with_lifetimes(resources.cache, settings.cache)
    tracker = HealthTracker.join((one.tracker for one in connectors.values()), resources.clock)
    keys = build_account_keys(settings)
    remote_accounts = build_remote_accounts(settings)
    sources = {name: one.source for name, one in connectors.items()}
    providers: dict[str, BalanceProvider] = {}
    opening_readers: dict[str, OpeningBalancesReader] = {}
    reads = _build_reads(settings, providers, opening_readers, connectors, keys, cache, resources)
    directory = Directory(
        settings.accounts,
        [_describe_connector(one) for one in connectors.values()],
    )
    limits = build_write_deadlines(settings)
    history = SqlWriteHistory(resources.database)
    reconciler = Reconciler(
        directory=directory,
        sources=sources,
        remote_accounts=remote_accounts,
        fence=reads,
        journal=journal,
        settlements=SqlWriteSettlements(resources.database),
        history=history,
        clock=resources.write_clock,
        hold_s=compute_effect_window_s(settings),
        read_timeout_s=READ_BACK_S,
        on_settled=lambda connector, how: metrics.writes_settled.labels(connector, how).inc(),
        on_count=metrics.unsettled_writes.set,
    )
    # Reads report to the reconciler, and the reconciler drops the values that they cached.
    for name, source in sources.items():
        observed = ObservedOpeningBalances(source, reconciler, resources.write_clock)
        providers[name] = _record_opening_balances(observed, journal, remote_accounts)
        # Decorators pass on what the provider can; only the provider itself says whether it can.
        if isinstance(connectors[name].provider, OpeningBalancesReader):
            opening_readers[name] = observed
    writer = OpeningBalanceWriter(
        directory=directory,
        providers=providers,
        remote_accounts=remote_accounts,
        fence=reads,
        journal=journal,
        reconciler=reconciler,
        sources=sources,
        clock=resources.write_clock,
        new_id=lambda: str(uuid.uuid4()),
        limits=limits,
        on_outcome=lambda connector, outcome: metrics.writes.labels(connector, outcome).inc(),
    )
    recovery = Recovery(
        directory,
        sources,
        reads,
        journal,
        resources.write_clock,
        limits,
        partial(_report_uncertain, metrics, reconciler),
        lambda write_id: writer.keeps_outcome(write_id) or keeps_outcome(write_id),
    )
    plans, plan_runner = build_plans(
        resources,
        directory=directory,
        providers=providers,
        remote_accounts=remote_accounts,
        reads=reads,
        writer=writer,
        reconciler=reconciler,
        # Recovery resolves a write within two of its rounds after the lease.
        unfinished_s=limits.lease_s + 2 * RECOVER_INTERVAL_S + READ_BACK_S,
    )
    gateway = Gateway(
        directory,
        reads,
        writer,
        tracker,
        resources.clock,
        reconciler,
        history,
        resources.storage_changes,
        plans,
        settings.server.environment,
        explainer=ExplainedReads(
            reads,
            keys,
            build_lifetimes(settings.cache),
            settings.accounts,
            resources.clock,
        ),
        audit_log=SqlAuditPages(resources.database),
    )
    components = GatewayComponents(
        gateway, resources.database, cache, providers, metrics, resources.clocks
    )
    return ConfiguredGateway(
        settings, connectors, components, writer, reconciler, recovery, plan_runner
    )


def _warn_of_withdrawn_currencies(accounts: Iterable[Account]) -> None:
    for account in accounts:
        if is_withdrawn(account.currency):
            extra = {"account_id": account.id, "currency": account.currency}
            logger.warning("account.currency_withdrawn", extra=extra)


def _describe_connector(connector: OpenConnector) -> Connector:
    provider, tenants = connector.provider, connector.configured.settings.tenants
    return Connector(
        provider.connector, provider.kind, provider.capabilities, frozenset(tenants or ())
    )


def _build_reads(
    settings: Settings,
    providers: Mapping[str, BalanceProvider],
    opening_readers: Mapping[str, OpeningBalancesReader],
    connectors: Mapping[str, OpenConnector],
    keys: Mapping[str, AccountKeys],
    cache: CacheComponents,
    resources: Resources,
) -> CachedReads:
    return CachedReads(
        providers=providers,
        keys=keys,
        fences=cache.fences,
        values=cache.values,
        claims=cache.claims,
        lifetimes=build_lifetimes(settings.cache),
        clock=resources.clock,
        metrics=resources.metrics,
        # Reads end before their request, so that a late read can fall back on a stale value.
        deadline_s=settings.server.request_timeout_s * 0.9,
        # Undecorated: a bank feed is not worth a retry.
        feed_readers={
            name: one.provider
            for name, one in connectors.items()
            if isinstance(one.provider, BankFeedReader)
        },
        accounts=settings.accounts,
        in_storage=frozenset(
            account.id
            for account in settings.accounts
            if PROVIDERS[account.provider].values_in_storage
        ),
        single_flight=resources.reads_in_flight,
        opening_readers=opening_readers,
        # With retries; what else decorates a provider changes opening balances only.
        beginners={
            name: one.source
            for name, one in connectors.items()
            if isinstance(one.provider, BalanceBeginner) and isinstance(one.source, BalanceBeginner)
        },
        stored_readers={
            name: one.source
            for name, one in connectors.items()
            if isinstance(one.provider, StoredBalancesReader)
            and isinstance(one.source, StoredBalancesReader)
        },
    )


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
