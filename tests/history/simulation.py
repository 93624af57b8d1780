"""Simulated gateways around the real cache and write protocol: one seed, one history, exactly.

Several replicas run the real ``CachedReads``, fences, values, ``OpeningBalanceWriter`` and
``Recovery``. What they share is modelled: Redis, the write journal, and providers whose writes are
refused, lost, delayed or land late. Replicas crash and start again; Redis loses its keys, is slow
or out of reach. Clients read and write a few accounts; what they saw is judged by ``checker.py``.

From the repository's root::

    python -m tests.history.simulation --seeds 1000            # every weather in turn
    python -m tests.history.simulation --weather storm --first-seed 17 --seeds 1 --trace
"""

import argparse
import asyncio
import contextlib
import hashlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.domain.balances import (
    BalanceFigures,
    OpeningBalance,
)
from balance_gateway.domain.errors import CacheUnavailable, GatewayError, Internal
from balance_gateway.domain.writes import (
    UnsettledWrite,
    WriteIntent,
    WriteRecord,
)
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.cache.cache_entry_rules import Lifetimes
from balance_gateway.pipeline.cache.cache_keys import account_keys
from balance_gateway.pipeline.cache.cache_store import CacheStore, MemoryStore, RedisStore
from balance_gateway.pipeline.cache.cached_reads import CachedReads
from balance_gateway.pipeline.cache.fence import Fences, MemoryFences
from balance_gateway.pipeline.cache.redis_fence import RedisFences
from balance_gateway.pipeline.cache.upstream_leases import NoLeases, RedisLeases, UpstreamLeases
from balance_gateway.pipeline.calls.recorded_opening_balances import RecordedOpeningBalances
from balance_gateway.pipeline.redis_client import COMMAND_TIMEOUT_S, RedisClient, Server
from balance_gateway.ports.providers import (
    BalanceProvider,
)
from balance_gateway.ports.reads import (
    BalanceRequest,
    FreshnessState,
    Observed,
)
from balance_gateway.ports.write_journal import (
    JournalUnavailable,
)
from balance_gateway.service.directory import Connector, Directory
from balance_gateway.service.opening_balances import (
    Applied,
    ExpectedPrevious,
    Rejected,
    UpsertRequest,
    UpsertResult,
)
from balance_gateway.service.recovery import Recovery
from balance_gateway.service.writer import OpeningBalanceWriter, WriteDeadlines
from tests.history import checker
from tests.history.checker import History, Outcome, Read, Violation, Write
from tests.history.fault_profiles import SPECIAL_WEATHERS, WEATHERS, Weather
from tests.history.journal_model import JournalModel
from tests.history.provider_model import DEADLINE_S, LATE_LANDING_S, ProviderModel, RemoteBooks
from tests.history.redis_model import ModelClient, RedisModel, unreachable
from tests.history.virtual_loop import Life, VirtualLoop, remotely

T = TypeVar("T")

READ_BACK_S = 0.5
PREPARE_S = READ_BACK_S + 2 * COMMAND_TIMEOUT_S
HOLD_S = COMMAND_TIMEOUT_S + DEADLINE_S + max(LATE_LANDING_S, READ_BACK_S)
LANDS_WITHIN_S = PREPARE_S + HOLD_S
LEASE_S = PREPARE_S + DEADLINE_S + READ_BACK_S + 1.0
DAYS = (date(2026, 3, 1), date(2026, 2, 1))
WRITER = Principal("client", "acme", frozenset(Scope))
_EPOCH = datetime(2026, 3, 1, tzinfo=UTC)
_LIFETIMES = Lifetimes(today_s=6.0, other_days_s=12.0, opening_balance_s=20.0, stale_s=60.0)


@dataclass(frozen=True, slots=True)
class Blueprint:
    """The parts a replica is built of; a mutant replaces one."""

    reads: type[CachedReads] = CachedReads
    writer: type[OpeningBalanceWriter] = OpeningBalanceWriter
    fences: type[RedisFences] = RedisFences
    provider: Callable[[BalanceProvider], BalanceProvider] = lambda provider: provider
    dress: Callable[[CachedReads], None] = lambda reads: None


REAL = Blueprint()


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What came of one run."""

    seed: int
    histories: Mapping[str, History]
    digest: str
    violation: str | None
    trace: Sequence[str]

    @property
    def operations(self) -> int:
        """How many reads and writes were answered or given up."""
        return sum(len(one.writes) + len(one.reads) for one in self.histories.values())


class ConnectionLost(Exception):
    """The replica a client was talking to has crashed."""


class World:
    """Everything there is in one run."""

    def __init__(self, seed: int, weather: Weather, blueprint: Blueprint, *, trace: bool) -> None:
        self.rng = random.Random(seed)
        self.weather = weather
        self.blueprint = blueprint
        self.loop = VirtualLoop(seed)
        self.accounts = {account.id: account for account in accounts(weather.aliases)}
        self.remote_accounts = {
            account.id: account_keys(account, "sim", {}).remote
            for account in self.accounts.values()
        }
        self.redis = RedisModel(lambda: self.loop.time() * 1000)
        self.redis_down_until_s = 0.0
        self.redis_snapshot = self.redis.snapshot()
        self.journal = JournalModel()
        self.books = RemoteBooks(self.rng, self.loop.time, weather.fates, weather.slow_read_share)
        self.books.tell = self.tell
        self.replicas = [Replica(self, number) for number in range(weather.replicas)]
        self.metrics = Metrics()
        self.keeps_trace = trace
        self.trace: list[str] = []
        self._ticks = 0
        self._values = 0
        self._ids = 0
        self._histories: dict[str, tuple[list[Write], list[Read]]] = {}

    def tick(self) -> int:
        """One later than everything so far: times of events, without ties."""
        self._ticks += 1
        return self._ticks

    def new_value(self) -> int:
        """An amount that nobody has written."""
        self._values += 1
        return self._values

    def new_id(self) -> str:
        """The id of a write."""
        self._ids += 1
        return f"write-{self._ids:05}"

    def clock(self) -> datetime:
        """The time on every wall."""
        return _EPOCH + timedelta(seconds=self.loop.time())

    def tell(self, text: str) -> None:
        """A line of the trace."""
        if self.keeps_trace:
            self.trace.append(f"{self.loop.time():9.4f} #{self._ticks:<5} {text}")

    def history(self, register: str) -> tuple[list[Write], list[Read]]:
        """What clients have seen of a register so far."""
        return self._histories.setdefault(register, ([], []))

    def chance(self, share: float) -> bool:
        """True in so many cases."""
        return self.rng.random() < share

    def soon(self) -> float:
        """A short way over a network."""
        return self.rng.uniform(0.0005, 0.01)

    async def run(self) -> None:
        """Clients and nemeses at work, then calm, then a last look through every replica."""
        for replica in self.replicas:
            replica.start()
        await asyncio.sleep(0.2)
        clients = [self.loop.create_task(self._client(n)) for n in range(self.weather.clients)]
        nemeses = [self.loop.create_task(nemesis) for nemesis in self._nemeses()]
        await asyncio.wait(clients)
        for nemesis in nemeses:
            nemesis.cancel()
        self.redis_down_until_s = self.books.down_until_s = 0.0
        await asyncio.sleep(LANDS_WITHIN_S + 2.0)
        for replica in self.replicas:
            if not replica.serving:
                replica.start()
        await asyncio.sleep(2.0)
        for replica in [*self.replicas, *self.replicas]:
            await Client(self, "last look").look_at_everything(replica)

    def outcomes(self, seed: int) -> Outcomes:
        """The histories and the verdict."""
        histories = {
            name: History(None, writes, reads) for name, (writes, reads) in self._histories.items()
        }
        digest = hashlib.sha256(repr(sorted(histories.items())).encode()).hexdigest()[:16]
        return Outcomes(seed, histories, digest, self._verdict(histories), self.trace)

    def _verdict(self, histories: Mapping[str, History]) -> str | None:
        check = checker.check_freshness if self.weather.fresh_only else checker.check
        for name, history in sorted(histories.items()):
            try:
                check(history)
            except Violation as violation:
                return f"{name}: {violation}"
            compared = any(write.expected is not None for write in history.writes)
            if compared and history.certain and not checker.linearizable_by_search(history):
                return f"{name}: a compared write replaced another value than the one expected"
        return self._record_differs(histories)

    def _record_differs(self, histories: Mapping[str, History]) -> str | None:
        """Where nothing was uncertain, the gateway's record is what the provider has."""
        for account in self.accounts.values():
            history = histories.get(register_of(account))
            if account.provider is not ProviderKind.LIGHT:
                continue
            record = self.journal.last_applied(self.remote_accounts[account.id])
            recorded = None if record is None or record.applied is None else record.applied.amount
            held = self.books.held(register_of(account))
            told = None if recorded is None else recorded.minor_units
            if history is not None and history.certain and told != held:
                return f"{account.id}: the record says {told}, the provider {held}"
        return None

    async def _client(self, number: int) -> None:
        client = Client(self, f"client {number}")
        while self.loop.time() < self.weather.seconds:
            await asyncio.sleep(self.rng.expovariate(3.0))
            await client.act()

    def _nemeses(self) -> Iterator[Any]:
        weather = self.weather
        if weather.crash_every_s:
            yield self._again_and_again(weather.crash_every_s, self._crash)
        if weather.redis_restart_every_s and weather.shared:
            yield self._again_and_again(weather.redis_restart_every_s, self._restart_redis)
        if weather.redis_outage_every_s and weather.shared:
            yield self._again_and_again(weather.redis_outage_every_s, self._cut_redis_off)
        if weather.provider_outage_every_s:
            yield self._again_and_again(weather.provider_outage_every_s, self._stop_provider)
        if weather.stalls:
            yield self._again_and_again(4.0, self._stall)

    async def _again_and_again(self, every_s: float, blow: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(self.rng.expovariate(1 / every_s))
            await blow()

    async def _crash(self) -> None:
        replica = self.rng.choice(self.replicas)
        replica.crash()
        await asyncio.sleep(self.rng.uniform(0.05, 2.0))
        replica.start()

    async def _restart_redis(self) -> None:
        self.redis_down_until_s = self.loop.time() + self.rng.uniform(0.0, 0.5)
        if self.weather.redis_keeps_snapshots:
            self.tell("redis restarts from its snapshot")
            self.redis.restart(self.redis_snapshot)
            await asyncio.sleep(self.rng.uniform(0.0, 3.0))
            self.redis_snapshot = self.redis.snapshot()
        else:
            self.tell("redis loses its keys")
            self.redis.restart()

    async def _cut_redis_off(self) -> None:
        self.tell("redis is out of reach")
        self.redis_down_until_s = self.loop.time() + self.rng.uniform(0.1, 4.0)

    async def _stop_provider(self) -> None:
        self.tell("providers are down")
        self.books.down_until_s = self.loop.time() + self.rng.uniform(0.5, 6.0)

    async def _stall(self) -> None:
        self.rng.choice(self.replicas).stall(self.rng.uniform(0.5, 2 * HOLD_S))

    async def to_redis(self, name: str, effect: Callable[[], T]) -> T:
        """One command on its way to Redis and back."""
        rng, weather = self.rng, self.weather
        if self.loop.time() < self.redis_down_until_s:
            await asyncio.sleep(self.soon() if self.chance(0.7) else 9.0)
            raise unreachable()

        def told() -> T:
            if self.loop.time() < self.redis_down_until_s:
                raise unreachable()
            result = effect()
            if self.keeps_trace:
                self.tell(f"{name} redis {getattr(effect, 'told', '')} -> {result}")
            return result

        slow = self.chance(weather.redis_slow_share)
        before_s, after_s = rng.uniform(0.0001, 0.002), rng.uniform(0.0001, 0.002)
        if slow:
            before_s, after_s = rng.choice(
                [(before_s, 0.6 * rng.random()), (0.6 * rng.random(), 0)]
            )
        return await remotely(told, before_s=before_s, after_s=after_s)


def accounts(aliases: bool) -> Sequence[Account]:
    """Two accounts at Light, two of one business at Layer; perhaps one of them twice."""

    def account(account_id: str, kind: ProviderKind, remote: Mapping[str, str]) -> Account:
        zone = ZoneInfo("UTC")
        return Account(account_id, "acme", kind.value, kind, account_id, "EUR", zone, remote)

    found = [
        account("light-a", ProviderKind.LIGHT, {"bank_account_id": "a"}),
        account("light-b", ProviderKind.LIGHT, {"bank_account_id": "b"}),
        account("layer-c", ProviderKind.LAYER, {"business_id": "x", "external_account_id": "c"}),
        account("layer-d", ProviderKind.LAYER, {"business_id": "x", "external_account_id": "d"}),
    ]
    if aliases:
        found.append(account("light-a-again", ProviderKind.LIGHT, {"bank_account_id": "a"}))
    return found


def register_of(account: Account) -> str:
    """The remote account, which is the register."""
    return "/".join([account.provider.value, *account.remote.values()])


class ReplicaJournal:
    """The shared journal as one replica reaches it: a ``WriteJournal``."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name

    async def _ask(self, what: str, effect: Callable[[], T]) -> T:
        world = self._world
        fails, before = world.chance(world.weather.journal_failure_share), world.chance(0.5)
        if fails and before:
            await asyncio.sleep(world.soon())
            raise JournalUnavailable("The write journal is out of reach.")

        def told() -> T:
            result = effect()
            if world.keeps_trace and what != "last_applied":
                world.tell(f"{self._name} journal {what} -> {_short(result)}")
            return result

        result = await remotely(told, before_s=world.soon(), after_s=world.soon())
        if fails:
            raise JournalUnavailable("The write journal is out of reach.")
        return result

    async def begin(self, intent: WriteIntent, *, lease_s: float) -> WriteRecord:
        world = self._world
        return await self._ask(
            f"begin {intent.id} {intent.account_id}={intent.amount.minor_units}"
            f" key={intent.idempotency_key}",
            lambda: world.journal.begin(intent, lease_s, world.clock()),
        )

    async def finish(self, record: WriteRecord) -> None:
        world = self._world
        await self._ask(
            f"finish {record.intent.id} {record.outcome.value}",
            lambda: world.journal.finish(record, world.clock()),
        )

    async def by_key(self, tenant: str, idempotency_key: str) -> WriteRecord | None:
        journal = self._world.journal
        return await self._ask("by_key", lambda: journal.by_key(tenant, idempotency_key))

    async def last_applied(self, remote_account: str) -> WriteRecord | None:
        journal = self._world.journal
        return await self._ask("last_applied", lambda: journal.last_applied(remote_account))

    async def unfinished(self) -> Sequence[WriteRecord]:
        return await self._ask("unfinished", self._world.journal.unfinished)

    async def unsettled_since(self, instant: datetime) -> Sequence[UnsettledWrite]:
        journal = self._world.journal
        return await self._ask("unsettled", lambda: journal.unsettled_since(instant))


def _short(result: object) -> str:
    if isinstance(result, WriteRecord):
        return f"{result.intent.id} {result.outcome.value}"
    if isinstance(result, UnsettledWrite):
        return result.id
    if isinstance(result, Sequence) and not isinstance(result, str):
        return str([_short(one) for one in result])
    return str(result)


class Replica:
    """One gateway process: crashes, and starts again with nothing but what it shares."""

    reads: CachedReads
    writer: OpeningBalanceWriter

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.name = f"replica {number}"
        self.serving = False
        self._life = Life()
        self._context = self._life.begin()
        self._callers: dict[asyncio.Future[Any], None] = {}

    def start(self) -> None:
        """Starts a process, if none is running."""
        if self.serving:
            return
        self._life.ended = True
        self._life = Life()
        self._context = self._life.begin()
        self.world.loop.create_task(self._start(), context=self._context)

    def crash(self) -> None:
        """Ends the process where it stands; its callers find their connections closed."""
        self.world.tell(f"{self.name} crashes")
        self._life.ended = True
        self.serving = False
        for caller in list(self._callers):
            if not caller.done():
                caller.set_exception(ConnectionLost())
        self._callers.clear()

    def stall(self, seconds: float) -> None:
        """Stands still for so long."""
        self.world.tell(f"{self.name} stands still for {seconds:.3f}")
        self._life.stalled_until_s = self.world.loop.time() + seconds

    async def call(self, action: Callable[["Replica"], Awaitable[T]]) -> T:
        """What a client asks of this replica.

        Raises:
            ConnectionLost: it crashed before it answered.
        """
        world = self.world
        await asyncio.sleep(world.soon())
        if not self.serving:
            raise ConnectionLost
        caller: asyncio.Future[T] = world.loop.create_future()
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

        world.loop.create_task(handle(), context=self._context.copy())
        try:
            result = await caller
        finally:
            self._callers.pop(caller, None)
        await asyncio.sleep(world.soon())
        return result

    async def _start(self) -> None:
        recovery = self._build()
        while True:
            try:
                await recovery.hold_fences(LANDS_WITHIN_S)
            except CacheUnavailable:
                pass
            except Internal:
                await asyncio.sleep(0.1)
                continue
            break
        self.world.loop.create_task(self._resolve(recovery))
        self.serving = True
        self.world.tell(f"{self.name} serves")

    async def _resolve(self, recovery: Recovery) -> None:
        with contextlib.suppress(Internal):
            await recovery.resolve_unfinished()

    def _build(self) -> Recovery:
        world, blueprint = self.world, self.world.blueprint
        journal = ReplicaJournal(world, self.name)
        providers: dict[str, BalanceProvider] = {}
        for kind in (ProviderKind.LIGHT, ProviderKind.LAYER):
            provider = blueprint.provider(ProviderModel(kind, world.books, self.name))
            if kind is ProviderKind.LIGHT:
                provider = RecordedOpeningBalances(provider, journal, world.remote_accounts)
            providers[kind.value] = provider
        fences, values, claims = self._caching(journal)
        self.reads = blueprint.reads(
            providers=providers,
            keys={one.id: account_keys(one, "sim", {}) for one in world.accounts.values()},
            fences=fences,
            values=values,
            claims=claims,
            lifetimes=_LIFETIMES,
            clock=world.clock,
            metrics=world.metrics,
            deadline_s=5.0,
        )
        blueprint.dress(self.reads)
        directory = Directory(
            list(world.accounts.values()),
            [Connector(one.connector, one.kind, one.capabilities) for one in providers.values()],
        )
        deadlines_s = dict.fromkeys(providers, DEADLINE_S)
        limits = WriteDeadlines(deadlines_s, READ_BACK_S, PREPARE_S, LEASE_S)
        self.writer = blueprint.writer(
            directory=directory,
            providers=providers,
            remote_accounts=world.remote_accounts,
            fence=self.reads,
            journal=journal,
            clock=world.clock,
            new_id=world.new_id,
            limits=limits,
        )
        return Recovery(directory, providers, self.reads, journal, world.clock, limits)

    def _caching(self, journal: ReplicaJournal) -> tuple[Fences, CacheStore, UpstreamLeases]:
        world = self.world
        if not world.weather.shared:
            return MemoryFences(HOLD_S, world.loop.time), MemoryStore(1000), NoLeases()

        async def writes_may_land() -> bool:
            since = world.clock() - timedelta(seconds=LANDS_WITHIN_S)
            return bool(await journal.unsettled_since(since))

        server = Server()
        way = lambda effect: world.to_redis(self.name, effect)  # noqa: E731
        client: Any = ModelClient(world.redis, way, server)
        link = RedisClient(client, server=server, monotonic=world.loop.time)
        fences = world.blueprint.fences(link, HOLD_S, writes_may_land)
        return fences, RedisStore(link, 60.0), RedisLeases(link)


class Client:
    """Reads and writes through any replica, and writes down what it saw."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name
        self._last: dict[str, int | None] = {}

    async def act(self) -> None:
        """One read or write."""
        world = self._world
        replica = world.rng.choice(world.replicas)
        if world.chance(world.weather.write_share):
            await self._write(replica)
        elif world.chance(0.3):
            await self._read_openings(replica, self._some_accounts())
        else:
            max_age_s = 0 if world.chance(0.25) else None
            day = world.rng.choice(DAYS)
            await self._read_balances(replica, self._some_accounts(), day, max_age_s)

    async def look_at_everything(self, replica: Replica) -> None:
        """Every view of every account."""
        everything = list(self._world.accounts.values())
        for day in DAYS:
            await self._read_balances(replica, everything, day, None)
        await self._read_openings(replica, everything)

    def _some_accounts(self) -> list[Account]:
        rng = self._world.rng
        return rng.sample(list(self._world.accounts.values()), rng.choice([1, 1, 2, 3]))

    async def _read_balances(
        self, replica: Replica, accounts: list[Account], day: date, max_age_s: int | None
    ) -> None:
        requests = [BalanceRequest(one, day, day == DAYS[0], max_age_s) for one in accounts]
        invoked = self._world.tick()
        try:
            answers = await replica.call(lambda one: one.reads.balances(requests))
        except (ConnectionLost, GatewayError):
            return
        for account, answer in zip(accounts, answers, strict=True):
            self._note_read(register_of(account), invoked, answer, f"balance {day}", replica)

    async def _read_openings(self, replica: Replica, accounts: list[Account]) -> None:
        invoked = self._world.tick()
        try:
            answers = await replica.call(lambda one: one.reads.opening_balances(accounts))
        except (ConnectionLost, GatewayError):
            return
        for account, answer in zip(accounts, answers, strict=True):
            register = register_of(account)
            if account.provider is ProviderKind.LIGHT:
                # The gateway's own record: another register, of acknowledged writes alone.
                register += "/record"
            self._note_read(register, invoked, answer, "opening", replica)

    def _note_read(
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
        read = Read(amount, invoked, self._world.tick(), stale, by)
        self._world.history(register)[1].append(read)
        self._world.tell(f"saw {register}={amount} {read}")

    async def _write(self, replica: Replica) -> None:
        world = self._world
        account = world.rng.choice(list(world.accounts.values()))
        register = register_of(account)
        request = UpsertRequest(account.id, world.new_value(), None, "EUR")
        if world.chance(0.5):
            request = replace(request, idempotency_key=f"key-{request.minor_units}")
        if self._compares(account) and register in self._last:
            request = replace(request, expected_previous=ExpectedPrevious(self._last[register]))
        invoked = world.tick()
        world.tell(f"{self._name} writes {register}={request.minor_units} at {replica.name}")
        result = await self._send(replica, request)
        outcome = Outcome.UNCERTAIN
        if isinstance(result, Applied):
            outcome = Outcome.ACKNOWLEDGED
        elif isinstance(result, Rejected):
            outcome = Outcome.REJECTED
        returned = None if result is None else world.tick()
        expected = request.expected_previous
        compared = None if expected is None else (expected.minor_units,)
        write = Write(request.minor_units, invoked, returned, outcome, compared, self._name)
        world.history(register)[0].append(write)
        if account.provider is ProviderKind.LIGHT:
            world.history(f"{register}/record")[0].append(write)
        world.tell(f"wrote {register}={request.minor_units} {write} {result}")

    def _compares(self, account: Account) -> bool:
        world = self._world
        return (
            world.weather.compares and account.provider is ProviderKind.LAYER and world.chance(0.7)
        )

    async def _send(self, replica: Replica, request: UpsertRequest) -> UpsertResult | None:
        """The result; None when no answer came. With a key it is asked for again elsewhere.

        A rejection that can be tried again tells of its own request alone: when an earlier one
        had no answer, that one may have been sent.
        """
        world, lost = self._world, False
        for _ in range(4 if request.idempotency_key and world.weather.repeats else 1):
            try:
                result = await replica.call(lambda one: one.writer.upsert(WRITER, request))
                if not (lost and isinstance(result, Rejected) and result.code == Internal.code):
                    return result
                assert result.retryable
            except ConnectionLost:
                lost = True
            await asyncio.sleep(world.rng.uniform(0.0, 0.5))
            replica = world.rng.choice(world.replicas)
        return None


@contextlib.contextmanager
def _own_chance(seed: int) -> Iterator[None]:
    """The chance that the gateway takes from the machine itself is taken from the run."""
    state = random.getstate()
    random.seed(seed)
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        random.setstate(state)


def simulate(
    seed: int, weather: Weather, blueprint: Blueprint = REAL, *, trace: bool = False
) -> Outcomes:
    """One run from its seed, judged."""
    world = World(seed, weather, blueprint, trace=trace)
    with _own_chance(seed):
        world.loop.run_until_complete(world.run())
    assert not world.loop.failures, world.loop.failures
    return world.outcomes(seed)


def main() -> None:
    """Runs seeds until one fails, or all have passed; tells how many there were in a minute."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    weathers = {**WEATHERS, **SPECIAL_WEATHERS}
    parser.add_argument("--weather", choices=[*weathers, "all"], default="all")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--keep-going", action="store_true")
    options = parser.parse_args()
    names = list(weathers) if options.weather == "all" else [options.weather]
    started, operations, failed = time.monotonic(), 0, 0
    for number in range(options.seeds):
        name, seed = names[number % len(names)], options.first_seed + number
        outcomes = simulate(seed, weathers[name], trace=options.trace)
        operations += outcomes.operations
        print(*outcomes.trace, sep="\n", end="\n" if options.trace else "")
        if outcomes.violation is not None:
            failed += 1
            print(f"weather {name!r}, seed {seed}, digest {outcomes.digest}: {outcomes.violation}")
            if not options.keep_going:
                break
    else:
        number += 1
    minutes = (time.monotonic() - started) / 60
    print(f"{failed} failed; {number / minutes:.0f} histories a minute, {operations} operations")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
