"""Simulate gateways around the real cache and write protocol: one seed is exactly one history.

Several replicas run the real ``CachedReads``, fences, stores, ``OpeningBalanceWriter``,
``Recovery`` and ``Reconciler``. Their shared systems are models: Redis, the write journal, and
providers that refuse, lose or delay writes, or apply them late. Replicas crash and restart; Redis
loses its keys, is slow or unreachable. Clients read and write a few accounts, and ``checker.py``
checks their history. Settlements are compared with what the providers applied, and when.

From the repository's root::

    python -m tests.history.simulation --seeds 1000            # every fault profile in turn
    python -m tests.history.simulation --profile 'all faults' --first-seed 17 --seeds 1 --trace
"""

import argparse
import asyncio
import contextlib
import hashlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from balance_gateway.api.compiled.kept_values import KeptValues, StorageWatch
from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.domain.balances import BalanceFigures, OpeningBalance
from balance_gateway.domain.errors import CacheUnavailable, GatewayError, Internal
from balance_gateway.domain.writes import SettledBy, UnsettledWrite, WriteIntent, WriteRecord
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.cache.cache_entry_rules import Lifetimes
from balance_gateway.pipeline.cache.cache_keys import REDIS_LOG, compute_account_keys
from balance_gateway.pipeline.cache.cache_store import MemoryStore, RedisStore
from balance_gateway.pipeline.cache.cached_reads import CachedReads
from balance_gateway.pipeline.cache.fence import Fences, MemoryFences
from balance_gateway.pipeline.cache.redis_fence import RedisFences
from balance_gateway.pipeline.cache.upstream_leases import NoLeases, RedisLeases, UpstreamLeases
from balance_gateway.pipeline.calls.observed_opening_balances import ObservedOpeningBalances
from balance_gateway.pipeline.calls.recorded_opening_balances import RecordedOpeningBalances
from balance_gateway.pipeline.redis_client import COMMAND_TIMEOUT_S, RedisClient, ServerIdentity
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.ports.reads import BalanceRequest, FreshnessState, Observed
from balance_gateway.ports.write_journal import JournalUnavailable, WriteFilter, WritePosition
from balance_gateway.providers.registry import PROVIDERS
from balance_gateway.service.directory import Connector, Directory
from balance_gateway.service.opening_balances import (
    Applied,
    ExpectedPrevious,
    Rejected,
    UpsertRequest,
    UpsertResult,
)
from balance_gateway.service.reconciler import Reconciler
from balance_gateway.service.recovery import Recovery
from balance_gateway.service.writer import OpeningBalanceWriter, WriteDeadlines
from tests.history import checker
from tests.history.checker import History, Outcome, Read, Violation, Write
from tests.history.fault_profiles import (
    CONTENDED_FAULT_PROFILES,
    FAULT_PROFILES,
    SPECIAL_FAULT_PROFILES,
    FaultProfile,
)
from tests.history.journal_model import JournalModel
from tests.history.provider_model import DEADLINE_S, LATE_LANDING_S, ProviderModel, ProviderState
from tests.history.redis_model import ModelClient, ModelLink, RedisModel, unreachable
from tests.history.virtual_loop import ProcessLife, VirtualLoop, remotely

T = TypeVar("T")

READ_BACK_S = 0.5
PREPARE_S = READ_BACK_S + 2 * COMMAND_TIMEOUT_S
HOLD_S = COMMAND_TIMEOUT_S + DEADLINE_S + max(LATE_LANDING_S, READ_BACK_S)
APPLIED_WITHIN_S = PREPARE_S + HOLD_S
#: Interval of the background settlement of uncertain writes.
SETTLE_INTERVAL_S = 2.0
#: Interval of resolving writes without an outcome after their lease.
RECOVER_INTERVAL_S = 1.0
LEASE_S = PREPARE_S + DEADLINE_S + READ_BACK_S + 1.0
DAYS = (date(2026, 3, 1), date(2026, 2, 1))
WRITER = Principal("client", "acme", frozenset(Scope))
_EPOCH = datetime(2026, 3, 1, tzinfo=UTC)
_LIFETIMES = Lifetimes(today_s=6.0, other_days_s=12.0, opening_balance_s=20.0, stale_s=60.0)


@dataclass(frozen=True, slots=True)
class Blueprint:
    """The classes that a replica is built from; a mutant replaces one."""

    reads: type[CachedReads] = CachedReads
    writer: type[OpeningBalanceWriter] = OpeningBalanceWriter
    reconciler: type[Reconciler] = Reconciler
    fences: type[RedisFences] = RedisFences
    redis: type[RedisModel] = RedisModel
    provider: Callable[[BalanceProvider], BalanceProvider] = lambda provider: provider
    modify: Callable[[CachedReads], None] = lambda reads: None


REAL = Blueprint()


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """The result of one run."""

    seed: int
    histories: Mapping[str, History]
    digest: str
    violation: str | None
    trace: Sequence[str]
    settled: Sequence[SettledBy] = ()
    recalled: int = 0

    @property
    def operations(self) -> int:
        """How many reads and writes were made."""
        return sum(len(one.writes) + len(one.reads) for one in self.histories.values())


class ConnectionLost(Exception):
    """The replica crashed before it answered the client."""


class Simulation:
    """The whole state of one run: replicas, shared systems, clients and their histories."""

    def __init__(
        self, seed: int, profile: FaultProfile, blueprint: Blueprint, *, trace: bool
    ) -> None:
        self.rng = random.Random(seed)
        self.profile = profile
        self.blueprint = blueprint
        self.loop = VirtualLoop(seed)
        accounts = (
            build_contended_accounts() if profile.contended else build_accounts(profile.aliases)
        )
        self.accounts = {account.id: account for account in accounts}
        self.remote_accounts = {
            account.id: compute_account_keys(account, PROVIDERS[account.provider], {}).remote
            for account in self.accounts.values()
        }
        self.redis = blueprint.redis(lambda: self.loop.time() * 1000, profile.log_max)
        self.redis_down_until_s = 0.0
        self.redis_snapshot = self.redis.snapshot()
        self.journal_down_until_s = 0.0
        self.journal = JournalModel()
        self.provider_state = ProviderState(
            self.rng,
            self.loop.time,
            profile.write_results,
            0.0 if profile.contended else profile.slow_read_share,
            0.03 if profile.contended else 0.05,
        )
        self.provider_state.log = self.log
        self.replicas = [Replica(self, number) for number in range(profile.replicas)]
        self.metrics = Metrics()
        self.has_trace = trace
        self.trace: list[str] = []
        self.recalled = 0
        self._ticks = 0
        self._values = 0
        self._ids = 0
        self._histories: dict[str, tuple[list[Write], list[Read]]] = {}
        #: The reads of the account that grows: by view, and by view and process.
        self.growth: dict[str, list[Read]] = {}

    def tick(self) -> int:
        """Return the next logical time; no two events have the same."""
        self._ticks += 1
        return self._ticks

    def new_value(self) -> int:
        """Return an amount that has not been written before."""
        self._values += 1
        return self._values

    def new_id(self) -> str:
        """Return a new write id."""
        self._ids += 1
        return f"write-{self._ids:05}"

    def clock(self) -> datetime:
        """Return the current time."""
        return _EPOCH + timedelta(seconds=self.loop.time())

    def log(self, text: str) -> None:
        """Add a line to the trace."""
        if self.has_trace:
            self.trace.append(f"{self.loop.time():9.4f} #{self._ticks:<5} {text}")

    def history(self, register: str) -> tuple[list[Write], list[Read]]:
        """Return the writes and reads of a register so far."""
        return self._histories.setdefault(register, ([], []))

    def draw(self, share: float) -> bool:
        """Return True with this probability."""
        return self.rng.random() < share

    def draw_delay_s(self) -> float:
        """Draw a short network delay, in seconds."""
        return self.rng.uniform(0.0005, 0.01)

    async def run(self) -> None:
        """Run clients and faults, stop the faults, then read everything through every replica."""
        for replica in self.replicas:
            replica.start()
        await asyncio.sleep(0.2)
        clients = [self.loop.create_task(self._client(n)) for n in range(self.profile.clients)]
        fault_tasks = [self.loop.create_task(fault_task) for fault_task in self._build_faults()]
        await asyncio.wait(clients)
        for fault_task in fault_tasks:
            fault_task.cancel()
        self.redis_down_until_s = self.provider_state.down_until_s = 0.0
        self.journal_down_until_s = 0.0
        await asyncio.sleep(APPLIED_WITHIN_S + 2.0)
        for replica in self.replicas:
            if not replica.serving:
                replica.start()
        await asyncio.sleep(2.0)
        for replica in [*self.replicas, *self.replicas]:
            await Client(self, "final read").read_everything(replica)

    def build_result(self, seed: int) -> SimulationResult:
        """Build the result: the histories and the checker's verdict."""
        histories = {
            name: History(None, writes, reads) for name, (writes, reads) in self._histories.items()
        }
        digest = hashlib.sha256(repr(sorted(histories.items())).encode()).hexdigest()[:16]
        settled = [one.settlement.how for one in self.journal.settled() if one.settlement]
        verdict = self._verdict(histories)
        return SimulationResult(
            seed, histories, digest, verdict, self.trace, settled, self.recalled
        )

    def _verdict(self, histories: Mapping[str, History]) -> str | None:
        check = checker.check_freshness if self.profile.only_freshness else checker.check
        for name, history in sorted(histories.items()):
            try:
                check(history)
            except Violation as violation:
                return f"{name}: {violation}"
            compared = any(write.expected is not None for write in history.writes)
            if compared and history.certain and not checker.linearizable_by_search(history):
                return f"{name}: a compared write replaced another value than the one expected"
        return (
            self._find_shrinking()
            or self._find_record_difference(histories)
            or self._find_false_settlement(histories)
            or self._find_lost_outcome()
        )

    def _find_shrinking(self) -> str | None:
        """Look for older values after newer ones: in one process, and everywhere without faults."""
        for name, reads in sorted(self.growth.items()):
            is_everywhere = "/" not in name
            if is_everywhere and not self._answers_always():
                continue
            try:
                checker.check_growth(reads)
            except Violation as violation:
                return f"{name}: {violation}"
        return None

    def _answers_always(self) -> bool:
        """Whether Redis is always there, so that every value that is shown is stored."""
        profile = self.profile
        faults = profile.redis_outage_every_s, profile.redis_restart_every_s
        return not any(faults) and not profile.stalls and not profile.redis_slow_share

    def _find_lost_outcome(self) -> str | None:
        """Look for writes without an outcome, and for answered writes in doubt."""
        for record in self.journal.unfinished():
            return f"{record.intent.id} has no outcome"
        profile = self.profile
        answers = {"ok", "refused"} >= set(profile.write_results)
        faults = profile.crash_every_s, profile.provider_outage_every_s
        if answers and not any(faults) and not profile.stalls:
            for record in self.journal.unsettled():
                return f"{record.intent.id} was answered and is in doubt"
        return None

    def _find_false_settlement(self, histories: Mapping[str, History]) -> str | None:
        """Compare settlements and comparisons with what the providers really applied, and when."""
        state = self.provider_state
        for record in self.journal.settled():
            settlement = record.settlement
            assert settlement is not None
            applied_at_s = state.applied_at_s.get(record.intent.amount.minor_units)
            settled_at_s = (settlement.at - _EPOCH).total_seconds()
            is_proved = settlement.how is SettledBy.PROVED
            landed = applied_at_s is not None and applied_at_s <= settled_at_s
            if is_proved and not landed:
                return f"{record.intent.id} was proved and had not been applied"
            if not is_proved and applied_at_s is not None and not landed:
                return f"{record.intent.id} was {settlement.how.value} and was applied later"
        for history in histories.values():
            for write in history.writes:
                if write.outcome is not Outcome.ACKNOWLEDGED or write.expected is None:
                    continue
                if write.value is not None and state.replaced[write.value] != write.expected[0]:
                    found = state.replaced[write.value]
                    return f"{write} replaced {found} instead of the value it was compared with"
        return None

    def _find_record_difference(self, histories: Mapping[str, History]) -> str | None:
        """Compare the journal with the providers, for registers without uncertain writes."""
        for account in self.accounts.values():
            history = histories.get(get_register_name(account))
            if account.provider is not ProviderKind.LIGHT:
                continue
            record = self.journal.last_applied(self.remote_accounts[account.id])
            recorded = None if record is None or record.applied is None else record.applied.amount
            held = self.provider_state.held(get_register_name(account))
            record_units = None if recorded is None else recorded.minor_units
            if history is not None and history.certain and record_units != held:
                return f"{account.id}: the record has {record_units}, the provider {held}"
        return None

    async def _client(self, number: int) -> None:
        client = Client(self, f"client {number}")
        while self.loop.time() < self.profile.seconds:
            await asyncio.sleep(self.rng.expovariate(100.0 if self.profile.contended else 3.0))
            await client.act()

    def _build_faults(self) -> Iterator[Any]:
        profile = self.profile
        if profile.crash_every_s:
            yield self._repeat(profile.crash_every_s, self._crash)
        if profile.redis_restart_every_s and profile.shared:
            yield self._repeat(profile.redis_restart_every_s, self._restart_redis)
        if profile.redis_outage_every_s and profile.shared:
            yield self._repeat(profile.redis_outage_every_s, self._disconnect_redis)
        if profile.provider_outage_every_s:
            yield self._repeat(profile.provider_outage_every_s, self._stop_provider)
        if profile.journal_outage_every_s:
            yield self._repeat(profile.journal_outage_every_s, self._stop_journal)
        if profile.stalls:
            yield self._repeat(1.0 if profile.contended else 4.0, self._stall)
        if profile.contended:
            yield self._repeat(0.1, self._grow)

    async def _repeat(self, every_s: float, inject: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(self.rng.expovariate(1 / every_s))
            await inject()

    async def _crash(self) -> None:
        replica = self.rng.choice(self.replicas)
        replica.crash()
        await asyncio.sleep(self.rng.uniform(0.05, 2.0))
        replica.start()

    async def _restart_redis(self) -> None:
        self.redis_down_until_s = self.loop.time() + self.rng.uniform(0.0, 0.5)
        if self.profile.redis_keeps_snapshots:
            self.log("redis restarts from its snapshot")
            self.redis.restart(self.redis_snapshot)
            await asyncio.sleep(self.rng.uniform(0.0, 3.0))
            self.redis_snapshot = self.redis.snapshot()
        else:
            self.log("redis loses its keys")
            self.redis.restart()

    async def _disconnect_redis(self) -> None:
        self.log("redis is unreachable")
        self.redis_down_until_s = self.loop.time() + self.rng.uniform(0.1, 4.0)

    async def _stop_provider(self) -> None:
        self.log("providers are down")
        self.provider_state.down_until_s = self.loop.time() + self.rng.uniform(0.5, 6.0)

    async def _stop_journal(self) -> None:
        self.log("the journal is down")
        # Both within a lease and longer.
        self.journal_down_until_s = self.loop.time() + self.rng.uniform(0.1, 2 * LEASE_S)

    async def _stall(self) -> None:
        longest_s = 1.5 if self.profile.contended else 2 * HOLD_S
        self.rng.choice(self.replicas).stall(self.rng.uniform(0.5, longest_s))

    async def _grow(self) -> None:
        self.provider_state.grow(GROWING)

    async def run_on_redis(self, name: str, effect: Callable[[], T]) -> T:
        """Run one command on Redis, with network delays and faults."""
        rng, profile = self.rng, self.profile
        if self.loop.time() < self.redis_down_until_s:
            await asyncio.sleep(self.draw_delay_s() if self.draw(0.7) else 9.0)
            raise unreachable()

        def execute() -> T:
            if self.loop.time() < self.redis_down_until_s:
                raise unreachable()
            result = effect()
            if self.has_trace:
                self.log(f"{name} redis -> {result}")
            return result

        slow = self.draw(profile.redis_slow_share)
        before_s, after_s = rng.uniform(0.0001, 0.002), rng.uniform(0.0001, 0.002)
        if profile.contended:
            # Some answers are late, and all messages overtake each other.
            before_s, after_s = (
                rng.uniform(0.0001, 0.06 if self.draw(0.25) else 0.002) for _ in range(2)
            )
        if slow:
            before_s, after_s = rng.choice(
                [(before_s, 0.6 * rng.random()), (0.6 * rng.random(), 0)]
            )
        return await remotely(execute, before_s=before_s, after_s=after_s)


def build_accounts(aliases: bool) -> Sequence[Account]:
    """Build two accounts at Light and two of one business at Layer; with aliases, one twice."""

    def account(account_id: str, kind: ProviderKind, remote: Mapping[str, str]) -> Account:
        zone = ZoneInfo("UTC")
        # One account at Light can be read back through a day before its transactions.
        derived_as_of = DAYS[1] if account_id == "light-b" else None
        return Account(
            account_id,
            "acme",
            kind.value,
            kind,
            account_id,
            "EUR",
            zone,
            remote,
            derive_opening_balance_as_of=derived_as_of,
        )

    found = [
        account("light-a", ProviderKind.LIGHT, {"bank_account_id": "a"}),
        account("light-b", ProviderKind.LIGHT, {"bank_account_id": "b"}),
        account("layer-c", ProviderKind.LAYER, {"business_id": "x", "external_account_id": "c"}),
        account("layer-d", ProviderKind.LAYER, {"business_id": "x", "external_account_id": "d"}),
    ]
    if aliases:
        found.append(account("light-a-again", ProviderKind.LIGHT, {"bank_account_id": "a"}))
    return found


#: The register that changes without the gateway.
GROWING = "light/growing"


def build_contended_accounts() -> Sequence[Account]:
    """Build one account that is written to, and one that grows by itself."""
    written, *_ = build_accounts(aliases=False)
    growing = replace(written, id="growing", name="growing", remote={"bank_account_id": "growing"})
    return [written, growing]


def get_register_name(account: Account) -> str:
    """Return the name of the register: the remote account."""
    return "/".join([account.provider.value, *account.remote.values()])


class ReplicaJournal:
    """One replica's access to the shared journal: a ``WriteJournal``."""

    def __init__(self, simulation: Simulation, name: str) -> None:
        self._simulation = simulation
        self._name = name

    async def _ask(self, what: str, effect: Callable[[], T]) -> T:
        simulation = self._simulation
        fails, before = (
            simulation.draw(simulation.profile.journal_failure_share),
            simulation.draw(0.5),
        )
        if simulation.loop.time() < simulation.journal_down_until_s:
            fails = before = True
        if fails and before:
            await asyncio.sleep(simulation.draw_delay_s())
            raise JournalUnavailable("The write journal is unreachable.")

        def execute() -> T:
            result = effect()
            if simulation.has_trace and what != "last_applied":
                simulation.log(f"{self._name} journal {what} -> {_summarise(result)}")
            return result

        result = await remotely(
            execute, before_s=simulation.draw_delay_s(), after_s=simulation.draw_delay_s()
        )
        if fails:
            raise JournalUnavailable("The write journal is unreachable.")
        return result

    async def begin(self, intent: WriteIntent, *, lease_s: float) -> WriteRecord:
        simulation = self._simulation
        return await self._ask(
            f"begin {intent.id} {intent.account_id}={intent.amount.minor_units}"
            f" key={intent.idempotency_key}",
            lambda: simulation.journal.begin(intent, lease_s, simulation.clock()),
        )

    async def finish(self, record: WriteRecord) -> None:
        simulation = self._simulation
        await self._ask(
            f"finish {record.intent.id} {record.outcome.value}",
            lambda: simulation.journal.finish(record, simulation.clock()),
        )

    async def by_key(self, tenant: str, idempotency_key: str) -> WriteRecord | None:
        journal = self._simulation.journal
        return await self._ask("by_key", lambda: journal.by_key(tenant, idempotency_key))

    async def last_applied(self, remote_account: str) -> WriteRecord | None:
        journal = self._simulation.journal
        return await self._ask("last_applied", lambda: journal.last_applied(remote_account))

    async def unfinished(self) -> Sequence[WriteRecord]:
        return await self._ask("unfinished", self._simulation.journal.unfinished)

    async def unsettled_since(self, instant: datetime) -> Sequence[UnsettledWrite]:
        journal = self._simulation.journal
        return await self._ask("unsettled", lambda: journal.unsettled_since(instant))

    async def unsettled_of(self, remote_accounts: Collection[str]) -> Sequence[WriteRecord]:
        journal = self._simulation.journal
        return await self._ask("unsettled_of", lambda: journal.unsettled_of(remote_accounts))

    async def unsettled(self) -> Sequence[WriteRecord]:
        return await self._ask("unsettled", self._simulation.journal.unsettled)

    async def settle(self, record: WriteRecord, *, last: WriteRecord | None) -> bool:
        assert record.settlement is not None
        what = f"settle {record.intent.id} {record.settlement.how.value}"
        return await self._ask(what, lambda: self._simulation.journal.settle(record, last))

    async def by_id(self, tenant: str, write_id: str) -> WriteRecord | None:
        raise NotImplementedError

    async def page(
        self, tenant: str, selected: WriteFilter, limit: int, after: WritePosition | None
    ) -> Sequence[WriteRecord]:
        raise NotImplementedError


def _summarise(result: object) -> str:
    if isinstance(result, WriteRecord):
        return f"{result.intent.id} {result.outcome.value}"
    if isinstance(result, UnsettledWrite):
        return result.id
    if isinstance(result, Sequence) and not isinstance(result, str):
        return str([_summarise(one) for one in result])
    return str(result)


class Replica:
    """One gateway process; after a crash it restarts with only the shared systems."""

    reads: CachedReads
    writer: OpeningBalanceWriter

    def __init__(self, simulation: Simulation, number: int) -> None:
        self.simulation = simulation
        self.name = f"replica {number}"
        self.serving = False
        self._life = ProcessLife()
        self._context = self._life.begin()
        self._callers: dict[asyncio.Future[Any], None] = {}
        self.starts = 0

    def start(self) -> None:
        """Start a process, if none is running."""
        if self.serving:
            return
        self._life.ended = True
        self._life = ProcessLife()
        self._context = self._life.begin()
        self.simulation.loop.create_task(self._start(), context=self._context)

    def crash(self) -> None:
        """End the process at once; its callers get ``ConnectionLost``."""
        self.simulation.log(f"{self.name} crashes")
        self._life.ended = True
        self.serving = False
        for caller in list(self._callers):
            if not caller.done():
                caller.set_exception(ConnectionLost())
        self._callers.clear()

    def stall(self, seconds: float) -> None:
        """Suspend the process."""
        self.simulation.log(f"{self.name} is suspended for {seconds:.3f} s")
        self._life.stalled_until_s = self.simulation.loop.time() + seconds

    async def call(self, action: Callable[["Replica"], Awaitable[T]]) -> T:
        """Run a client's request on this replica.

        Raises:
            ConnectionLost: the replica is down, or crashed before it answered.
        """
        simulation = self.simulation
        await asyncio.sleep(simulation.draw_delay_s())
        if not self.serving:
            raise ConnectionLost
        caller: asyncio.Future[T] = simulation.loop.create_future()
        self._callers[caller] = None

        async def handle() -> None:
            try:
                result = await action(self)
            except Exception as error:
                if not caller.done():
                    caller.set_exception(error)
            else:
                if not caller.done():
                    caller.set_result(result)

        simulation.loop.create_task(handle(), context=self._context.copy())
        try:
            result = await caller
        finally:
            self._callers.pop(caller, None)
        await asyncio.sleep(simulation.draw_delay_s())
        return result

    async def read_balances(self, requests: Sequence[BalanceRequest]) -> Sequence[Any]:
        """Return one result per request, as a GraphQL request does: kept values first."""
        keys = [(each.account.id, each.as_of) for each in requests]
        return await self._recall_or_read(keys, requests, self.reads.balances)

    async def read_openings(self, accounts: Sequence[Account]) -> Sequence[Any]:
        """Return one result per account, kept values first."""
        keys = [(each.id, "opening") for each in accounts]
        return await self._recall_or_read(keys, accounts, self.reads.opening_balances)

    async def _recall_or_read(
        self,
        keys: Sequence[Any],
        asked: Sequence[Any],
        fetch: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]],
    ) -> Sequence[Any]:
        check = self.reads.get_change_check()
        may_recall = check is None or await check()
        now_s = self.simulation.clock().timestamp()
        found = {
            key: self._find_kept(key, each, now_s) if may_recall else None
            for key, each in zip(keys, asked, strict=True)
        }
        missing = [(key, each) for key, each in zip(keys, asked, strict=True) if not found[key]]
        self.simulation.recalled += len(keys) - len(missing)
        if missing:
            results = await fetch([each for _, each in missing])
            for (key, _), result in zip(missing, results, strict=True):
                found[key] = result
                if may_recall and isinstance(result, Observed):
                    self._kept.put(key, result)
        return [found[key] for key in keys]

    def _find_kept(self, key: Any, asked: Any, now_s: float) -> Observed[Any] | None:
        observed = self._kept.find(key, now_s)
        max_age_s = asked.max_age_s if isinstance(asked, BalanceRequest) else None
        if observed is None or max_age_s is None:
            return observed
        return observed if now_s - observed.observed_at.timestamp() < max_age_s else None

    async def _start(self) -> None:
        recovery, reconciler = self._build()
        while True:
            try:
                await recovery.hold_fences(APPLIED_WITHIN_S)
            except CacheUnavailable:
                pass
            except Internal:
                await asyncio.sleep(0.1)
                continue
            break
        self.simulation.loop.create_task(recovery.run(RECOVER_INTERVAL_S))
        self.simulation.loop.create_task(reconciler.run(SETTLE_INTERVAL_S))
        self.serving = True
        self.simulation.log(f"{self.name} serves")

    def _build(self) -> tuple[Recovery, Reconciler]:
        simulation, blueprint = self.simulation, self.simulation.blueprint
        journal = ReplicaJournal(simulation, self.name)
        sources: dict[str, BalanceProvider] = {
            kind.value: blueprint.provider(
                ProviderModel(kind, simulation.provider_state, self.name)
            )
            for kind in (ProviderKind.LIGHT, ProviderKind.LAYER)
        }
        providers: dict[str, BalanceProvider] = {}
        fences, values, leases = self._build_cache(journal)
        self.reads = blueprint.reads(
            providers=providers,
            keys={
                one.id: compute_account_keys(one, PROVIDERS[one.provider], {})
                for one in simulation.accounts.values()
            },
            fences=fences,
            values=values,
            claims=leases,
            lifetimes=_LIFETIMES,
            clock=simulation.clock,
            metrics=simulation.metrics,
            deadline_s=5.0,
        )
        blueprint.modify(self.reads)
        # Nothing is in the gateway's storage, so nobody looks at it.
        self._kept = KeptValues(StorageWatch(None))  # type: ignore[arg-type]
        self.starts += 1
        directory = Directory(
            list(simulation.accounts.values()),
            [Connector(one.connector, one.kind, one.capabilities) for one in sources.values()],
        )
        reconciler = blueprint.reconciler(
            directory=directory,
            sources=sources,
            remote_accounts=simulation.remote_accounts,
            fence=self.reads,
            journal=journal,
            settlements=journal,
            history=journal,
            clock=simulation.clock,
            hold_s=APPLIED_WITHIN_S,
            read_timeout_s=READ_BACK_S,
        )
        for name, source in sources.items():
            providers[name] = ObservedOpeningBalances(source, reconciler, simulation.clock)
        providers[ProviderKind.LIGHT.value] = RecordedOpeningBalances(
            providers[ProviderKind.LIGHT.value], journal, simulation.remote_accounts
        )
        deadlines_s = dict.fromkeys(sources, DEADLINE_S)
        limits = WriteDeadlines(deadlines_s, READ_BACK_S, PREPARE_S, LEASE_S)
        self.writer = blueprint.writer(
            directory=directory,
            providers=providers,
            remote_accounts=simulation.remote_accounts,
            fence=self.reads,
            journal=journal,
            reconciler=reconciler,
            sources=sources,
            clock=simulation.clock,
            new_id=simulation.new_id,
            limits=limits,
        )
        recovery = Recovery(
            directory,
            sources,
            self.reads,
            journal,
            simulation.clock,
            limits,
            reconciler.add,
            self.writer.keeps_outcome,
        )
        return recovery, reconciler

    def _build_cache(
        self, journal: ReplicaJournal
    ) -> tuple[Fences, MemoryStore | RedisStore, UpstreamLeases]:
        simulation = self.simulation
        if not simulation.profile.shared:
            return MemoryFences(HOLD_S, simulation.loop.time), MemoryStore(1000), NoLeases()

        async def has_unsettled_writes() -> bool:
            since = simulation.clock() - timedelta(seconds=APPLIED_WITHIN_S)
            return bool(await journal.unsettled_since(since))

        server = ServerIdentity()
        deliver = lambda effect: simulation.run_on_redis(self.name, effect)  # noqa: E731
        client: Any = ModelClient(simulation.redis, deliver, server)
        redis = RedisClient(client, server=server, monotonic=simulation.loop.time)
        link = ModelLink(simulation.redis, redis, redis.key(REDIS_LOG))
        fences = simulation.blueprint.fences(redis, HOLD_S, has_unsettled_writes, link)
        return fences, RedisStore(redis, 60.0), RedisLeases(redis)


class Client:
    """A client: reads and writes through any replica, and records the history."""

    def __init__(self, simulation: Simulation, name: str) -> None:
        self._simulation = simulation
        self._name = name
        self._last: dict[str, int | None] = {}

    async def act(self) -> None:
        """Make one read or write."""
        simulation = self._simulation
        replica = simulation.rng.choice(simulation.replicas)
        if simulation.draw(simulation.profile.write_share):
            await self._write(replica)
        elif simulation.draw(0.05 if simulation.profile.contended else 0.3):
            await self._read_openings(replica, self._draw_accounts())
        else:
            share = 0.1 if simulation.profile.contended else 0.25
            max_age_s = 0 if simulation.draw(share) else None
            day = DAYS[0] if simulation.profile.contended else simulation.rng.choice(DAYS)
            await self._read_balances(replica, self._draw_accounts(), day, max_age_s)

    async def read_everything(self, replica: Replica) -> None:
        """Read every balance and opening balance of every account."""
        everything = list(self._simulation.accounts.values())
        for day in DAYS:
            await self._read_balances(replica, everything, day, None)
        await self._read_openings(replica, everything)

    def _draw_accounts(self) -> list[Account]:
        rng = self._simulation.rng
        accounts = list(self._simulation.accounts.values())
        return rng.sample(accounts, min(len(accounts), rng.choice([1, 1, 2, 3])))

    async def _read_balances(
        self, replica: Replica, accounts: list[Account], day: date, max_age_s: int | None
    ) -> None:
        requests = [BalanceRequest(one, day, day == DAYS[0], max_age_s) for one in accounts]
        invoked = self._simulation.tick()
        try:
            answers = await replica.call(lambda one: one.read_balances(requests))
        except (ConnectionLost, GatewayError):
            return
        for account, answer in zip(accounts, answers, strict=True):
            self._record_read(
                get_register_name(account), invoked, answer, f"balance {day}", replica
            )

    async def _read_openings(self, replica: Replica, accounts: list[Account]) -> None:
        invoked = self._simulation.tick()
        try:
            answers = await replica.call(lambda one: one.read_openings(accounts))
        except (ConnectionLost, GatewayError):
            return
        for account, answer in zip(accounts, answers, strict=True):
            register = get_register_name(account)
            if account.provider is ProviderKind.LIGHT:
                # The gateway's own record is a separate register, with acknowledged writes only.
                register += "/record"
            self._record_read(register, invoked, answer, "opening", replica)

    def _record_read(
        self,
        register: str,
        invoked: int,
        answer: Observed[BalanceFigures] | Observed[OpeningBalance | None] | GatewayError,
        view: str,
        replica: Replica,
    ) -> None:
        if isinstance(answer, GatewayError):
            return
        value = answer.value
        money = value.bank if isinstance(value, BalanceFigures) else value and value.amount
        amount = None if money is None else money.minor_units
        self._last[register] = amount
        stale = answer.state is FreshnessState.STALE
        by = f"{self._name} at {replica.name}, {view}, {answer.state.value}"
        read = Read(amount, invoked, self._simulation.tick(), stale, by)
        if register.startswith(GROWING):
            growth, process = self._simulation.growth, f"{replica.name}.{replica.starts}"
            growth.setdefault(view, []).append(read)
            growth.setdefault(f"{view}/{process}", []).append(read)
            self._simulation.log(f"saw {register}={amount} {read}")
            return
        self._simulation.history(register)[1].append(read)
        self._simulation.log(f"saw {register}={amount} {read}")

    async def _write(self, replica: Replica) -> None:
        simulation = self._simulation
        accounts = [one for one in simulation.accounts.values() if one.id != "growing"]
        account = simulation.rng.choice(accounts)
        register = get_register_name(account)
        request = UpsertRequest(account.id, simulation.new_value(), None, "EUR")
        if simulation.draw(0.5):
            request = replace(request, idempotency_key=f"key-{request.minor_units}")
        if self._should_compare(account) and register in self._last:
            request = replace(request, expected_previous=ExpectedPrevious(self._last[register]))
        invoked = simulation.tick()
        simulation.log(f"{self._name} writes {register}={request.minor_units} at {replica.name}")
        result = await self._send(replica, request)
        outcome = Outcome.UNCERTAIN
        if isinstance(result, Applied):
            outcome = Outcome.ACKNOWLEDGED
        elif isinstance(result, Rejected):
            outcome = Outcome.REJECTED
        returned = None if result is None else simulation.tick()
        expected = request.expected_previous
        compared = None if expected is None else (expected.minor_units,)
        write = Write(request.minor_units, invoked, returned, outcome, compared, self._name)
        simulation.history(register)[0].append(write)
        if account.provider is ProviderKind.LIGHT:
            simulation.history(f"{register}/record")[0].append(write)
        simulation.log(f"wrote {register}={request.minor_units} {write} {result}")

    def _should_compare(self, account: Account) -> bool:
        simulation = self._simulation
        return (
            simulation.profile.compare_and_set
            and account.provider is ProviderKind.LAYER
            and simulation.draw(0.7)
        )

    async def _send(self, replica: Replica, request: UpsertRequest) -> UpsertResult | None:
        """Send a write, and retry it at another replica if it has an idempotency key.

        Returns:
            The result; None when there was no answer.
        """
        simulation, lost = self._simulation, False
        for _ in range(4 if request.idempotency_key and simulation.profile.retries else 1):
            try:
                result = await replica.call(lambda one: one.writer.upsert(WRITER, request))
                # A retryable rejection concerns its own request only: an earlier request without
                # an answer may have been sent.
                if not (lost and isinstance(result, Rejected) and result.code == Internal.code):
                    return result
                assert result.retryable
            except ConnectionLost:
                lost = True
            await asyncio.sleep(simulation.rng.uniform(0.0, 0.5))
            replica = simulation.rng.choice(simulation.replicas)
        return None


@contextlib.contextmanager
def _seed_global_random(seed: int) -> Iterator[None]:
    """Seed the global random generator, which the gateway uses, and silence the logs."""
    state = random.getstate()
    random.seed(seed)
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        random.setstate(state)


def simulate(
    seed: int, profile: FaultProfile, blueprint: Blueprint = REAL, *, trace: bool = False
) -> SimulationResult:
    """Run one seed and check its histories."""
    simulation = Simulation(seed, profile, blueprint, trace=trace)
    with _seed_global_random(seed):
        simulation.loop.run_until_complete(simulation.run())
    assert not simulation.loop.failures, simulation.loop.failures
    return simulation.build_result(seed)


def main() -> None:
    """Run seeds until one fails or all pass, and print the rate."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    profiles = {**FAULT_PROFILES, **SPECIAL_FAULT_PROFILES, **CONTENDED_FAULT_PROFILES}
    parser.add_argument("--profile", choices=[*profiles, "all"], default="all")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--keep-going", action="store_true")
    options = parser.parse_args()
    names = list(profiles) if options.profile == "all" else [options.profile]
    started, operations, failed = time.monotonic(), 0, 0
    for number in range(options.seeds):
        name, seed = names[number % len(names)], options.first_seed + number
        result = simulate(seed, profiles[name], trace=options.trace)
        operations += result.operations
        print(*result.trace, sep="\n", end="\n" if options.trace else "")
        if result.violation is not None:
            failed += 1
            print(f"profile {name!r}, seed {seed}, digest {result.digest}: {result.violation}")
            if not options.keep_going:
                break
    else:
        number += 1
    minutes = (time.monotonic() - started) / 60
    print(f"{failed} failed; {number / minutes:.0f} histories a minute, {operations} operations")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
