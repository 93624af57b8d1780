"""Fakes of the gateway's ports: a scripted provider, and caches that can become unreachable."""

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
from balance_gateway.domain.bank_feeds import BankFeed, BankFeedState, ReportedFigure
from balance_gateway.domain.errors import CacheUnavailable, GatewayError
from balance_gateway.domain.money import Money
from balance_gateway.pipeline.cache.cache_keys import compute_account_keys
from balance_gateway.pipeline.cache.cache_store import CacheEntry, LocalStore, MemoryStore
from balance_gateway.pipeline.cache.cached_reads import CachedReads, Lifetimes
from balance_gateway.pipeline.cache.fence import Fences, FenceState, MemoryFences
from balance_gateway.pipeline.cache.owed_values import OwedValues
from balance_gateway.ports.cache_validity import LocalCacheVersions
from balance_gateway.ports.call_context import Priority, current_call
from balance_gateway.ports.reads import BalanceRequest
from balance_gateway.providers.registry import PROVIDERS
from tests.pipeline.virtual_time import VirtualTime

TODAY = date(2026, 5, 7)
EVERYTHING = frozenset(Capability)
FEED = BankFeed(BankFeedState.CONNECTED, None, None, False, ReportedFigure(5, None))
REMOTE_IDS = {
    kind: tuple(each.key for each in spec.account_ids if each.is_required)
    for kind, spec in PROVIDERS.items()
}


def account(account_id: str = "acct_a", **changes: Any) -> Account:
    """Build an account, by default at Light and in euros."""
    kind = changes.get("provider", ProviderKind.LIGHT)
    fields: dict[str, Any] = {
        "id": account_id,
        "tenant": "acme",
        "connector": "main",
        "provider": kind,
        "name": account_id,
        "currency": "EUR",
        "time_zone": ZoneInfo("UTC"),
        "remote": MappingProxyType({key: f"{key} of {account_id}" for key in REMOTE_IDS[kind]}),
    }
    return Account(**{**fields, **changes})


def request(of: Account, **changes: Any) -> BalanceRequest:
    """Build a request for an account's balance, by default today's."""
    return BalanceRequest(**{"account": of, "as_of": TODAY, "is_today": True, **changes})


def opening(minor_units: int, currency: str = "EUR", **changes: Any) -> OpeningBalance:
    fields = {"effective_at": None, "source": OpeningBalanceSource.PROVIDER, **changes}
    return OpeningBalance(Money(minor_units, currency), **fields)


class FakeProvider:
    """A provider with the same ledger balance for every account, and scripted failures.

    Attributes:
        value: the ledger balance, in minor units.
        calls: the account ids of each call for balances.
        opening_calls: how many times an opening balance was read.
        moods: the priority, and the maximum wait in seconds, of each call.
        failures: raised by the next calls, one each; None means success.
        failing: raised by every call, if set.
        wait: awaited by every call, after the call was counted and its value was read.
        answer: returns the result of a query.
        feed_calls: the account ids of each call for bank feeds.
        feed: returns the bank feed of an account.
    """

    def __init__(self, connector: str = "main", kind: ProviderKind = ProviderKind.LIGHT) -> None:
        self.kind = kind
        self.connector = connector
        self.capabilities = EVERYTHING
        self.value = 100
        self.opening: OpeningBalance | None = opening(7)
        self.calls: list[list[str]] = []
        self.opening_calls = 0
        self.priorities: list[tuple[Priority, float]] = []
        self.failures: list[BaseException | None] = []
        self.failing: BaseException | None = None
        self.wait: Callable[[], Any] | None = None
        self.writes: list[OpeningBalanceWrite] = []
        self.probes = 0
        self.closed = False
        self.group: Callable[[BalanceQuery], Hashable] = lambda q: (q.account.id, q.as_of)
        self.answer: Callable[[BalanceQuery], Any] = self._figures
        self.feed_calls: list[list[str]] = []
        self.feed: Callable[[Account], Any] = lambda _: FEED

    def _figures(self, query: BalanceQuery) -> BalanceFigures:
        return BalanceFigures(query.as_of, None, Money(self.value, query.account.currency))

    def balance_group(self, query: BalanceQuery) -> Hashable:
        return self.group(query)

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        self.calls.append([query.account.id for query in queries])
        answers = [self.answer(query) for query in queries]
        await self._finish_call()
        return answers

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        self.opening_calls += 1
        opening_balance = self.opening
        await self._finish_call()
        return opening_balance

    async def normal_balance(self, account: Account) -> Side:
        await self._finish_call()
        return Side.CREDIT

    def bank_feed_group(self, account: Account) -> Hashable:
        return account.remote.get("business_id")

    async def bank_feeds(
        self, accounts: Sequence[Account]
    ) -> Sequence[BankFeed | GatewayError | None]:
        self.feed_calls.append([account.id for account in accounts])
        feeds = [self.feed(account) for account in accounts]
        await self._finish_call()
        return feeds

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        self.writes.append(write)
        await self._finish_call()
        return opening(write.amount.minor_units)

    async def probe(self) -> None:
        self.probes += 1
        await self._finish_call()

    async def aclose(self) -> None:
        self.closed = True

    async def _finish_call(self) -> None:
        self.priorities.append((current_call().priority, current_call().max_wait_s))
        if self.wait is not None:
            await self.wait()
        failure = self.failures.pop(0) if self.failures else self.failing
        if failure is not None:
            raise failure


class UnreachableFences:
    """Fences in a shared cache that can become unreachable."""

    def __init__(self, fences: Fences) -> None:
        self.fences = fences
        self.lost = False

    change_log = None

    @property
    def owed(self) -> OwedValues:
        return self.fences.owed

    @property
    def versions(self) -> LocalCacheVersions:
        return self.fences.versions

    def _check_reachable(self) -> None:
        if self.lost:
            raise CacheUnavailable("The shared cache is unreachable.")

    async def states(self, keys: Sequence[str]) -> Sequence[FenceState]:
        self._check_reachable()
        return await self.fences.states(keys)

    async def begin_write(self, key: str, write_id: str) -> None:
        self._check_reachable()
        await self.fences.begin_write(key, write_id)

    async def end_write(self, key: str, write_id: str) -> None:
        self._check_reachable()
        await self.fences.end_write(key, write_id)

    async def hold(self, key: str, write_id: str, seconds: float) -> None:
        self._check_reachable()
        await self.fences.hold(key, write_id, seconds)

    async def ping(self) -> None:
        self._check_reachable()

    async def aclose(self) -> None:
        pass


class UnreachableStore:
    """A store that can become unreachable, separately for reads and writes."""

    is_enabled = True

    def __init__(self, store: LocalStore) -> None:
        self.store = store
        self.puts: list[list[str]] = []
        self.fails_get = self.fails_put = False

    async def get(self, keys: Sequence[str]) -> Sequence[CacheEntry | None]:
        if self.fails_get:
            raise CacheUnavailable("The shared cache is unreachable.")
        return await self.store.get(keys)

    async def put(self, entries: Mapping[str, CacheEntry]) -> None:
        if self.fails_put:
            raise CacheUnavailable("The shared cache is unreachable.")
        self.puts.append(list(entries))
        await self.store.put(entries)


class CacheHarness:
    """Cached reads over one fake provider and four accounts: acct_a to acct_d."""

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
        self.fences = UnreachableFences(MemoryFences(self.HOLD_S, time.monotonic))
        self.values = UnreachableStore(MemoryStore(100))
        self.providers = {"main": self.provider}
        self.reads = CachedReads(
            providers=self.providers,
            keys={
                one.id: compute_account_keys(one, PROVIDERS[one.provider], {})
                for one in self.accounts
            },
            fences=self.fences,
            values=self.values,
            lifetimes=self.LIFETIMES,
            clock=time.clock,
            deadline_s=20.0,
            feed_readers=self.providers,
            accounts=self.accounts,
        )

    async def read(self, of: int = 0, **changes: Any) -> Any:
        """Read an account's balance."""
        (result,) = await self.reads.balances([request(self.accounts[of], **changes)])
        return result

    async def read_all(self, **changes: Any) -> list[Any]:
        return list(await self.reads.balances([request(each, **changes) for each in self.accounts]))

    async def write(self, minor_units: int) -> None:
        """Write to the first account, from begin to end."""
        await self.reads.begin_write(self.accounts[0], "w1")
        self.provider.value = minor_units
        await self.reads.end_write(self.accounts[0], "w1")


def ledger_minor_units(result: Any) -> int:
    """Return the ledger balance of an observed balance."""
    return result.value.ledger.minor_units


def get_state(result: Any) -> str:
    """Return live, cached or stale; or the code of an error."""
    return result.code if isinstance(result, GatewayError) else result.state.value


async def run_pending_tasks(count: int = 20) -> None:
    """Let all other tasks run, without advancing time."""
    for _ in range(count):
        await asyncio.sleep(0)
