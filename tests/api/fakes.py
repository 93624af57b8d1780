"""In-memory fakes of the API's dependencies, and a real HTTP server for them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import uvicorn
from prometheus_client import CollectorRegistry
from uvicorn.server import ServerState

from balance_gateway.api.execution.engine import Engine
from balance_gateway.api.request.limits import Limits
from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.accounts import Account, Capability, ProviderKind, Side
from balance_gateway.domain.audit import AuditEntry
from balance_gateway.domain.balances import BalanceFigures, OpeningBalance, OpeningBalanceSource
from balance_gateway.domain.errors import AccountNotFound, GatewayError
from balance_gateway.domain.evidence import Evidence
from balance_gateway.domain.health import ConnectorStatus, HealthState
from balance_gateway.domain.money import Money, parse_minor_units
from balance_gateway.domain.writes import UnsettledWrite, WriteRecord
from balance_gateway.ports.audit_log import AuditFilter
from balance_gateway.ports.explanations import Explained, Overlap
from balance_gateway.ports.reads import BalanceRequest, FreshnessState, Observed
from balance_gateway.ports.write_journal import WriteFilter, WritePosition
from balance_gateway.server.answering_protocol import AnsweringProtocol
from balance_gateway.service.directory import Connector, Directory
from balance_gateway.service.gateway import Gateway
from balance_gateway.service.opening_balances import Applied, Rejected, UpsertRequest, UpsertResult
from balance_gateway.web.auth import ApiKey, ApiKeys
from balance_gateway.web.cors import CorsPolicy
from balance_gateway.web.graphql import EndpointLimits, GraphQLEndpoint
from balance_gateway.web.health_endpoints import HealthEndpoints
from balance_gateway.web.load_shedding import LoadShedder
from balance_gateway.web.persisted_queries import PersistedQueries
from balance_gateway.web.routes import build_web_app
from tests.http_clients import WITHOUT_TLS
from tests.service.plan_fakes import FakePlanStore, build_plans

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
READ, ADMIN, OTHER, AUDITOR = "key-read", "key-admin", "key-other", "key-auditor"
BOTH = frozenset({Scope.BALANCES_READ, Scope.BALANCES_WRITE})


def account(account_id: str, **changes: Any) -> Account:
    facts: dict[str, Any] = {
        "id": account_id,
        "tenant": "acme",
        "connector": "light_eu",
        "provider": ProviderKind.LIGHT,
        "name": account_id.replace("_", " "),
        "currency": "EUR",
        "time_zone": ZoneInfo("UTC"),
    }
    return Account(**{**facts, **changes})


def accounts() -> list[Account]:
    return [
        account("acct_operating", name="Operating EUR"),
        account(
            "acct_card",
            name="Card USD",
            currency="USD",
            connector="asset_us",
            provider=ProviderKind.ASSET,
            normal_balance=Side.CREDIT,
        ),
        account("acct_yen", name="Yen", currency="JPY", time_zone=ZoneInfo("Asia/Tokyo")),
        account("acct_dinar", name="Dinar", currency="KWD", time_zone=ZoneInfo("America/Lima")),
        account("acct_savings", name="Savings EUR"),
        account("acct_foreign", name="Foreign account", tenant="globex"),
    ]


def observed(value: Any, age_s: float = 0.0, **changes: Any) -> Observed[Any]:
    facts = {"state": FreshnessState.LIVE, "stale_reason": None, **changes}
    return Observed(
        value=value, observed_at=datetime.fromtimestamp(NOW.timestamp() - age_s, UTC), **facts
    )


ReadResult = Observed[Any] | GatewayError | Exception


@dataclass
class FakeReads:
    """Returns 100.00 at the bank and 90.00 in the ledger, unless a result is set.

    Attributes:
        balance_answers: balances by account id.
        opening_answers: opening balances by account id; None is set for any other.
        sides: normal sides by account id; DEBIT for any other.
        feed_answers: bank feeds by account id; None for any other.
        gate: reads wait for it; None does not wait.
        whole_call: raised by every read instead of results.
    """

    balance_answers: dict[str, ReadResult] = field(default_factory=dict)
    opening_answers: dict[str, ReadResult] = field(default_factory=dict)
    sides: dict[str, Side | Exception] = field(default_factory=dict)
    feed_answers: dict[str, ReadResult] = field(default_factory=dict)
    feed_calls: list[list[str]] = field(default_factory=list)
    calls: list[list[BalanceRequest]] = field(default_factory=list)
    opening_calls: list[list[str]] = field(default_factory=list)
    side_calls: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None
    cancelled: int = 0
    whole_call: Exception | None = None

    async def _wait(self) -> None:
        await asyncio.sleep(0)  # A real read lets the event loop turn as well.
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if self.whole_call is not None:
            raise self.whole_call

    async def balances(
        self, requests: Sequence[BalanceRequest]
    ) -> Sequence[Observed[BalanceFigures] | GatewayError]:
        self.calls.append(list(requests))
        await self._wait()
        return [self._balance(request) for request in requests]

    def _balance(self, request: BalanceRequest) -> Any:
        if request.account.id in self.balance_answers:
            return self.balance_answers[request.account.id]
        currency = request.account.currency
        return observed(
            BalanceFigures(request.as_of, Money(10_000, currency), Money(9_000, currency))
        )

    async def opening_balances(self, accounts: Sequence[Account]) -> Any:
        self.opening_calls.append([account.id for account in accounts])
        await self._wait()
        return [self.opening_answers.get(account.id, observed(None)) for account in accounts]

    async def bank_feeds(self, accounts: Sequence[Account]) -> Any:
        self.feed_calls.append([account.id for account in accounts])
        await self._wait()
        return [self.feed_answers.get(account.id, observed(None)) for account in accounts]

    def is_in_storage(self, account: Account) -> bool:
        return account.provider is ProviderKind.LOCAL

    async def normal_balance(self, account: Account) -> Side:
        self.side_calls.append(account.id)
        side = self.sides.get(account.id, Side.DEBIT)
        if isinstance(side, Exception):
            raise side
        return side


@dataclass
class FakeWriter:
    """Applies every write and sets it as the opening balance in ``FakeReads``."""

    reads: FakeReads
    directory: Directory
    requests: list[UpsertRequest] = field(default_factory=list)
    results: dict[str, UpsertResult | Exception] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)
    finished: int = 0
    under_way: int = 0

    async def upsert(self, principal: Principal, request: UpsertRequest) -> UpsertResult:
        self.requests.append(request)
        self.under_way += 1
        assert self.under_way == 1, "writes of one mutation overlap"
        self.started.set()
        if self.gate is not None:
            await self.gate.wait()
        self.under_way -= 1
        self.finished += 1
        result = self.results.get(request.account_id)
        if isinstance(result, Exception):
            raise result
        return result or self._applied(principal, request)

    def _applied(self, principal: Principal, request: UpsertRequest) -> UpsertResult:
        try:
            found = self.directory.account(principal, request.account_id)
            minor_units = request.minor_units
            if minor_units is None:
                assert request.amount_text is not None
                minor_units = parse_minor_units(request.amount_text, request.currency)
        except (AccountNotFound, GatewayError) as error:
            return Rejected(error.code, error.message, error.retryable, error.field)
        applied = observed(
            OpeningBalance(
                Money(minor_units, found.currency),
                request.effective_at,
                OpeningBalanceSource.PROVIDER,
                memo=request.memo,
            )
        )
        self.reads.opening_answers[found.id] = applied
        return Applied(found, applied, verified=True, replayed=False, write_id="write-1")


class FakeReconciler:
    """Knows the unsettled writes that a test sets, and settles any recorded write.

    Attributes:
        unsettled: by account id.
        settled: the arguments of each settlement.
        failing: raised by every settlement.
    """

    def __init__(self, history: "FakeHistory") -> None:
        self.history = history
        self.unsettled: dict[str, UnsettledWrite | WriteRecord] = {}
        self.calls: list[list[str]] = []
        self.settled: list[tuple[str, str, bool, str]] = []
        self.failing: Exception | None = None

    async def find_unsettled(
        self, accounts: Sequence[Account]
    ) -> dict[str, UnsettledWrite | WriteRecord]:
        self.calls.append([account.id for account in accounts])
        known = {account.id for account in accounts}
        return {key: found for key, found in self.unsettled.items() if key in known}

    async def settle_by_hand(
        self, principal: Principal, write_id: str, *, applied: bool, note: str
    ) -> WriteRecord:
        if self.failing is not None:
            raise self.failing
        self.settled.append((principal.name, write_id, applied, note))
        record = await self.history.by_id(principal.tenant, write_id)
        assert record is not None
        return record


class FakeHistory:
    """Has the records that a test adds, oldest first."""

    def __init__(self) -> None:
        self.records: list[WriteRecord] = []
        self.pages: list[tuple[WriteFilter, int]] = []

    async def by_id(self, tenant: str, write_id: str) -> WriteRecord | None:
        for record in self.records:
            if (record.intent.tenant, record.intent.id) == (tenant, write_id):
                return record
        return None

    async def page(
        self, tenant: str, selected: WriteFilter, limit: int, after: WritePosition | None
    ) -> list[WriteRecord]:
        self.pages.append((selected, limit))
        own = [record for record in reversed(self.records) if record.intent.tenant == tenant]
        if after is not None:
            own = [one for one in own if one.intent.started_at < after.started_at]
        return own[:limit]


class FakeExplainer:
    """Explains what ``FakeReads`` returns, without evidence unless a test sets some.

    Attributes:
        balances: explained balances by account id.
    """

    def __init__(self, reads: Any) -> None:
        self.reads = reads
        self.balances: dict[str, Explained[Any]] = {}

    async def explain_balance(self, request: BalanceRequest) -> Explained[Any]:
        if request.account.id in self.balances:
            return self.balances[request.account.id]
        [result] = await self.reads.balances([request])
        return Explained(result, None, result, Evidence())

    async def explain_opening_balance(self, account: Account) -> Explained[Any]:
        [result] = await self.reads.opening_balances([account])
        return Explained(result, None, result, Evidence())

    async def find_overlaps(self, request: BalanceRequest) -> list[Overlap]:
        return []


class FakeAuditLog:
    """Has the entries that a test adds, with their tenant, oldest first."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, AuditEntry]] = []
        self.pages: list[tuple[AuditFilter, int, bool]] = []

    async def page(
        self,
        tenant: str,
        selected: AuditFilter,
        limit: int,
        after: int | None,
        *,
        oldest_first: bool = False,
    ) -> list[AuditEntry]:
        self.pages.append((selected, limit, oldest_first))
        own = [entry for owner, entry in self.entries if owner == tenant]
        if oldest_first:
            return [one for one in own if after is None or one.number > after][:limit]
        return [one for one in reversed(own) if after is None or one.number < after][:limit]


class FakeStorageChanges:
    """Shows a change at every look."""

    def __init__(self) -> None:
        self.version = 0

    def look_now(self) -> int | None:
        self.version += 1
        return self.version

    async def look(self) -> int:
        self.version += 1
        return self.version


class FakeWatch:
    def count_changes(self, connector: str) -> int:
        return 0

    def status(self, connector: str) -> ConnectorStatus:
        return ConnectorStatus(
            HealthState.DEGRADED,
            last_failure_at=NOW,
            last_failure_code="PROVIDER_TIMEOUT",
            requests_per_minute=300,
            remaining=299,
            refills_at=NOW,
        )


def build_idle_load_shedder(limits: EndpointLimits | None = None) -> LoadShedder:
    """Build a load shedder that takes no notice of other work on the machine of the tests.

    Otherwise a pause of half a second in a test's process leaves a response uncompressed.
    """
    return LoadShedder(
        (limits or EndpointLimits()).load, monotonic_s=lambda: 0.0, cpu_s=lambda: 0.0
    )


class GatewayHarness:
    """A gateway with fake dependencies, and its web application."""

    def __init__(self, known: Sequence[Account] | None = None) -> None:
        self.now = NOW
        self.clock_calls = 0
        self.directory = Directory(
            accounts() if known is None else known,
            [
                Connector("light_eu", ProviderKind.LIGHT, frozenset(Capability)),
                Connector(
                    "asset_us", ProviderKind.ASSET, frozenset({Capability.READ_BANK_BALANCE})
                ),
            ],
        )
        self.reads = FakeReads()
        self.writer = FakeWriter(self.reads, self.directory)
        self.history = FakeHistory()
        self.reconciler = FakeReconciler(self.history)
        self.plan_store = FakePlanStore()
        self.explainer = FakeExplainer(self.reads)
        self.audit_log = FakeAuditLog()
        self.gateway = Gateway(
            self.directory,
            self.reads,
            self.writer,
            FakeWatch(),
            self._clock,
            self.reconciler,
            self.history,
            FakeStorageChanges(),
            build_plans(self.directory, self._clock, self.plan_store),
            explainer=self.explainer,
            audit_log=self.audit_log,
        )
        self.checks: dict[str, Callable[[], Any]] = {}
        self.endpoint: GraphQLEndpoint | None = None
        self.operations: HealthEndpoints | None = None

    def _clock(self) -> datetime:
        self.clock_calls += 1
        return self.now

    def app(
        self,
        *,
        limits: Limits | None = None,
        request_timeout_s: float = 10.0,
        endpoint_limits: EndpointLimits | None = None,
        cors: CorsPolicy | None = None,
        root_path: str = "",
        metrics_key: str | None = None,
        persisted_queries: PersistedQueries | None = None,
    ) -> Any:
        engine = Engine(self.gateway, limits=limits, request_timeout_s=request_timeout_s)
        self.endpoint = GraphQLEndpoint(
            engine,
            ApiKeys(api_keys()),
            endpoint_limits,
            cors=cors,
            persisted_queries=persisted_queries,
            load_shedder=build_idle_load_shedder(endpoint_limits),
        )
        self.operations = HealthEndpoints(
            checks=self.checks,
            registry=CollectorRegistry(),
            check_timeout_s=0.2,
            metrics_key_sha256=metrics_key and hashlib.sha256(metrics_key.encode()).digest(),
        )
        return build_web_app(graphql=self.endpoint, operations=self.operations, root_path=root_path)


def api_keys() -> list[ApiKey]:
    def key(secret: str, tenant: str, *scopes: Scope) -> ApiKey:
        digest = hashlib.sha256(secret.encode()).digest()
        return ApiKey(secret, digest, tenant, frozenset(scopes))

    return [
        key(READ, "acme", Scope.BALANCES_READ),
        key(ADMIN, "acme", *BOTH),
        key(OTHER, "globex", *BOTH),
        key(AUDITOR, "acme", Scope.AUDIT_READ),
    ]


@asynccontextmanager
async def run_server(app: Any) -> AsyncIterator[str]:
    """Run a real server of the application on a free port, and yield its URL."""
    # Without uvicorn's server object, which checks only every 100 ms whether it should stop.
    config = uvicorn.Config(
        app,
        log_level="critical",
        lifespan="off",
        http=AnsweringProtocol,
        ws="none",
        proxy_headers=False,
    )
    config.load()
    state = ServerState()
    listener = await asyncio.get_running_loop().create_server(
        lambda: config.http_protocol_class(config=config, server_state=state, app_state={}),
        host="127.0.0.1",
    )
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        for connection in list(state.connections):
            connection.shutdown()
        while state.tasks:
            await asyncio.wait(list(state.tasks), timeout=5)


@dataclass
class Client:
    """A GraphQL client of a server."""

    http: httpx.AsyncClient
    key: str = READ

    async def post(
        self, query: str, variables: dict[str, Any] | None = None, **parameters: Any
    ) -> httpx.Response:
        key = parameters.pop("key", self.key)
        body = {"query": query, "variables": variables, **parameters}
        return await self.http.post(
            "/graphql", json=body, headers={"Authorization": f"Bearer {key}"}
        )

    async def ask(
        self, query: str, variables: dict[str, Any] | None = None, **parameters: Any
    ) -> dict[str, Any]:
        response = await self.post(query, variables, **parameters)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def data(
        self, query: str, variables: dict[str, Any] | None = None, **parameters: Any
    ) -> dict[str, Any]:
        answer = await self.ask(query, variables, **parameters)
        assert "errors" not in answer, answer
        found: dict[str, Any] = answer["data"]
        return found


@asynccontextmanager
async def open_client(harness: GatewayHarness, **settings: Any) -> AsyncIterator[Client]:
    """Run a server for the harness, and yield its client."""
    async with (
        run_server(harness.app(**settings)) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=20, verify=WITHOUT_TLS) as http,
    ):
        yield Client(http)


DAY = date(2026, 11, 20)
