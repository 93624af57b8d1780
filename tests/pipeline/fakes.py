"""Stand-ins of our own ports: a provider that does what a test says, caches out of reach."""

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from balance_gateway.domain.accounts import Account, Capability, ProviderKind, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    OpeningBalance,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.domain.errors import CacheUnavailable, GatewayError
from balance_gateway.domain.money import Money
from balance_gateway.pipeline.cache.cache_keys import account_keys
from balance_gateway.pipeline.cache.cache_store import CacheEntry, CacheStore, MemoryStore
from balance_gateway.pipeline.cache.cached_reads import CachedReads, Lifetimes
from balance_gateway.pipeline.cache.fence import Fences, FenceState, MemoryFences
from balance_gateway.ports.cache_validity import (
    LocalCacheVersions,
)
from balance_gateway.ports.call_context import (
    Priority,
    current_call,
)
from balance_gateway.ports.reads import (
    BalanceRequest,
)
from tests.pipeline.virtual_time import VirtualTime

TODAY = date(2026, 5, 7)
EVERYTHING = frozenset(Capability)
REMOTE_IDS = {
    ProviderKind.LIGHT: ("bank_account_id",),
    ProviderKind.ASSET: ("business_id", "ledger_id"),
    ProviderKind.LAYER: ("business_id", "external_account_id"),
    ProviderKind.LOCAL: (),
}


def account(account_id: str = "acct_a", **changes: Any) -> Account:
    """An account at Light in euros, unless told otherwise."""
    kind = changes.get("provider", ProviderKind.LIGHT)
    facts: dict[str, Any] = {
        "id": account_id,
        "tenant": "acme",
        "connector": "main",
        "provider": kind,
        "name": account_id,
        "currency": "EUR",
        "time_zone": ZoneInfo("UTC"),
        "remote": MappingProxyType({key: f"{key} of {account_id}" for key in REMOTE_IDS[kind]}),
    }
    return Account(**{**facts, **changes})


def request(of: Account, **changes: Any) -> BalanceRequest:
    """Today's balance of an account."""
    return BalanceRequest(**{"account": of, "as_of": TODAY, "is_today": True, **changes})


def opening(minor_units: int, currency: str = "EUR", **more: Any) -> OpeningBalance:
    facts = {"effective_at": None, "source": OpeningBalanceSource.PROVIDER, **more}
    return OpeningBalance(Money(minor_units, currency), **facts)


class FakeProvider:
    """A provider whose every account has the same ledger balance, and which can be told to fail.

    Attributes:
        value: the ledger figure, in minor units.
        calls: the account ids of each call for balances.
        opening_calls: how many opening balances were asked for.
        moods: the urgency and the patience of each call.
        failures: raised by the next calls, one each; None in between stands for a success.
        failing: raised by every call, when it is set.
        wait: awaited by every call, after it was counted and its value was looked up.
        answer: turns a query into its answer.
    """

    def __init__(self, connector: str = "main", kind: ProviderKind = ProviderKind.LIGHT) -> None:
        self.kind = kind
        self.connector = connector
        self.capabilities = EVERYTHING
        self.value = 100
        self.opening: OpeningBalance | None = opening(7)
        self.calls: list[list[str]] = []
        self.opening_calls = 0
        self.moods: list[tuple[Priority, float]] = []
        self.failures: list[BaseException | None] = []
        self.failing: BaseException | None = None
        self.wait: Callable[[], Any] | None = None
        self.writes: list[OpeningBalanceWrite] = []
        self.probes = 0
        self.closed = False
        self.group: Callable[[BalanceQuery], Hashable] = lambda q: (q.account.id, q.as_of)
        self.answer: Callable[[BalanceQuery], Any] = self._figures

    def _figures(self, query: BalanceQuery) -> BalanceFigures:
        return BalanceFigures(query.as_of, None, Money(self.value, query.account.currency))

    def balance_group(self, query: BalanceQuery) -> Hashable:
        return self.group(query)

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        self.calls.append([query.account.id for query in queries])
        answers = [self.answer(query) for query in queries]
        await self._happen()
        return answers

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        self.opening_calls += 1
        standing = self.opening
        await self._happen()
        return standing

    async def normal_balance(self, account: Account) -> Side:
        await self._happen()
        return Side.CREDIT

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        self.writes.append(write)
        await self._happen()
        return opening(write.amount.minor_units)

    async def probe(self) -> None:
        self.probes += 1
        await self._happen()

    async def aclose(self) -> None:
        self.closed = True

    async def _happen(self) -> None:
        self.moods.append((current_call().priority, current_call().max_wait_s))
        if self.wait is not None:
            await self.wait()
        failure = self.failures.pop(0) if self.failures else self.failing
        if failure is not None:
            raise failure


class LostFences:
    """Fences in a shared cache that can go out of reach."""

    def __init__(self, fences: Fences) -> None:
        self.fences = fences
        self.lost = False

    @property
    def nonces(self) -> LocalCacheVersions | None:
        return self.fences.nonces

    def _reach(self) -> None:
        if self.lost:
            raise CacheUnavailable("The shared cache is out of reach.")

    async def states(self, keys: Sequence[str]) -> Sequence[FenceState]:
        self._reach()
        return await self.fences.states(keys)

    async def begin_write(self, key: str, write_id: str) -> None:
        self._reach()
        await self.fences.begin_write(key, write_id)

    async def end_write(self, key: str, write_id: str) -> None:
        self._reach()
        await self.fences.end_write(key, write_id)

    async def hold(self, key: str, write_id: str, seconds: float) -> None:
        self._reach()
        await self.fences.hold(key, write_id, seconds)

    async def ping(self) -> None:
        self._reach()

    async def aclose(self) -> None:
        pass


class LostValues:
    """Kept values that can go out of reach, for reading and for keeping."""

    is_enabled = True

    def __init__(self, values: CacheStore) -> None:
        self.values = values
        self.puts: list[list[str]] = []
        self.lost_to_get = self.lost_to_put = False

    async def get(self, keys: Sequence[str]) -> Sequence[CacheEntry | None]:
        if self.lost_to_get:
            raise CacheUnavailable("The shared cache is out of reach.")
        return await self.values.get(keys)

    async def put(self, entries: Mapping[str, CacheEntry]) -> None:
        if self.lost_to_put:
            raise CacheUnavailable("The shared cache is out of reach.")
        self.puts.append(list(entries))
        await self.values.put(entries)


class World:
    """Cached reads over one fake provider and its accounts a, b, c and d."""

    HOLD_S = 40.0
    LIFETIMES = Lifetimes(
        today_s=30.0, other_days_s=600.0, opening_balance_s=3600.0, stale_s=1000.0
    )

    def __init__(
        self, time: VirtualTime, kind: ProviderKind = ProviderKind.LIGHT, **remote: str
    ) -> None:
        self.time = time
        self.provider = FakeProvider(kind=kind)
        self.accounts = [account(f"acct_{name}", provider=kind) for name in "abcd"]
        if remote:
            self.accounts = [replace(one, remote={**one.remote, **remote}) for one in self.accounts]
        self.fences = LostFences(MemoryFences(self.HOLD_S, time.monotonic))
        self.values = LostValues(MemoryStore(100))
        self.providers = {"main": self.provider}
        self.reads = CachedReads(
            providers=self.providers,
            keys={one.id: account_keys(one, "https://provider", {}) for one in self.accounts},
            fences=self.fences,
            values=self.values,
            lifetimes=self.LIFETIMES,
            clock=time.clock,
            deadline_s=20.0,
        )

    async def read(self, of: int = 0, **changes: Any) -> Any:
        """The answer to one request for an account's balance."""
        (answer,) = await self.reads.balances([request(self.accounts[of], **changes)])
        return answer

    async def read_all(self, **changes: Any) -> list[Any]:
        return list(await self.reads.balances([request(each, **changes) for each in self.accounts]))

    async def write(self, minor_units: int) -> None:
        """A whole write of the first account."""
        await self.reads.begin_write(self.accounts[0], "w1")
        self.provider.value = minor_units
        await self.reads.end_write(self.accounts[0], "w1")


def ledger_of(answer: Any) -> int:
    """The ledger figure of an observed balance."""
    return answer.value.ledger.minor_units


def state_of(answer: Any) -> str:
    """live, cached or stale; or the code of an error."""
    return answer.code if isinstance(answer, GatewayError) else answer.state.value


async def turns(count: int = 20) -> None:
    """Lets everybody else run for a while, in no time."""
    for _ in range(count):
        await asyncio.sleep(0)
