"""Fakes of the ports that a write uses; all of them append their steps to one list."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.accounts import Account, Capability, ProviderKind, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    OpeningBalance,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.domain.errors import GatewayError
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import UnsettledWrite, WriteIntent, WriteOutcome, WriteRecord
from balance_gateway.ports.reads import BalanceRequest
from balance_gateway.ports.write_journal import (
    AccountBusy,
    WriteFilter,
    WriteNotBegun,
    WritePosition,
)
from balance_gateway.service.balances import CurrencyTotal, TotalGroup, compute_totals
from balance_gateway.service.directory import Connector, Directory
from balance_gateway.service.opening_balances import UpsertRequest, UpsertResult
from balance_gateway.service.reconciler import Reconciler
from balance_gateway.service.writer import OpeningBalanceWriter, WriteDeadlines
from tests.pipeline.virtual_time import VirtualTime

EVERYTHING = frozenset(Capability)
ADMIN = Principal("admin", "acme", frozenset(Scope))
READER = Principal("dashboard", "acme", frozenset({Scope.BALANCES_READ}))
LIMITS = WriteDeadlines(deadline_s={"main": 10.0}, read_back_s=5.0, prepare_s=8.0, lease_s=25.0)
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
#: The time in which a write may take effect, in seconds.
HOLD_S = 40.0
#: Three ids of one account, one of another tenant, and two other accounts.
REMOTE_ACCOUNTS = {
    "acct_a": "remote a",
    "acct_a_again": "remote a",
    "acct_a_theirs": "remote a",
    "acct_b": "remote b",
    "acct_z": "remote z",
}


def account(account_id: str = "acct_a", **changes: Any) -> Account:
    facts: dict[str, Any] = {
        "id": account_id,
        "tenant": "acme",
        "connector": "main",
        "provider": ProviderKind.LAYER,
        "name": account_id,
        "currency": "EUR",
        "time_zone": ZoneInfo("UTC"),
    }
    return Account(**{**facts, **changes})


def opening(minor_units: int, **more: Any) -> OpeningBalance:
    facts = {"effective_at": None, "source": OpeningBalanceSource.PROVIDER, **more}
    return OpeningBalance(Money(minor_units, "EUR"), **facts)


def upsert(minor_units: int | None = 200, **changes: Any) -> UpsertRequest:
    facts = {"account_id": "acct_a", "amount_text": None, "currency": "EUR", **changes}
    return UpsertRequest(minor_units=minor_units, **facts)


class FakeProvider:
    """A ``BalanceProvider`` with one opening balance.

    Attributes:
        current: the current opening balance.
        sent: every write that was received.
        before, after: an error to raise or a function to await before or after applying a write.
        reading: the same for the next reads, one item per read; None lets the read succeed.
    """

    def __init__(self, steps: list[str]) -> None:
        self.kind = ProviderKind.LAYER
        self.connector = "main"
        self.capabilities = EVERYTHING
        self.steps = steps
        self.current: OpeningBalance | None = opening(100)
        self.sent: list[OpeningBalanceWrite] = []
        self.before: Exception | Callable[[], Awaitable[Any]] | None = None
        self.after: Exception | Callable[[], Awaitable[Any]] | None = None
        self.reading: list[Exception | Callable[[], Awaitable[Any]] | None] = []

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        self.steps.append("sent")
        self.sent.append(write)
        await raise_or_await(self.before)
        self.current = opening(write.amount.minor_units)
        await raise_or_await(self.after)
        return opening(write.amount.minor_units, memo="as confirmed")

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        self.steps.append("read")
        current = self.current
        await raise_or_await(self.reading.pop(0) if self.reading else None)
        return current

    def balance_group(self, query: BalanceQuery) -> Hashable:
        raise NotImplementedError

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        raise NotImplementedError

    async def normal_balance(self, account: Account) -> Side:
        raise NotImplementedError

    async def probe(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        raise NotImplementedError


async def raise_or_await(what: Exception | Callable[[], Awaitable[Any]] | None) -> None:
    if isinstance(what, Exception):
        raise what
    if what is not None:
        await what()


class FakeJournal:
    """An in-memory journal with the rules of its port.

    Attributes:
        failing: the error to raise, by method name.
    """

    def __init__(self, steps: list[str], clock: Callable[[], datetime]) -> None:
        self.steps = steps
        self.clock = clock
        self.records: dict[str, WriteRecord] = {}
        self.keys: dict[tuple[str, str], str] = {}
        self.failing: dict[str, Exception] = {}

    def _step(self, name: str) -> None:
        if name in self.failing:
            raise self.failing[name]

    async def begin(self, intent: WriteIntent, *, lease_s: float) -> WriteRecord:
        self._step("begin")
        if intent.idempotency_key is not None:
            earlier = self.keys.get((intent.tenant, intent.idempotency_key))
            if earlier is not None:
                return self.records[earlier]
        for record in list(self.records.values()):
            if record.intent.remote_account != intent.remote_account:
                continue
            if record.outcome is WriteOutcome.STARTED:
                if (self.clock() - record.intent.started_at).total_seconds() < lease_s:
                    raise AccountBusy
                self.records[record.intent.id] = replace(record, outcome=WriteOutcome.UNCERTAIN)
        self.steps.append("begun")
        self.records[intent.id] = WriteRecord(intent, WriteOutcome.STARTED)
        if intent.idempotency_key is not None:
            self.keys[intent.tenant, intent.idempotency_key] = intent.id
        return self.records[intent.id]

    async def finish(self, record: WriteRecord) -> None:
        self._step("finish")
        if record.intent.id not in self.records:
            raise WriteNotBegun
        self.steps.append(f"finished {record.outcome.value}")
        stored = self.records[record.intent.id].outcome
        if stored in (WriteOutcome.APPLIED, WriteOutcome.REJECTED):
            return
        self.records[record.intent.id] = record
        if record.outcome is WriteOutcome.REJECTED and record.error_retryable:
            self.keys = {key: id_ for key, id_ in self.keys.items() if id_ != record.intent.id}

    async def by_key(self, tenant: str, idempotency_key: str) -> WriteRecord | None:
        self._step("by_key")
        record_id = self.keys.get((tenant, idempotency_key))
        return None if record_id is None else self.records[record_id]

    async def last_applied(self, remote_account: str) -> WriteRecord | None:
        applied = [
            one
            for one in self.records.values()
            if one.intent.remote_account == remote_account and one.outcome is WriteOutcome.APPLIED
        ]
        return max(applied, key=lambda one: one.finished_at or EPOCH, default=None)

    async def unsettled_of(self, remote_accounts: Collection[str]) -> Sequence[WriteRecord]:
        return [
            one for one in await self.unsettled() if one.intent.remote_account in remote_accounts
        ]

    async def unsettled(self) -> Sequence[WriteRecord]:
        self._step("unsettled")
        found = [one for one in self.records.values() if one.is_unsettled]
        return sorted(found, key=lambda one: one.intent.started_at)

    async def settle(self, record: WriteRecord, *, last: WriteRecord | None) -> bool:
        self._step("settle")
        if not self.records[record.intent.id].is_unsettled:
            return False
        if await self.last_applied(record.intent.remote_account) != last:
            return False
        assert record.settlement is not None
        self.steps.append(f"settled {record.settlement.how.value}")
        self.records[record.intent.id] = record
        return True

    async def by_id(self, tenant: str, write_id: str) -> WriteRecord | None:
        found = self.records.get(write_id)
        return found if found is not None and found.intent.tenant == tenant else None

    async def page(
        self, tenant: str, selected: WriteFilter, limit: int, after: WritePosition | None
    ) -> Sequence[WriteRecord]:
        raise NotImplementedError

    async def unfinished(self) -> Sequence[WriteRecord]:
        self._step("unfinished")
        return [one for one in self.records.values() if one.outcome is WriteOutcome.STARTED]

    async def unsettled_since(self, instant: datetime) -> Sequence[UnsettledWrite]:
        unsettled = (WriteOutcome.STARTED, WriteOutcome.UNCERTAIN)
        return [
            UnsettledWrite(
                one.intent.id, one.intent.tenant, one.intent.account_id, one.intent.started_at
            )
            for one in self.records.values()
            if one.outcome in unsettled and one.intent.started_at >= instant
        ]


class FakeFence:
    """Records which fences are raised and held.

    Attributes:
        write_ids: the ids of the writes with a raised fence.
        holds: account id, write id and seconds of each hold.
        slow_s: the time that raising the fence takes, in seconds.
        failing: the error to raise when the fence is raised or held.
    """

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps
        self.write_ids: set[str] = set()
        self.holds: list[tuple[str, str, float]] = []
        self.failing: Exception | None = None
        self.slow_s = 0.0

    @property
    def raised(self) -> int:
        return len(self.write_ids)

    async def begin_write(self, account: Account, write_id: str) -> None:
        if self.failing is not None:
            raise self.failing
        await asyncio.sleep(self.slow_s)
        self.steps.append("fenced")
        self.write_ids.add(write_id)

    async def end_write(self, account: Account, write_id: str) -> None:
        self.steps.append("lowered")
        self.write_ids.remove(write_id)

    async def hold(self, account: Account, write_id: str, seconds: float) -> None:
        if self.failing is not None:
            raise self.failing
        self.holds.append((account.id, write_id, seconds))


class WriterHarness:
    """A writer over fakes, with three accounts of one tenant and one of another tenant."""

    def __init__(self, time: VirtualTime) -> None:
        self.time = time
        self.steps: list[str] = []
        self.provider = FakeProvider(self.steps)
        self.journal = FakeJournal(self.steps, time.clock)
        self.fence = FakeFence(self.steps)
        self.ids = (f"write-{number}" for number in itertools.count(1))
        self.directory = Directory(
            [
                account(),
                account("acct_a_again"),
                account("acct_b"),
                account("acct_z", tenant="globex"),
                account("acct_a_theirs", tenant="globex"),
            ],
            [Connector("main", ProviderKind.LAYER, EVERYTHING)],
        )
        self.settled: list[tuple[str, str]] = []
        self.counts: list[int] = []
        self.reconciler = self.build_reconciler()
        self.writer = self.start_process()

    def build_reconciler(self) -> Reconciler:
        """Return a reconciler, as of another process."""
        return Reconciler(
            directory=self.directory,
            sources={"main": self.provider},
            remote_accounts=REMOTE_ACCOUNTS,
            fence=self.fence,
            journal=self.journal,
            settlements=self.journal,
            history=self.journal,
            clock=self.time.clock,
            hold_s=HOLD_S,
            read_timeout_s=LIMITS.read_back_s,
            on_settled=lambda *settled: self.settled.append(settled),
            on_count=self.counts.append,
        )

    def start_process(self) -> OpeningBalanceWriter:
        """Return another writer over the same storage, provider and cache."""
        return OpeningBalanceWriter(
            directory=self.directory,
            providers={"main": self.provider},
            remote_accounts=REMOTE_ACCOUNTS,
            fence=self.fence,
            journal=self.journal,
            reconciler=self.reconciler,
            sources={"main": self.provider},
            clock=self.time.clock,
            new_id=lambda: next(self.ids),
            limits=LIMITS,
        )

    async def upsert(self, minor_units: int | None = 200, **changes: Any) -> UpsertResult:
        return await self.writer.upsert(ADMIN, upsert(minor_units, **changes))

    @property
    def outcomes(self) -> list[str]:
        return [record.outcome.value for record in self.journal.records.values()]


def sum_up(
    requests: Sequence[BalanceRequest], results: Sequence[Any], group_by: TotalGroup | None = None
) -> list[CurrencyTotal]:
    """Compute the totals of requested balances."""
    return compute_totals(
        [request.account for request in requests],
        [request.as_of for request in requests],
        results,
        group_by,
    )
