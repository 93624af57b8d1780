"""A gateway with both engines, the compiled one and graphql-core alone, over the same reads."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from balance_gateway.api.compiled.engine import CompiledEngine, CompiledOperation
from balance_gateway.api.compiled.plan import Plan
from balance_gateway.api.execution.engine import Engine, GraphQLRequest, build_refusal_response
from balance_gateway.api.request.context import Caller
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.errors import RequestRefused
from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.accounts import Account, Capability, ProviderKind, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    MissingReason,
    OpeningBalance,
    OpeningBalanceSource,
    Tag,
)
from balance_gateway.domain.bank_feeds import BankFeed, BankFeedState, ReportedFigure
from balance_gateway.domain.errors import (
    ErrorCode,
    GatewayError,
    ProviderTimeout,
    SideUnknown,
    Unsupported,
)
from balance_gateway.domain.health import ConnectorStatus, HealthState
from balance_gateway.domain.money import Money
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.cache.cache_keys import compute_account_keys
from balance_gateway.pipeline.cache.cache_store import LocalStore, MemoryStore, RedisStore
from balance_gateway.pipeline.cache.cached_reads import CachedReads, Lifetimes
from balance_gateway.pipeline.cache.fence import Fences, MemoryFences
from balance_gateway.providers.registry import PROVIDERS
from balance_gateway.service.directory import Connector, Directory
from balance_gateway.service.gateway import Gateway
from tests.api.fakes import (
    FakeAuditLog,
    FakeExplainer,
    FakeHistory,
    FakeReconciler,
    FakeStorageChanges,
    FakeWriter,
)
from tests.pipeline.fakes import FakeProvider
from tests.service.plan_fakes import build_plans

START = datetime(2026, 5, 7, 22, 30, tzinfo=UTC)
READER = Principal("reader", "acme", frozenset({Scope.BALANCES_READ}))
NO_SCOPES = Principal("no-scopes", "acme", frozenset())
ZONES = ("UTC", "Asia/Tokyo", "America/New_York")
CURRENCIES = ("EUR", "JPY", "KWD", "CLF")


def _account(number: int) -> Account:
    account_id = f"a{number}"
    return Account(
        id=account_id,
        tenant="globex" if number == 7 else "acme",
        connector="main",
        provider=ProviderKind.LIGHT,
        name=f'Account "{number}" ü',
        currency=CURRENCIES[number % 4],
        time_zone=ZoneInfo(ZONES[number % 3]),
        remote=MappingProxyType({"bank_account_id": account_id}),
        normal_balance=(Side.DEBIT, Side.CREDIT, None)[number % 3],
        capabilities=frozenset() if number == 4 else frozenset(list(Capability)[number % 3 :]),
    )


ACCOUNTS = [_account(number) for number in range(8)]
LIMITS = Limits(accounts=len(ACCOUNTS))


TAGS = (
    Tag("t1", "key", "välue", "d1", "e1"),
    Tag("t2", "key", "value", "d2", "e2", "The key", "The value", START - timedelta(days=30)),
)


class FiguresProvider(FakeProvider):
    """Provides different figures for each account and day; some accounts fail or have no figures.

    Attributes:
        offset: added to all figures, in minor units; a test raises it to change the values.
        failing_ids: ids of the accounts with failing reads.
    """

    def __init__(self) -> None:
        super().__init__()
        self.offset = 0
        self._failing_ids: set[str] = set()
        self.status_changes = 0

    @property
    def failing_ids(self) -> set[str]:
        return self._failing_ids

    @failing_ids.setter
    def failing_ids(self, ids: set[str]) -> None:
        self._failing_ids = ids
        self.status_changes += 1

    def _figures(self, query: BalanceQuery) -> Any:
        if query.account.id in self.failing_ids:
            return ProviderTimeout("The provider did not answer.", retry_after_s=2.5)
        number = int(query.account.id[1:])
        minor = (number * 10**number + query.as_of.toordinal() + self.offset) * (-1) ** number
        bank = None if number in (2, 6) else Money(minor, query.account.currency)
        ledger = None if number in (5, 6) else Money(minor + 7, query.account.currency)
        return BalanceFigures(
            query.as_of,
            bank,
            ledger,
            bank_missing=MissingReason.BEFORE_OPENING if bank is None else None,
            ledger_missing=MissingReason.NOT_IN_FILE if ledger is None else None,
        )

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        if account.id in self.failing_ids:
            raise Unsupported("This provider has no opening balances.")
        number = int(account.id[1:])
        if number == 3:
            return None
        is_odd = number % 2 == 1
        return OpeningBalance(
            Money(number * 10**20, account.currency),
            None if number == 6 else START - timedelta(days=number),
            list(OpeningBalanceSource)[number % 3],
            created_at=START - timedelta(days=400) if is_odd else None,
            updated_at=START - timedelta(hours=number) if is_odd else None,
            memo="memo\n" if is_odd else None,
            reference_number=f"REF-{number}" if is_odd else None,
            tags=TAGS[: number % 3],
            metadata={"deep": [1, {"x": None}]} if number else None,
        )

    async def bank_feeds(
        self, accounts: Sequence[Account]
    ) -> Sequence[BankFeed | GatewayError | None]:
        return [self._feed(account) for account in accounts]

    def _feed(self, account: Account) -> BankFeed | GatewayError | None:
        if account.id in self.failing_ids:
            return ProviderTimeout("The provider did not answer.")
        number = int(account.id[1:])
        if number == 2:
            return None
        at = None if number == 3 else START - timedelta(days=number)
        latest = None if number == 5 else ReportedFigure(number * 10**20, at)
        return BankFeed(list(BankFeedState)[number % 6], at, at, number % 2 == 0, latest)

    async def normal_balance(self, account: Account) -> Side:
        if account.normal_balance is None and account.id in self.failing_ids:
            raise SideUnknown("The side is not known.", account_id=account.id)
        return account.normal_balance or Side.CREDIT


@dataclass
class HealthWatch:
    """Reports a connector that has failed, or that has a call budget, as the provider behaves."""

    provider: FiguresProvider

    def count_changes(self, _connector: str) -> int:
        return self.provider.status_changes

    def status(self, connector: str) -> ConnectorStatus:
        if self.provider.failing_ids:
            failure = ErrorCode.PROVIDER_TIMEOUT
            return ConnectorStatus(
                HealthState.DOWN,
                None,
                START,
                failure,
                unchanged_until_s=float("inf"),
                down_since=START,
                retry_at=START,
            )
        return ConnectorStatus(
            HealthState.UP, START, None, None, 300, 299, START, unchanged_until_s=float("inf")
        )


@dataclass
class GatewayHarness:
    """A gateway with both engines; a test controls its clock and its provider.

    Attributes:
        now: the current instant.
        provider: the only provider.
        fences: fences of the cache; None: fences in memory.
        values: store of the cache.
        request_timeout_s: of both engines.
        environment: the configured name of the environment; empty for none.
        compiled: the engine with the compiled executor.
        graphql_core: the engine without it.
    """

    now: datetime = START
    provider: FiguresProvider = field(default_factory=FiguresProvider)
    fences: Fences | None = None
    values: LocalStore | RedisStore = field(default_factory=lambda: MemoryStore(1000))
    request_timeout_s: float = 10.0
    environment: str = ""

    def __post_init__(self) -> None:
        keys = {
            account.id: compute_account_keys(account, PROVIDERS[account.provider], {})
            for account in ACCOUNTS
        }
        memory_fences = MemoryFences(30.0, self._read_clock)
        self.reads = CachedReads(
            providers={"main": self.provider},
            keys=keys,
            fences=self.fences or memory_fences,
            values=self.values,
            lifetimes=Lifetimes(30.0, 600.0, 3600.0, 86_400.0),
            clock=lambda: self.now,
            feed_readers={"main": self.provider},
            accounts=ACCOUNTS,
        )
        directory = Directory(
            ACCOUNTS, [Connector("main", ProviderKind.LIGHT, frozenset(Capability))]
        )
        watch = HealthWatch(self.provider)
        self.gateway = Gateway(
            directory,
            self.reads,
            FakeWriter(self.reads, directory),
            watch,
            lambda: self.now,
            FakeReconciler(FakeHistory()),
            FakeHistory(),
            FakeStorageChanges(),
            build_plans(directory, lambda: self.now),
            self.environment,
            explainer=FakeExplainer(self.reads),
            audit_log=FakeAuditLog(),
        )
        self.graphql_core = Engine(
            self.gateway, limits=LIMITS, request_timeout_s=self.request_timeout_s
        )
        self.compiled = CompiledEngine(
            self.graphql_core,
            self.gateway,
            limits=LIMITS,
            request_timeout_s=self.request_timeout_s,
            metrics=Metrics(),
        )

    def _read_clock(self) -> float:
        return self.now.timestamp()

    async def send(
        self,
        engine: Engine | CompiledEngine,
        query: str,
        variables: dict[str, Any] | None = None,
        principal: Principal = READER,
        operation_name: str | None = None,
    ) -> Any:
        """Send a request through all stages of an engine and return the response's bytes."""
        caller = Caller(principal, "request")
        body = orjson.dumps([query, variables, operation_name])
        check = engine.check_changes()
        may_recall = check is None or await check
        response = engine.cached_response(body, caller) if may_recall else None
        if response is not None:
            return response.body
        try:
            operation = engine.prepare(GraphQLRequest(query, variables, operation_name))
        except RequestRefused as refused:
            return build_refusal_response(refused).body
        may_cache = may_recall and engine.may_cache(caller)
        response = engine.try_cached(operation, caller, body) if may_cache else None
        if response is not None:
            return response.body
        return (await engine.execute(operation, caller, body, may_recall=may_recall)).body

    async def write(self, account_id: str) -> None:
        """Change the account's values between the begin and the end of a fenced write."""
        account = next(account for account in ACCOUNTS if account.id == account_id)
        await self.reads.begin_write(account, "a write")
        self.provider.offset += 1_000_000
        await self.reads.end_write(account, "a write")


async def run_history(
    harness: GatewayHarness, engine: Engine | CompiledEngine, queries: list[str]
) -> list[Any]:
    """Send the queries while values are live, cached, stale and missing; return the responses."""
    responses = []
    for seconds, failing in ((0, False), (1, False), (40, True), (200_000, True)):
        harness.now += timedelta(seconds=seconds)
        harness.provider.failing_ids = {each.id for each in ACCOUNTS} if failing else set()
        responses += [await harness.send(engine, query) for query in queries]
    return responses


def find_plan(operation: CompiledOperation) -> Plan | None:
    """Return the plan of an operation; None when graphql-core executes it."""
    return operation.plan


def is_same_response(one: Any, other: Any) -> bool:
    """Whether two responses are equal byte for byte, except for the order of their errors.

    graphql-core lists errors in the order in which the reads end, which GraphQL leaves open.
    """
    if not isinstance(one, bytes) or not isinstance(other, bytes):
        return bool(one == other)
    if b'"errors"' not in one:
        return one == other
    first, second = orjson.loads(one), orjson.loads(other)
    return _data_bytes(one) == _data_bytes(other) and sorted(
        map(orjson.dumps, first["errors"])
    ) == sorted(map(orjson.dumps, second["errors"]))


def _data_bytes(response: bytes) -> bytes:
    return response.split(b',"errors":')[0]
