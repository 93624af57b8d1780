"""Processes that carry out plans over shared fakes; each can be killed at any call of a port."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.accounts import Account, Capability, ProviderKind
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceWrite
from balance_gateway.domain.errors import GatewayError
from balance_gateway.domain.opening_balance_plans import Plan, PlanRow, PlanState
from balance_gateway.ports.reads import FreshnessState, Observed
from balance_gateway.service.directory import Connector, Directory
from balance_gateway.service.opening_balance_plans.applying import PlanApplier
from balance_gateway.service.opening_balance_plans.plan_rows import RowValidator
from balance_gateway.service.opening_balance_plans.plans import OpeningBalancePlans
from balance_gateway.service.opening_balance_plans.reading import PlanReader
from balance_gateway.service.opening_balance_plans.requests import SentPart, SentRow
from balance_gateway.service.opening_balance_plans.runner import PlanRunner
from balance_gateway.service.opening_balances import UpsertRequest
from balance_gateway.service.reconciler import Reconciler
from balance_gateway.service.recovery import Recovery
from balance_gateway.service.writer import OpeningBalanceWriter
from tests.pipeline.virtual_time import VirtualTime
from tests.service.fakes import (
    EVERYTHING,
    HOLD_S,
    LIMITS,
    FakeFence,
    FakeJournal,
    FakeProvider,
    account,
    opening,
    raise_or_await,
)
from tests.service.plan_fakes import FakePlanStore

MAKER = Principal("alice", "acme", frozenset({Scope.BALANCES_WRITE}))
OTHER = Principal("bob", "acme", frozenset({Scope.BALANCES_WRITE}))


class PlanProvider(FakeProvider):
    """Has an opening balance of 1.00 for each account, unless one was set.

    Attributes:
        values: the opening balances by account id.
        failing: the errors of the next writes of an account, by account id.
        failing_after: the same, raised after the write was applied.
        unreadable: the error of each read; None lets reads succeed.
    """

    def __init__(self) -> None:
        super().__init__([])
        self.values: dict[str, OpeningBalance | None] = {}
        self.failing: dict[str, list[Exception]] = {}
        self.failing_after: dict[str, list[Exception]] = {}
        self.unreadable: Exception | None = None

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        await raise_or_await(self.reading.pop(0) if self.reading else None)
        if self.unreadable is not None and account.id not in self.values:
            raise self.unreadable
        return self.values.get(account.id, opening(100))

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        name = write.account.id
        if self.failing.get(name):
            raise self.failing[name].pop(0)
        self.sent.append(write)
        self.values[name] = opening(write.amount.minor_units)
        if self.failing_after.get(name):
            raise self.failing_after[name].pop(0)
        return opening(write.amount.minor_units)


class PlanReads:
    """Reads from the provider, as the read service does."""

    def __init__(self, provider: PlanProvider, time: VirtualTime) -> None:
        self.provider = provider
        self.time = time
        self.state = FreshnessState.LIVE

    async def opening_balances(self, accounts: Sequence[Account]) -> Sequence[Any]:
        results: list[Any] = []
        for one in accounts:
            try:
                value = await self.provider.opening_balance(one)
                results.append(Observed(value, self.time.clock(), self.state))
            except GatewayError as error:
                results.append(error)
        return results


class Mortal:
    """A port of a process that may have been killed: then no call has an effect or an end."""

    def __init__(self, process: "PlanProcess", port: Any) -> None:
        self._process = process
        self._port = port

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            await self._process.live()
            result = await found(*arguments, **named)
            self._process.count_call()
            await self._process.live()
            return result

        return call


class PlanProcess:
    """One process of the gateway: its own tasks, over the fakes of its world.

    Attributes:
        dead: set when the process was killed.
    """

    def __init__(self, world: "PlanWorld", name: str, kill_after: int | None) -> None:
        self._kill_after = kill_after
        self._calls = 0
        self.dead = asyncio.Event()
        journal: Any = Mortal(self, world.journal)
        settlements: Any = Mortal(self, world.settlements or world.journal)
        provider: Any = Mortal(self, world.provider)
        store: Any = Mortal(self, world.store)
        fence: Any = Mortal(self, world.fence)
        reads: Any = Mortal(self, world.reads)
        clock = world.time.clock
        shared = {"directory": world.directory, "fence": fence, "journal": journal}
        providers = dict.fromkeys(world.connectors, provider)
        reconciler = Reconciler(
            **shared,
            sources=providers,
            remote_accounts=world.remote_accounts,
            settlements=settlements,
            history=journal,
            clock=clock,
            hold_s=HOLD_S,
            read_timeout_s=LIMITS.read_back_s,
        )
        writer = OpeningBalanceWriter(
            **shared,
            providers=providers,
            remote_accounts=world.remote_accounts,
            reconciler=reconciler,
            sources=providers,
            clock=clock,
            new_id=lambda: f"write-{next(world.ids)}",
            limits=LIMITS,
        )
        applier = PlanApplier(
            directory=world.directory,
            remote_accounts=world.remote_accounts,
            reads=reads,
            writer=writer,
            reconciler=reconciler,
            journal=journal,
            store=store,
            clock=clock,
            unfinished_s=LIMITS.lease_s + 15.0,
        )
        self.writer = writer
        reader = PlanReader(world.directory, reads, store, clock)
        self.runner = PlanRunner(store, reader, applier, clock, name)
        recovery = Recovery(world.directory, providers, fence, journal, clock, LIMITS)
        self.plans = OpeningBalancePlans(
            validator=RowValidator(world.directory, providers, world.remote_accounts),
            store=store,
            clock=clock,
            new_id=lambda: f"plan-{next(world.ids)}",
            wake=self.runner.wake,
        )
        self._tasks = [
            asyncio.create_task(self.runner.run(5.0)),
            asyncio.create_task(recovery.run(5.0)),
        ]

    def count_call(self) -> None:
        """Count a call that had its effect; the process may be killed at this moment."""
        self._calls += 1
        if self._calls == self._kill_after:
            self.dead.set()

    async def live(self) -> None:
        """Return while the process lives."""
        if self.dead.is_set():
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(0)

    async def stop(self) -> None:
        """Cancel all tasks, as at the end of a process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def end(self) -> None:
        """Cancel all tasks of a killed process, without waiting: nothing of it has an effect."""
        for task in [*self._tasks, *self.writer._in_progress]:
            task.cancel()


class PlanWorld:
    """What the processes share: storage, cache and provider, and virtual time."""

    def __init__(self, time: VirtualTime, accounts: int = 3, connectors: int = 1) -> None:
        self.time = time
        self.ids = itertools.count(1)
        self.connectors = [f"main{number or ''}" for number in range(connectors)]
        LIMITS.deadline_s.update(dict.fromkeys(self.connectors, 10.0))  # type: ignore[attr-defined]
        self.accounts = [
            account(
                f"acct_{number}",
                capabilities=EVERYTHING,
                connector=self.connectors[number % connectors],
            )
            for number in range(1, accounts + 1)
        ]
        self.remote_accounts = {one.id: f"remote {one.id}" for one in self.accounts}
        self.directory = self.build_directory(self.accounts)
        self.provider = PlanProvider()
        self.reads = PlanReads(self.provider, time)
        self.journal: Any = FakeJournal([], time.clock)
        self.settlements: Any = None
        self.fence = FakeFence([])
        self.store: Any = FakePlanStore()
        self.processes: list[PlanProcess] = []
        self.poll_s = 0.5

    def build_directory(self, accounts: Sequence[Account]) -> Directory:
        """Return a directory of these accounts."""
        kinds: frozenset[Capability] = EVERYTHING
        connectors = [Connector(name, ProviderKind.LAYER, kinds) for name in self.connectors]
        return Directory(accounts, connectors)

    def start_process(self, kill_after: int | None = None) -> PlanProcess:
        """Start a process; it is killed after this many calls of ports."""
        process = PlanProcess(self, f"process-{len(self.processes)}", kill_after)
        self.processes.append(process)
        return process

    async def make_plan(
        self, process: PlanProcess, rows: Sequence[SentRow] | None = None, **more: Any
    ) -> Plan:
        """Make a plan for all accounts, or these rows, and wait until it was read."""
        plan = await process.plans.add_part(MAKER, self.build_part(rows, **more))
        return await self.wait_while(plan, PlanState.READING)

    def build_part(self, rows: Sequence[SentRow] | None = None, **more: Any) -> SentPart:
        """Return a whole plan for all accounts, or these rows."""
        sent = [send(n, one.id) for n, one in enumerate(self.accounts, 1)] if rows is None else rows
        return SentPart(None, 1, sent, is_last=True, **more)

    async def apply_plan(self, process: PlanProcess, plan: Plan) -> Plan:
        """Apply a plan and wait until it is finished."""
        await process.plans.apply(MAKER, plan.id)
        return await self.wait_while(plan, PlanState.APPLYING)

    async def wait_while(self, plan: Plan, state: PlanState) -> Plan:
        """Wait until the plan is in another state, for a week at most."""
        async with asyncio.timeout(7 * 86_400):
            while (found := await self.store.find(plan.tenant, plan.id)).state is state:  # noqa: ASYNC110
                await asyncio.sleep(self.poll_s)
        result: Plan = found
        return result

    def list_rows(self, plan: Plan) -> list[PlanRow]:
        """Return the rows of a plan by line."""
        return [row for _, row in sorted(self.store.rows[plan.id].items())]

    def list_outcomes(self, plan: Plan) -> list[str]:
        """Return the outcomes of a plan's rows by line."""
        return [row.outcome.value for row in self.list_rows(plan)]

    def count_sent(self) -> Counter[str]:
        """Return how often each account was written."""
        return Counter(write.account.id for write in self.provider.sent)


def send(line: int, account_id: str = "acct_1", minor_units: int | None = None) -> SentRow:
    """Return a row of 2.00 and its line in cents."""
    amount = 200 + line if minor_units is None else minor_units
    return SentRow(line, account_id, UpsertRequest(account_id, amount, None, "EUR"))
