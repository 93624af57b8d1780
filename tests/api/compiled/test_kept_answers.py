"""What an engine keeps is given only to whom it belongs, while it is true, and within bounds."""

import asyncio
import gc
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from types import FunctionType
from typing import Any

import orjson
import pytest

from balance_gateway.domain.accounts import Side
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource
from balance_gateway.domain.money import Money
from tests.api.compiled.gateway_harness import START, is_same_response
from tests.api.compiled.random_documents import write_document
from tests.api.compiled.random_history import (
    ADMIN,
    AUDITOR,
    DOCUMENTS,
    LATER_TOKEN,
    OTHER_READER,
    PRINCIPALS,
    READER,
    TOKEN,
    History,
    run_history,
    without_early_refresh,
)
from tests.api.compiled.scripted_parts import ACCOUNTS
from tests.api.compiled.whole_gateway import SentRequest, WholeGateway, open_worlds

#: Run more of them with ``python -m tests.api.compiled.random_history``.
SEEDS = range(6, 8)


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_response_of_a_history_is_that_of_graphql_core(seed: int) -> None:
    history = await run_history(seed)

    assert len(history.trace) > 60


async def test_histories_keep_responses_and_have_every_outcome_of_a_write() -> None:
    """A history in which nothing is kept would hold nothing."""
    history = await run_history(7, 90)

    assert history.fast.kept > 5
    assert history.fast.built > 5
    assert history.core.kept == history.core.built == 0
    outcomes = {one.outcome.value for one in history.core.journal.records.values()}
    assert outcomes >= {"applied", "uncertain"}


# Rights


@pytest.mark.parametrize("seed", range(1))
async def test_a_kept_response_is_given_to_no_other_caller(seed: int) -> None:
    """Callers of both tenants, with all, some and no scopes, send the same bodies in any order."""
    generator = random.Random(seed)
    bodies = [*DOCUMENTS, *(write_document(random.Random(seed * 100 + n)) for n in range(2))]
    with without_early_refresh():
        async with open_worlds(2) as (fast, core):
            history = History(seed, fast, core)
            calls = [(body, caller) for body in bodies for caller in PRINCIPALS]
            generator.shuffle(calls)
            for (query, variables), caller in calls:
                response = await history.compare(query, variables, caller)
                other = b"globex" if caller.tenant != "globex" else b"acme"
                assert other not in response.body, (caller, query, variables)


async def test_callers_with_equal_rights_get_equal_data_whatever_their_name() -> None:
    async with open_worlds(1) as (world,):
        for query, variables in DOCUMENTS:
            if "viewer" in query:
                continue
            for _ in range(3):
                await world.send(world.compiled, SentRequest(query, variables, READER))
            first, second = [
                (await world.send(world.compiled, SentRequest(query, variables, caller))).body
                for caller in (READER, OTHER_READER)
            ]
            assert is_same_response(first, second), query


async def test_callers_that_differ_in_name_or_expiry_see_their_own() -> None:
    """Equal principals may have tokens that expire at different times, which a viewer shows."""
    query = "{ viewer { name scopes expiresAt } bankAccounts(first: 1) { nodes { name } } }"
    callers = (READER, TOKEN, LATER_TOKEN, OTHER_READER, AUDITOR)
    async with open_worlds(1) as (world,):
        for _ in range(4):
            bodies = [
                (await world.send(world.compiled, SentRequest(query, {}, caller))).body
                for caller in callers
            ]
            shown = [orjson.loads(body)["data"]["viewer"] for body in bodies]

            assert len(set(bodies)) == len(callers)
            assert [each["name"] for each in shown] == [each.name for each in callers]
            assert [each["expiresAt"] is None for each in shown] == [True, False, False, True, True]


# The newest value wins

TODAY = "{ id balance { asOf ledger { minorUnits } } }"
LIVE = "{ id balance(maxAgeSeconds: 0) { asOf ledger { minorUnits } } }"
OPENING = "{ id openingBalance { amount { minorUnits } } balance { asOf ledger { minorUnits } } }"
FEED = "{ id latestBank { amount { minorUnits } } }"
SERIES = """{ id balanceSeries(from: "2026-05-05", to: "2026-05-08") {
  points { balance { asOf ledger { minorUnits } } } } }"""
HISTORY = """{ id balanceHistory(from: "2026-05-06", to: "2026-05-08") {
  asOf ledger { minorUnits } } }"""
WATCHED = ("a0", "a1", "a3", "a10")


def list_values(data: Any, account_id: str | None = None) -> Iterator[tuple[Any, int]]:
    """Yield what is shown of each account, and its amount so that a newer one is higher."""
    if isinstance(data, list):
        for each in data:
            yield from list_values(each, account_id)
    elif isinstance(data, dict):
        account_id = data.get("id", account_id)
        for name, each in data.items():
            if name in ("ledger", "amount") and each is not None:
                assert account_id is not None
                day = data.get("asOf", "now" if "asOf" not in data else "")
                yield (account_id, name, day), int(each["minorUnits"])
            else:
                inner = f"{name}" if name in ("openingBalance", "latestBank") else None
                for (owner, kind, day), amount in list_values(each, account_id):
                    yield (owner, f"{inner} {kind}" if inner else kind, day), amount


def order(key: Any, amount: int) -> int:
    """Return the amount with the sign with which newer values are higher."""
    account_id, kind, _ = key
    number = int(account_id[1:])
    if kind.startswith("openingBalance"):
        return amount
    if kind.startswith("latestBank"):
        return amount if ACCOUNTS[account_id].normal_balance is Side.DEBIT else -amount
    return amount if number % 2 == 0 else -amount


@dataclass
class Watching:
    """Readers that run at the same time as changes, and what was shown of each value so far."""

    world: WholeGateway
    engine: Any
    random: random.Random
    newest: dict[Any, int] = field(default_factory=dict)
    responses: int = 0
    raised: int = 0

    async def pause(self) -> None:
        for _ in range(self.random.randrange(12)):
            await asyncio.sleep(0)

    async def read(self) -> None:
        for _ in range(40):
            await self.pause()
            selection = self.random.choice((TODAY, TODAY, LIVE, OPENING, FEED, SERIES, HISTORY))
            ids = orjson.dumps(self.random.sample(WATCHED, 2)).decode()
            query = self.random.choice(
                (
                    f'{{ bankAccount(id: "{self.random.choice(WATCHED)}") {selection} }}',
                    f"{{ nodes(ids: {ids}) {{ ... on BankAccount {selection} }} }}",
                    f"{{ bankAccounts(filter: {{ids: {ids}}}) {{ nodes {selection} }} }}",
                )
            )
            # A request that began before another one ended may still show what it has read.
            before = dict(self.newest)
            response = await self.world.send(self.engine, SentRequest(query, {}, ADMIN))
            self.responses += 1
            for key, amount in list_values(orjson.loads(response.body)["data"]):
                value = order(key, amount)
                assert value >= before.get(key, value), (query, key, self.responses)
                self.raised += value > self.newest.get(key, value)
                self.newest[key] = max(value, self.newest.get(key, value))

    async def change(self) -> None:
        for number in range(1, 80):
            await self.pause()
            account_id = self.random.choice(WATCHED)
            account, provider = ACCOUNTS[account_id], self.world.find_provider(account_id)
            assert provider is not None
            is_fenced = self.random.random() < 0.3
            if is_fenced:
                await self.world.reads.begin_write(account, f"{number}")
                await self.pause()
            provider.versions[account_id] += 1
            amount = Money(10**25 + number, account.currency)
            provider.set_balances[account_id] = OpeningBalance(
                amount, None, OpeningBalanceSource.PROVIDER
            )
            if is_fenced:
                await self.pause()
                await self.world.reads.end_write(account, f"{number}")
            self.world.clock.now += timedelta(seconds=self.random.choice((0, 0, 1, 9, 31)))


@pytest.mark.parametrize(
    ("engine_name", "seed"),
    [("compiled", 0), ("compiled", 1), ("graphql_core", 0)],
)
async def test_no_older_value_follows_a_newer_one_among_requests_in_flight(
    engine_name: str, seed: int
) -> None:
    """A request that begins after a response was sent shows nothing older than that response."""
    with without_early_refresh():
        async with open_worlds(1) as (world,):
            watching = Watching(world, getattr(world, engine_name), random.Random(seed))
            for provider in world.providers.values():
                provider.wait = watching.pause
            async with asyncio.TaskGroup() as group:
                for _ in range(4):
                    group.create_task(watching.read())
                group.create_task(watching.change())

    assert watching.responses == 160
    assert watching.raised > 50


# Bounds

#: The limits that the engine states for kept responses and for kept account JSON, and what
#: parsed documents and Python's own objects may take besides.
KEPT_BYTES_MAX = 64_000_000 + 64_000_000 + 10_000_000


def measure_kept_bytes(engine: Any, gateway: Any) -> int:
    """Return the size of all texts that the engine keeps, without those of the gateway."""
    seen, left, total = {id(gateway), id(type(engine))}, [engine], 0
    while left:
        each = left.pop()
        if id(each) in seen or isinstance(each, type) or type(each).__name__ == "module":
            continue
        seen.add(id(each))
        if isinstance(each, bytes | str):
            total += len(each)
        elif isinstance(each, FunctionType):
            # Not its globals: they reach whatever else is alive in the process.
            left += each.__closure__ or ()
        elif not callable(each) or hasattr(each, "__dict__"):
            left += gc.get_referents(each)
    return total


async def test_many_different_bodies_do_not_grow_what_is_kept_beyond_its_bound() -> None:
    """Bodies of 100 kB with one document: only what is kept for each body counts."""
    query = '{ bankAccount(id: "a0") { name balance { asOf } } }'
    async with open_worlds(1) as (world,):
        engine = world.build_compiled()
        for number in range(1_200):
            padding = {"unused": f"{number}" + "x" * 100_000}
            await world.send(engine, SentRequest(query, padding, ADMIN))

        assert measure_kept_bytes(engine, world.gateway) < KEPT_BYTES_MAX


async def test_many_different_arguments_do_not_grow_what_is_kept_beyond_its_bound() -> None:
    """Each day has a response of 60 kB of its own."""
    query = (
        f'query ($day: Date!) {{ bankAccount(id: "a0") {{ {"x" * 60_000}: id balance(asOf: $day) {{'
        " asOf } } }"
    )
    async with open_worlds(1) as (world,):
        engine = world.build_compiled()
        for number in range(1_600):
            day = (START.date() - timedelta(days=number)).isoformat()
            await world.send(engine, SentRequest(query, {"day": day}, ADMIN, is_post=False))

        assert measure_kept_bytes(engine, world.gateway) < KEPT_BYTES_MAX


async def test_many_different_documents_do_not_grow_what_is_kept_beyond_its_bound() -> None:
    """Documents are the costliest to keep: beside each text there is what was compiled from it."""
    async with open_worlds(1) as (world,):
        engine = world.build_compiled()
        sizes = []
        for number in range(1, 151):
            query = f'{{ bankAccount(id: "a0") {{ x{number}{"y" * 20_000}: name }} }}'
            await world.send(engine, SentRequest(query, {}, READER, is_post=False))
            if number % 75 == 0:
                sizes.append(measure_kept_bytes(engine, world.gateway))

        # The limits of documents and templates hold 75 of them at most.
        assert sizes[1] < sizes[0] * 1.5
