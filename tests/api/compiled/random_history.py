"""Runs random histories on two equal gateways, one for each engine, and compares every response.

Run more of them, or one again, with::

    python -m tests.api.compiled.random_history --seeds 1000
    python -m tests.api.compiled.random_history --first-seed 17 --seeds 1 --trace

The reference has a gateway of its own, with the same clock and the same events, because a read
changes what the next one gets: the first reader of a value gets it LIVE and the second CACHED, and
a reference on the same gateway would always be the second. Both engines send the same requests in
the same order, so each value was first read by the same request on both gateways, and even the
states, the instants and the ages must be equal. What could make two equal gateways differ is
decided by the history: early refresh, which is random, is off, a provider's call takes no time, and
an uncertain write is settled by an event and not by a read that happens to see it.

The bytes of ``data`` must be equal, and so must the HTTP status and the set of errors; only the
order of the errors is left open. No value may be read from a provider more often than by the
reference.
"""

import argparse
import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from balance_gateway.api.compiled import account_pages
from balance_gateway.api.execution.engine import GraphQLResponse
from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.calendar_days import day_end_exclusive, today
from balance_gateway.domain.errors import ErrorCode
from balance_gateway.domain.health import ConnectorStatus, HealthState
from balance_gateway.pipeline.cache import cache_entry_rules
from tests.api.compiled.gateway_harness import START, ZONES, is_same_response
from tests.api.compiled.random_documents import write_document, write_settlement, write_upsert
from tests.api.compiled.scripted_parts import ACCOUNTS, CONNECTORS, LOCAL_IDS, SIDELESS_IDS
from tests.api.compiled.whole_gateway import SentRequest, WholeGateway, open_worlds

READS = frozenset({Scope.BALANCES_READ})
READER = Principal("reader", "acme", READS)
#: Equal to the reader for the gateway; only ``viewer`` shows the difference.
TOKEN = replace(READER, expires_at=START + timedelta(hours=1))
LATER_TOKEN = replace(READER, expires_at=START + timedelta(hours=2))
OTHER_READER = Principal("other", "acme", READS)
AUDITOR = Principal("auditor", "acme", READS | {Scope.AUDIT_READ})
ADMIN = Principal("admin", "acme", frozenset(Scope))
NO_SCOPES = Principal("none", "acme", frozenset())
FOREIGN_READER = Principal("reader", "globex", READS)
FOREIGN_ADMIN = Principal("admin", "globex", frozenset(Scope))
WITHOUT_ACCOUNTS = Principal("reader", "initech", READS)
PRINCIPALS = (
    *(READER, READER, READER, READER, TOKEN, LATER_TOKEN, OTHER_READER, AUDITOR, ADMIN, ADMIN),
    *(NO_SCOPES, FOREIGN_READER, FOREIGN_READER, FOREIGN_ADMIN, WITHOUT_ACCOUNTS),
)

_MONEY = "minorUnits amount currency"
_BALANCE = f"asOf bank {{ {_MONEY} }} ledger {{ {_MONEY} }} bankMissing"

#: Documents of dashboards, without states and ages: their responses stay the same for some time.
DOCUMENTS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on BankAccount { name balance {"
        " ledger { amount } } } } }",
        {"ids": ["a0", "a1", "a3", "a10"]},
    ),
    (
        '{ a: bankAccount(id: "a0") { balance { bank { minorUnits } } yesterday: balance(asOf:'
        ' "2026-05-06") { asOf ledger { amount } } openingBalance { memo } }'
        ' b: node(id: "a8") { ... on BankAccount { balance(maxAgeSeconds: 20) { asOf } } } }',
        {},
    ),
    (
        f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ id ... on BankAccount {{ name balance {{"
        f" {_BALANCE} }} }} ... on Connector {{ name budget {{ remaining }} }} }} }}",
        {"ids": ["a0", "a1", "a7", "a8", "a10", "a13", "connector:main"]},
    ),
    ('{ bankAccount(id: "a0") { balance { freshness { ageSeconds } } } }', {}),
    ("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ["a0", "a11"]}),
    (
        f"{{ bankAccounts(first: 20) {{ totalCount edges {{ cursor node {{ id balance {{"
        f" {_BALANCE} }} openingBalance {{ amount {{ {_MONEY} }} memo }} normalBalance }} }} }} }}",
        {},
    ),
    (
        f"{{ balanceTotals {{ currency bank {{ {_MONEY} }} ledger {{ {_MONEY} }} included firstDay"
        " lastDay missing { code bankAccount { id } } oldestObservedAt oldestSourcedAt } }",
        {},
    ),
    (
        "{ connectors { id health { state lastFailureAt lastFailureCode } budget { remaining"
        " refillsAt } } }",
        {},
    ),
    ("{ viewer { name tenant scopes expiresAt } gateway { version environment } }", {}),
    (
        f'query ($to: Date!) {{ bankAccount(id: "a1") {{ balanceSeries(from: "2026-05-04", to: $to)'
        f" {{ points {{ day balance {{ {_BALANCE} }} problem {{ code message }} }} }} }} }}",
        {"to": "2026-05-08"},
    ),
    (
        f'{{ a: bankAccount(id: "a3") {{ bankFeed {{ state lastSyncedAt }} latestBank {{ amount {{'
        f' {_MONEY} }} }} }} b: bankAccount(id: "a2") {{ latestBank {{ amount {{ {_MONEY} }} }}'
        " normalBalance balance { freshness { sourcedAt } } } }",
        {},
    ),
    (
        "{ openingBalanceWrites(first: 3) { nodes { id outcome unsettled verified"
        " settlement { how } } pageInfo { hasNextPage endCursor } } bankAccounts { nodes { id"
        " unsettledWrite { writeId at } } } }",
        {},
    ),
    (
        f'{{ bankAccount(id: "a13") {{ balance {{ {_BALANCE} difference {{ amount }} }}'
        f" openingBalance {{ amount {{ {_MONEY} }} source }} }} }}",
        {},
    ),
    (
        # Pages with blocks: an error in each account, and holes. The accounts of a statement file,
        # which is read each time, would keep them from being kept.
        "query ($before: String) { bankAccounts(last: 50, before: $before, filter: {providers:"
        f" [LIGHT, ASSET, LAYER, LOCAL]}}) {{ totalCount nodes {{ id balance {{ {_BALANCE} }}"
        " wrong: balance(maxAgeSeconds: -1) { asOf } } } }",
        {"before": None},
    ),
    (
        "query ($filter: BankAccountFilter) { bankAccounts(first: 50, filter: $filter, orderBy:"
        " NAME) { nodes { id name balance { bank { amount } freshness { ageSeconds staleReason } }"
        " connector { health { state } } } } }",
        {"filter": {"nameContains": "account", "providers": ["LIGHT", "ASSET", "LAYER", "LOCAL"]}},
    ),
    (
        'query ($small: Boolean!) { bankAccount(id: "a0") { id balance @skip(if: $small) {'
        " ledger { amount } } ...F @include(if: $small) } } fragment F on BankAccount { currency }",
        {"small": False},
    ),
)


@contextlib.contextmanager
def without_early_refresh() -> Iterator[None]:
    """Turn early refresh off, and the log of the defects that a history has.

    A few accounts are a block, so that pages have several.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(account_pages, "BLOCK_SIZE", 3)
        patch.setattr(cache_entry_rules, "REFRESH_FROM", (1.0, 1.0))
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


Act = Callable[[WholeGateway], Awaitable[object] | None]


@dataclass
class History:
    """One history: two worlds, the choices of a seed, and what has happened.

    Attributes:
        seed: decides everything.
        fast: the gateway of the engine under test.
        core: the gateway of the reference.
        trace: what has happened, for the message of a failure.
    """

    seed: int
    fast: WholeGateway
    core: WholeGateway
    trace: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.step = 0
        self.sent: list[tuple[tuple[str, dict[str, Any]], Principal]] = []
        own = [write_document(self.random) for _ in range(6)]
        self.pool = [*DOCUMENTS, *DOCUMENTS[:2], *own]

    async def run(self, steps: int) -> None:
        """Let things happen, and compare all responses."""
        for self.step in range(steps):
            if self.random.random() < 0.6:
                await self.ask()
            else:
                await self.random.choice(self.EVENTS)(self)

    async def ask(self) -> None:
        """Send a query, often more than once, so that its response is kept."""
        request = (self.random.choice(self.pool), self.random.choice(PRINCIPALS))
        if self.sent and self.random.random() < 0.6:
            request = self.random.choice(self.sent[-3:])
        self.sent.append(request)
        (query, variables), principal = request
        is_post = self.random.random() < 0.9
        for _ in range(self.random.choice((1, 2, 3, 4))):
            await self.compare(query, variables, principal, is_post=is_post)

    async def compare(
        self, query: str, variables: dict[str, Any], principal: Principal, *, is_post: bool = True
    ) -> GraphQLResponse:
        """Send a request to both engines and compare the responses."""
        request = SentRequest(query, variables, principal, f"request-{len(self.trace)}", is_post)
        before = self.fast.count_reads(), self.core.count_reads()
        actual = await self.fast.send(self.fast.compiled, request)
        expected = await self.core.send(self.core.graphql_core, request)
        self.log(f"{principal.name}@{principal.tenant} sends {query} {variables}")
        reads = self.fast.count_reads() - before[0], self.core.count_reads() - before[1]
        same = is_same_response(actual.body, expected.body)
        statuses = [(each.status, each.json_status) for each in (actual, expected)]
        if not same or statuses[0] != statuses[1]:
            self.fail(f"responses differ\n{statuses}\n{actual.body!r}\n{expected.body!r}")
        if reads[0] - reads[1]:
            self.fail(f"more reads than the reference: {reads[0] - reads[1]}")
        return actual

    def log(self, text: str) -> None:
        self.trace.append(f"{self.fast.now.isoformat()} {text}")

    def fail(self, reason: str) -> None:
        """Fail with everything that has happened."""
        last = "\n".join(self.trace[-12:])
        command = "python -m tests.api.compiled.random_history"
        raise AssertionError(
            f"{command} --first-seed {self.seed} --seeds 1 --trace\n{last}\nstep {self.step}:"
            f" {reason}"
        )

    async def apply(self, text: str, act: Act) -> None:
        """Let something happen to both gateways."""
        self.log(text)
        for world in (self.fast, self.core):
            done = act(world)
            if done is not None:
                await done

    def pick_account(self, *, local: bool = False) -> str:
        ids = [each for each in ACCOUNTS if (each in LOCAL_IDS) == local]
        return str(self.random.choice(ids))

    def pick_connector(self) -> str:
        return self.random.choice(list(self.fast.providers))

    async def wait(self) -> None:
        seconds = self.random.choice((0.004, 0.7, 1, 5, 5, 9, 20, 31, 300, 3700, 90_000))
        self.fast.clock.now += timedelta(seconds=seconds)
        self.log(f"{seconds} s pass")

    async def approach_midnight(self) -> None:
        """Move to just before or just after the end of the day in some time zone."""
        account = self.random.choice(list(ACCOUNTS.values()))
        day = today(self.fast.now, account.time_zone)
        end = day_end_exclusive(day, account.time_zone)
        assert account.time_zone.key in ZONES
        self.fast.clock.now = max(
            self.fast.now, end + timedelta(seconds=self.random.choice((-3, -1, 0)))
        )
        self.log(f"about midnight in {account.time_zone}")

    async def change_values(self) -> None:
        account_id, number = self.pick_account(), self.random.randint(1, 999)
        await self.apply(
            f"new values of {account_id}", lambda world: world.write_outside(account_id, number)
        )

    async def fail_or_recover(self) -> None:
        name = self.pick_connector()
        ids = [each.id for each in ACCOUNTS.values() if each.connector == name]
        failing = set(self.random.choice(([], [], [], ids, self.random.sample(ids, 1))))
        kind = self.random.choice(("failing_ids", "failing_ids", "defective_ids"))
        await self.apply(
            f"{name} has {kind} {sorted(failing)}",
            lambda world: setattr(world.providers[name], kind, failing),
        )

    async def write_in_flight(self) -> None:
        """Raise the fence of an account as another write does, and lower it or let it expire."""
        account = ACCOUNTS[self.pick_account()]
        write_id = f"outside {len(self.trace)}"
        await self.apply(
            f"a write of {account.id} begins",
            lambda world: world.reads.begin_write(account, write_id),
        )
        await self.ask()
        await self.change_values()
        if self.random.random() < 0.7:
            await self.apply(
                "it ends", lambda world: world.reads.end_write(account, write_id)
            )  # fmt: skip

    async def set_opening_balance(self) -> None:
        """Set an opening balance by a mutation; the provider may do otherwise than it says."""
        # Writes at a provider that cannot be read stay uncertain.
        account_id = self.random.choice((*ACCOUNTS, *("a8", "a9") * 2))
        mode = self.random.choice(("apply", "apply", "lose", "land unseen"))
        provider = CONNECTORS[ACCOUNTS[account_id].connector].id
        currency = self.random.choice((*[ACCOUNTS[account_id].currency] * 9, "USD"))
        query, variables = write_upsert(
            self.random, account_id, self.random.randint(-999, 999), currency
        )

        def prepare(world: WholeGateway) -> None:
            if provider in world.providers:
                world.providers[provider].write_mode = mode

        await self.apply(f"the next write will {mode}", prepare)
        principal = self.random.choice((ADMIN, ADMIN, ADMIN, FOREIGN_ADMIN, READER))
        await self.compare(query, variables, principal)

    async def settle(self) -> None:
        """Settle an uncertain write, as a person or by a read of the provider."""
        open_ids = [one.intent.id for one in await self.fast.journal.unsettled()]
        if not open_ids or self.random.random() < 0.5:
            await self.apply("settle all", lambda world: world.reconciler.settle_all())
            return
        query, variables = write_settlement(
            self.random, open_ids[0], self.random.choice(("APPLIED", "NOT_APPLIED"))
        )
        await self.compare(query, variables, ADMIN)

    async def change_ledger(self) -> None:
        account_id, number = self.pick_account(local=True), len(self.trace)
        if self.random.random() < 0.3:
            await self.apply(
                f"another process sets the opening balance of {account_id}",
                lambda world: world.change_opening_outside(account_id, number),
            )
            return
        other = self.random.random() < 0.5
        await self.apply(
            f"{'another process' if other else 'this process'} imports to {account_id}",
            lambda world: world.import_entries(account_id, number, other_process=other),
        )

    async def learn_side(self) -> None:
        account_id = self.random.choice(SIDELESS_IDS)

        def learn(world: WholeGateway) -> None:
            provider = world.find_provider(account_id)
            if provider is not None:
                provider.known_sides.add(account_id)

        await self.apply(f"the side of {account_id} is read", learn)

    async def change_health(self) -> None:
        name = self.random.choice(list(CONNECTORS))
        state = self.random.choice(list(HealthState))
        code = self.random.choice((None, ErrorCode.PROVIDER_TIMEOUT))
        failed_at = None if code is None else START
        status = ConnectorStatus(
            state, self.fast.now, failed_at, code, down_since=failed_at, retry_at=failed_at
        )

        def change(world: WholeGateway) -> None:
            world.watch.statuses[name] = status
            world.budget_used[name] += 1

        await self.apply(f"{name} is {state.name}", change)

    EVENTS = (
        *(wait, wait, wait, wait, wait, approach_midnight, approach_midnight),
        *(change_values, change_values, change_values, fail_or_recover, fail_or_recover),
        *(write_in_flight, set_opening_balance, set_opening_balance, set_opening_balance, settle),
        *(change_ledger, change_ledger, learn_side, change_health),
    )


async def run_history(seed: int, steps: int = 60) -> History:
    """Run one history; fails with the history when a response differs."""
    with without_early_refresh():
        async with open_worlds(2) as (fast, core):
            history = History(seed, fast, core)
            await history.run(steps)
            return history


def main() -> None:
    """Run seeds until one fails or all pass."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--trace", action="store_true")
    options = parser.parse_args()
    responses = 0
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        history = asyncio.run(run_history(seed, options.steps))
        responses += len(history.trace)
        if options.trace:
            print(*history.trace, sep="\n")
    print(f"{options.seeds} histories, {responses} responses and events")


if __name__ == "__main__":
    main()
