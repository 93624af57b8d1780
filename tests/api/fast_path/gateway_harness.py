"""Two engines over one set of real reads: the compiled one, and graphql-core's alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from balance_gateway.api.execution.engine import Engine, GraphQLRequest, build_refusal_response
from balance_gateway.api.fast_path.engine import FastPathEngine
from balance_gateway.api.request.context import Caller
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.errors import RequestRefused
from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.accounts import Account, Capability, ProviderKind, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    OpeningBalance,
    OpeningBalanceSource,
    Tag,
)
from balance_gateway.domain.errors import GatewayError, ProviderTimeout, Unsupported
from balance_gateway.domain.money import Money
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.cache.cache_keys import account_keys
from balance_gateway.pipeline.cache.cache_store import CacheStore, MemoryStore
from balance_gateway.pipeline.cache.cached_reads import CachedReads, Lifetimes
from balance_gateway.pipeline.cache.fence import Fences, MemoryFences
from balance_gateway.service.directory import Connector, Directory
from balance_gateway.service.gateway import Gateway
from tests.api.fakes import FakeWatch, FakeWriter
from tests.pipeline.fakes import FakeProvider

START = datetime(2026, 5, 7, 22, 30, tzinfo=UTC)
READER = Principal("reader", "acme", frozenset({Scope.BALANCES_READ}))
NOBODY = Principal("nobody", "acme", frozenset())
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
    )


ACCOUNTS = [_account(number) for number in range(8)]


class BookProvider(FakeProvider):
    """Each account and day has figures of its own; some accounts fail, or have none set."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = 0
        self.down: set[str] = set()

    def _figures(self, query: BalanceQuery) -> Any:
        if query.account.id in self.down:
            return ProviderTimeout("The provider did not answer.", retry_after_s=2.5)
        number = int(query.account.id[1:])
        minor = (number * 10**number + query.as_of.toordinal() + self.shift) * (-1) ** number
        bank = None if number == 2 else Money(minor, query.account.currency)
        return BalanceFigures(query.as_of, bank, Money(minor + 7, query.account.currency))

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        if account.id in self.down:
            raise Unsupported("This provider cannot be asked.")
        number = int(account.id[1:])
        if number == 3:
            return None
        tag = Tag("t", "key", "välue", "d", "e", archived_at=START if number % 2 else None)
        return OpeningBalance(
            Money(number * 10**20, account.currency),
            START - timedelta(days=number),
            OpeningBalanceSource.PROVIDER,
            memo="memo\n" if number % 2 else None,
            tags=(tag,) * (number % 3),
            metadata={"deep": [1, {"x": None}]} if number else None,
        )

    async def normal_balance(self, account: Account) -> Side:
        return account.normal_balance or Side.CREDIT


@dataclass
class World:
    """A gateway whose clock and provider a test moves."""

    now: datetime = START
    provider: BookProvider = field(default_factory=BookProvider)
    fences: Fences | None = None
    values: CacheStore = field(default_factory=lambda: MemoryStore(1000))
    request_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        keys = {account.id: account_keys(account, "", {}) for account in ACCOUNTS}
        own = MemoryFences(30.0, lambda: self.now.timestamp())  # noqa: PLW0108 (it moves)
        self.reads = CachedReads(
            providers={"main": self.provider},
            keys=keys,
            fences=self.fences or own,
            values=self.values,
            lifetimes=Lifetimes(30.0, 600.0, 3600.0, 86_400.0),
            clock=lambda: self.now,
        )
        directory = Directory(
            ACCOUNTS, [Connector("main", ProviderKind.LIGHT, frozenset(Capability))]
        )
        self.gateway = Gateway(
            directory, self.reads, FakeWriter(self.reads, directory), FakeWatch(), lambda: self.now
        )
        self.plain = Engine(self.gateway, request_timeout_s=self.request_timeout_s)
        self.compiled = FastPathEngine(
            self.plain,
            self.gateway,
            limits=Limits(),
            request_timeout_s=self.request_timeout_s,
            metrics=Metrics(),
        )

    async def answer(
        self,
        engine: Engine | FastPathEngine,
        query: str,
        variables: dict[str, Any] | None = None,
        principal: Principal = READER,
        operation_name: str | None = None,
    ) -> Any:
        """The answer's bytes, by every way that an engine has; refusals as their errors."""
        caller = Caller(principal, "request")
        body = orjson.dumps([query, variables, operation_name])
        remembered = engine.cached_response(body, caller)
        if remembered is not None:
            return remembered.body
        try:
            operation = engine.prepare(GraphQLRequest(query, variables, operation_name))
        except RequestRefused as refused:
            return build_refusal_response(refused).body
        ready = engine.try_cached(operation, caller, body)
        if ready is not None:
            return ready.body
        return (await engine.execute(operation, caller)).body

    async def write(self, account_id: str) -> None:
        """What a write does around the provider's call: fences, and another value."""
        account = next(account for account in ACCOUNTS if account.id == account_id)
        await self.reads.begin_write(account, "a write")
        self.provider.shift += 1_000_000
        await self.reads.end_write(account, "a write")


def same(one: Any, other: Any) -> bool:
    """Whether two answers are alike to the byte; errors may stand in another order.

    graphql-core tells them in the order in which reads happen to end, which GraphQL leaves open.
    """
    if not isinstance(one, bytes) or not isinstance(other, bytes):
        return bool(one == other)
    if b'"errors"' not in one:
        return one == other
    first, second = orjson.loads(one), orjson.loads(other)
    return _data(one) == _data(other) and sorted(map(orjson.dumps, first["errors"])) == sorted(
        map(orjson.dumps, second["errors"])
    )


def _data(answer: bytes) -> bytes:
    return answer.split(b',"errors":')[0]


def failures(answers: Sequence[Any]) -> list[GatewayError]:
    """The errors among answers."""
    return [answer for answer in answers if isinstance(answer, GatewayError)]


TODAY = date(2026, 5, 7)
