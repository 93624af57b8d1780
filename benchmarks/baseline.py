"""The baseline of the benchmarks: a simple gateway with Strawberry, DataLoader, aiocache and httpx.

Strawberry's caches of parsed and validated documents are on, and pools and timeouts are large
enough that nothing fails. It supports the queries of the benchmarks only: no limits, no rate
limiter, no retries, no errors by account, no tenants, no writes.

Environment variables: ``UPSTREAM_URL``, the base URL of the providers; ``CACHE_URL``, the cache
(``memory://``, ``redis://…``, or empty for no cache); ``BENCHMARK_KEY``, the required bearer key.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import aiocache
import httpx
import strawberry
from aiocache.serializers import JsonSerializer
from starlette.applications import Starlette
from starlette.routing import Route
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.extensions import ParserCache, ValidationCache

from benchmarks import accounts

UPSTREAM_URL = os.environ.get("UPSTREAM_URL", "")
CACHE_URL = os.environ.get("CACHE_URL", "")
TTL_S = 600
KEY = os.environ.get("BENCHMARK_KEY", "")

Loaded = dict[str, Any]


def _build_cache() -> Any:
    if CACHE_URL.startswith("redis"):
        host, _, port = CACHE_URL.removeprefix("redis://").split("/")[0].partition(":")
        return aiocache.Cache(
            aiocache.Cache.REDIS,
            endpoint=host,
            port=int(port),
            serializer=JsonSerializer(),
            pool_max_size=2_000,
        )
    return aiocache.Cache(aiocache.Cache.MEMORY)


cache = _build_cache()
client = httpx.AsyncClient(base_url=UPSTREAM_URL, trust_env=False, timeout=30)


async def get_or_load(key: str, load: Callable[[], Awaitable[Any]]) -> Any:
    """Return the cached value, or load a value and cache it."""
    if not CACHE_URL:
        return await load()
    value = await cache.get(key)
    if value is None:
        value = await load()
        await cache.set(key, value, ttl=TTL_S)
    return value


async def get_json(path: str, **params: str) -> Any:
    """Request a path of the provider and return the decoded JSON."""
    response = await client.get(path, params=params)
    response.raise_for_status()
    return response.json()


async def _fetch(account: str, as_of: str) -> Loaded:
    kind, _, digits = account.partition("-")
    observed_at = datetime.now(UTC).isoformat()
    business = accounts.BUSINESS
    if kind == "light":
        remote = accounts.build_remote_id("light", int(digits))
        figures = await get_json(f"/v1/bank-accounts/{remote}/balance", asOf=as_of)
        bank, ledger = figures["bankBalance"], figures["ledgerBalance"]
    elif kind == "asset":
        path = f"/v0/business/{business}/reports/trial-balance"
        report = await get_or_load(
            f"asset:{as_of}",
            lambda: get_json(path, end_datetime=f"{as_of}T23:59:59Z", basis="accrual"),
        )
        rows = {row["ledger_id"]: row for row in report["data"]}
        row = rows[f"ledger-{digits}"]
        bank, ledger = None, round((row["debit"] - row["credit"]) * 100)
    else:
        path = f"/v1/businesses/{business}/ledger/balances"
        tree = await get_or_load(
            f"layer:{as_of}", lambda: get_json(path, end_date=f"{as_of}T23:59:59Z")
        )
        bank = None
        ledger = next(a for a in tree["accounts"] if a["id"] == f"ledger-{digits}")["balance"]
    return {"bank": bank, "ledger": ledger, "observed_at": observed_at}


async def load_balances(keys: list[tuple[str, str]]) -> list[Loaded]:
    """Load the balances of accounts; each key is an account id and a day."""
    return await asyncio.gather(
        *(
            get_or_load(f"{account}:{day}", lambda a=account, d=day: _fetch(a, d))
            for account, day in keys
        )
    )


@strawberry.type
class Money:
    minor_units: str
    amount: str
    currency: str
    exponent: int


@strawberry.type
class Freshness:
    state: str
    observed_at: str
    age_seconds: int
    stale_reason: str | None


def build_money(minor_units: int | None, currency: str) -> Money | None:
    """Build an amount with two decimals; None without an amount."""
    if minor_units is None:
        return None
    amount = str(Decimal(minor_units).scaleb(-2))
    return Money(minor_units=str(minor_units), amount=amount, currency=currency, exponent=2)


@strawberry.type
class Balance:
    as_of: date
    bank: Money | None
    ledger: Money | None
    difference: Money | None
    freshness: Freshness


@strawberry.type
class OpeningBalance:
    amount: Money
    source: str


@strawberry.interface
class Node:
    id: strawberry.ID


@strawberry.type
class BankAccount(Node):
    @strawberry.field
    def currency(self) -> str:
        return accounts.get_currency(self.id.partition("-")[0])

    @strawberry.field
    async def balance(self, info: strawberry.Info, as_of: date) -> Balance | None:
        loaded = await info.context["balances"].load((self.id, as_of.isoformat()))
        currency = accounts.get_currency(self.id.partition("-")[0])
        bank, ledger = loaded["bank"], loaded["ledger"]
        difference = None if bank is None else bank - ledger
        observed_at = datetime.fromisoformat(loaded["observed_at"])
        age_s = int((datetime.now(UTC) - observed_at).total_seconds())
        return Balance(
            as_of=as_of,
            bank=build_money(bank, currency),
            ledger=build_money(ledger, currency),
            difference=build_money(difference, currency),
            freshness=Freshness(
                state="CACHED",
                observed_at=loaded["observed_at"],
                age_seconds=age_s,
                stale_reason=None,
            ),
        )

    @strawberry.field
    async def opening_balance(self, info: strawberry.Info) -> OpeningBalance | None:
        loaded = await info.context["balances"].load((self.id, accounts.BEFORE_ALL))
        return OpeningBalance(amount=build_money(loaded["bank"], "EUR"), source="DERIVED")


@strawberry.type
class CurrencyTotal:
    currency: str
    bank: Money | None
    ledger: Money | None
    included: int


@strawberry.input
class BankAccountFilter:
    ids: list[strawberry.ID]


@strawberry.type
class Query:
    @strawberry.field
    def bank_account(self, id: strawberry.ID) -> BankAccount | None:
        return BankAccount(id=id)

    @strawberry.field
    def nodes(self, ids: list[strawberry.ID]) -> list[Node | None]:
        return [BankAccount(id=account_id) for account_id in ids]

    @strawberry.field
    async def balance_totals(
        self, info: strawberry.Info, filter: BankAccountFilter, as_of: date
    ) -> list[CurrencyTotal]:
        keys = [(account_id, as_of.isoformat()) for account_id in filter.ids]
        loaded = await info.context["balances"].load_many(keys)
        return [
            CurrencyTotal(
                currency="EUR",
                bank=build_money(sum(balance["bank"] for balance in loaded), "EUR"),
                ledger=build_money(sum(balance["ledger"] for balance in loaded), "EUR"),
                included=len(loaded),
            )
        ]


class Endpoint(GraphQL):
    async def get_context(self, request: Any, response: Any = None) -> Any:
        if KEY and request.headers.get("authorization") != f"Bearer {KEY}":
            raise PermissionError
        return {"balances": DataLoader(load_fn=load_balances)}


@contextlib.asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[None]:
    yield
    await client.aclose()


schema = strawberry.Schema(
    query=Query, types=[BankAccount], extensions=[ParserCache(1_000), ValidationCache(1_000)]
)
app = Starlette(
    routes=[Route("/graphql", Endpoint(schema), methods=["GET", "POST"])], lifespan=_lifespan
)
