"""A gateway with every kind of provider, two tenants and real writes, for one engine under test.

Several of them can get the same events: all that happens is decided by a test, nothing by chance
or by the time that a call takes.
"""

import contextlib
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from balance_gateway.api.compiled.engine import CompiledEngine
from balance_gateway.api.execution.engine import (
    Engine,
    GraphQLRequest,
    GraphQLResponse,
    build_refusal_response,
)
from balance_gateway.api.request.context import Caller
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.errors import RequestRefused
from balance_gateway.domain.access import Principal
from balance_gateway.domain.balances import (
    OpeningBalanceWrite,
)
from balance_gateway.domain.ledger import Book, Entry
from balance_gateway.domain.money import Money
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.cache.cache_keys import compute_account_keys
from balance_gateway.pipeline.cache.cache_store import MemoryStore
from balance_gateway.pipeline.cache.cached_reads import CachedReads, Lifetimes
from balance_gateway.pipeline.cache.fence import MemoryFences
from balance_gateway.pipeline.calls.recorded_opening_balances import RecordedOpeningBalances
from balance_gateway.ports import storage_changes as port
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.providers.local.provider import LocalProvider
from balance_gateway.providers.registry import PROVIDERS
from balance_gateway.service.directory import Directory
from balance_gateway.service.gateway import Gateway
from balance_gateway.service.reconciler import Reconciler
from balance_gateway.service.writer import OpeningBalanceWriter, WriteDeadlines
from balance_gateway.storage.changes import open_storage_changes
from balance_gateway.storage.database import open_database
from balance_gateway.storage.ledger import SqlLedgerStore
from tests.api.compiled.gateway_harness import START
from tests.api.compiled.scripted_parts import (
    ACCOUNTS,
    CONNECTORS,
    HOLD_S,
    Clock,
    Journal,
    ScriptedProvider,
    StorageChanges,
    Watch,
)
from tests.api.fakes import FakeAuditLog, FakeExplainer
from tests.service.plan_fakes import build_plans


@dataclass(frozen=True)
class SentRequest:
    """A request as a client sends it.

    Attributes:
        query: the document.
        variables: the variables.
        principal: the caller.
        request_id: the id of the request.
        is_post: whether it has a body, under which a response can be kept.
    """

    query: str
    variables: dict[str, Any]
    principal: Principal
    request_id: str = "request"
    is_post: bool = True


class WholeGateway:
    """A gateway over scripted providers, the embedded ledger and a journal.

    Args:
        clock: has the current instant.
        ledger: the store of the embedded ledger.
        other: the same store as another process opens it.
        changes: shows changes of the ledger.

    Attributes:
        providers: the scripted providers by connector.
        budget_used: the calls that a test takes from the budget of a connector.
        kept: the requests that got a response that was kept as a whole.
        built: the requests that got a response that was built without a read.
        compiled: the engine under test.
        graphql_core: the reference.
    """

    def __init__(
        self,
        clock: Clock,
        ledger: SqlLedgerStore,
        other: SqlLedgerStore,
        changes: port.StorageChanges,
    ) -> None:
        self.clock = clock
        self.ledger, self.ledger_of_other_process = ledger, other
        self.providers = {
            name: ScriptedProvider(each) for name, each in CONNECTORS.items() if name != "books"
        }
        self.budget_used: Counter[str] = Counter()
        self.kept = self.built = 0
        self.watch = Watch(self)
        accounts = list(ACCOUNTS.values())
        keys = {
            each.id: compute_account_keys(each, PROVIDERS[each.provider], {}) for each in accounts
        }
        remote = {account_id: key.remote for account_id, key in keys.items()}
        self.journal = Journal([], self.read_now)
        self.directory = Directory(accounts, list(CONNECTORS.values()))
        feed_readers = {name: self.providers[name] for name in ("main", "asset", "layer")}
        self.metrics = Metrics()
        books = LocalProvider("books", ledger)
        sources: dict[str, BalanceProvider] = {**self.providers, "books": books}
        providers = {
            **sources,
            "asset": RecordedOpeningBalances(sources["asset"], self.journal, remote),
        }
        self.reads = CachedReads(
            providers=providers,
            keys=keys,
            fences=MemoryFences(HOLD_S, self._read_clock_s),
            values=MemoryStore(10_000),
            lifetimes=Lifetimes(30.0, 600.0, 3600.0, 86_400.0),
            clock=self.read_now,
            feed_readers=feed_readers,
            accounts=accounts,
            in_storage=[each.id for each in accounts if each.connector == "books"],
            stored_readers={"books": books},
            metrics=self.metrics,
        )
        self.reconciler = Reconciler(
            directory=self.directory,
            sources=sources,
            remote_accounts=remote,
            fence=self.reads,
            journal=self.journal,
            settlements=self.journal,
            history=self.journal,
            clock=self.read_now,
            hold_s=HOLD_S,
            read_timeout_s=5.0,
        )
        writer = OpeningBalanceWriter(
            directory=self.directory,
            providers=providers,
            remote_accounts=remote,
            fence=self.reads,
            journal=self.journal,
            reconciler=self.reconciler,
            sources=sources,
            clock=self.read_now,
            new_id=lambda: f"write-{len(self.journal.records) + 1}",
            limits=WriteDeadlines(dict.fromkeys(CONNECTORS, 10.0), 5.0, 8.0, 25.0),
        )
        self.gateway = Gateway(
            self.directory,
            self.reads,
            writer,
            self.watch,
            self.read_now,
            self.reconciler,
            self.journal,
            StorageChanges(changes, self.journal),
            build_plans(self.directory, self.read_now),
            "test",
            explainer=FakeExplainer(self.reads),
            audit_log=FakeAuditLog(),
        )
        # The reference answers whatever a compiled plan may answer.
        limits = Limits(accounts=len(ACCOUNTS), cost_graphql_core=Limits().cost)
        self.graphql_core = Engine(self.gateway, limits=limits)
        self.compiled = self.build_compiled()

    def build_compiled(self, limits: Limits | None = None) -> CompiledEngine:
        """Return another engine under test over the same gateway."""
        # A document that is left to graphql-core may cost as much as one of the reference.
        limits = limits or Limits(accounts=len(ACCOUNTS), cost_graphql_core=Limits().cost)
        return CompiledEngine(
            Engine(self.gateway, limits=limits),
            self.gateway,
            limits=limits,
            request_timeout_s=10.0,
            metrics=self.metrics,
        )

    @property
    def now(self) -> datetime:
        return self.clock.now

    def read_now(self) -> datetime:
        return self.clock.now

    def _read_clock_s(self) -> float:
        return self.now.timestamp()

    def count_reads(self) -> Counter[tuple[object, ...]]:
        """Return how often each value was read from a provider."""
        return sum((each.reads for each in self.providers.values()), Counter())

    def find_provider(self, account_id: str) -> ScriptedProvider | None:
        """Return the provider of an account; None for the embedded ledger."""
        return self.providers.get(ACCOUNTS[account_id].connector)

    def write_outside(self, account_id: str, version: int) -> None:
        """Change an account's values at its provider."""
        provider = self.find_provider(account_id)
        assert provider is not None
        provider.versions[account_id] += version

    async def import_entries(self, account_id: str, number: int, *, other_process: bool) -> None:
        """Import two entries into the embedded ledger."""
        store = self.ledger_of_other_process if other_process else self.ledger
        day = START.date() - timedelta(days=number % 9)
        entries = [Entry(f"{number}", book, day, 10 + number) for book in Book]
        await store.add_entries(ACCOUNTS[account_id], entries)

    async def change_opening_outside(self, account_id: str, minor_units: int) -> None:
        """Set an opening balance in the embedded ledger from another process."""
        account = ACCOUNTS[account_id]
        amount = Money(minor_units, account.currency)
        write = OpeningBalanceWrite(account, amount, START - timedelta(days=3), None, None)
        await self.ledger_of_other_process.set_opening_balance(write)

    async def send(self, engine: Engine | CompiledEngine, request: SentRequest) -> GraphQLResponse:
        """Send a request through all stages of an engine, as the endpoint does."""
        caller = Caller(request.principal, request.request_id)
        body = orjson.dumps({"query": request.query, "variables": request.variables})
        if request.is_post and (kept := engine.cached_response(body, caller)) is not None:
            self.kept += 1
            return kept
        try:
            operation = engine.prepare(GraphQLRequest(request.query, request.variables))
        except RequestRefused as refused:
            return build_refusal_response(refused)
        if not operation.is_mutation and engine.may_cache(caller):
            kept = engine.try_cached(operation, caller, body if request.is_post else None)
            if kept is not None:
                self.built += 1
                return kept
        return await engine.execute(operation, caller, body if request.is_post else None)


_migrated_files: list[bytes] = []


async def _make_migrated_file() -> bytes:
    """Return the content of a new database; migrating each of them would take 60 ms of CPU."""
    if not _migrated_files:
        with tempfile.TemporaryDirectory() as folder:
            await (await open_database(f"sqlite:///{folder}/new.db")).aclose()
            _migrated_files.append(Path(folder, "new.db").read_bytes())  # noqa: ASYNC240
    return _migrated_files[0]


@contextlib.asynccontextmanager
async def open_worlds(count: int = 1) -> AsyncIterator[list[WholeGateway]]:
    """Open gateways with one clock, each with storage of its own."""
    clock = Clock()
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        worlds = []
        for number in range(count):
            (folder / f"{number}.db").write_bytes(await _make_migrated_file())
            stores: list[SqlLedgerStore] = []
            # Two processes with the same storage.
            for _ in range(2):
                database = await open_database(f"sqlite:///{folder}/{number}.db")
                stack.push_async_callback(database.aclose)
                stores.append(SqlLedgerStore(database, lambda: clock.now))
            changes = await stack.enter_async_context(open_storage_changes(database))
            world = WholeGateway(clock, stores[0], stores[1], changes)
            stack.push_async_callback(world.reads.aclose)
            worlds.append(world)
        yield worlds
