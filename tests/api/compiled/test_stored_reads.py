"""After a change of the storage a request is answered without waiting, with the new value."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import orjson
import pytest

from balance_gateway.api.compiled import account_pages
from balance_gateway.api.compiled.account_json import AccountWriter
from balance_gateway.api.compiled.account_json_cache import AccountJson
from balance_gateway.api.compiled.output import Output
from balance_gateway.api.compiled.request_values import STORED_BALANCES_MAX, RequestValues
from balance_gateway.api.execution.engine import GraphQLRequest
from balance_gateway.api.request.context import Caller
from balance_gateway.domain.accounts import Account
from tests.api.compiled.gateway_harness import START
from tests.api.compiled.random_history import ADMIN
from tests.api.compiled.scripted_parts import ACCOUNTS, LOCAL_IDS
from tests.api.compiled.whole_gateway import SentRequest, WholeGateway, open_worlds

ACCOUNT = LOCAL_IDS[0]
DAY = f'"{START.date()}"'


async def answer(world: WholeGateway, query: str) -> tuple[bool, Any]:
    """Return whether a query was answered without waiting, and its data."""
    engine, caller = world.compiled, Caller(ADMIN, "request")
    operation = engine.prepare(GraphQLRequest(query))
    body = orjson.dumps({"query": query})
    response = engine.try_cached(operation, caller, body) if engine.may_cache(caller) else None
    is_at_once = response is not None
    response = response or await engine.execute(operation, caller, body)
    result = json.loads(response.body)
    assert "errors" not in result
    return is_at_once, result["data"]


def ask_bank(*ids: str) -> str:
    """Write a query for the bank balances of accounts."""
    fields = [
        f'a{index}: bankAccount(id: "{one}") {{ balance(asOf: {DAY}) {{ bank {{ amount }} }} }}'
        for index, one in enumerate(ids)
    ]
    return f"{{ {' '.join(fields)} }}"


async def set_opening(world: WholeGateway, minor_units: int, account_id: str = ACCOUNT) -> None:
    await world.change_opening_outside(account_id, minor_units)


async def test_a_change_by_another_process_is_read_at_once() -> None:
    async with open_worlds() as [world]:
        found = []
        for minor_units in (100_00, 200_00, 300_00):
            await set_opening(world, minor_units)
            found.append(await answer(world, ask_bank(ACCOUNT)))

    amounts = [data["a0"]["balance"]["bank"]["amount"] for _, data in found]
    assert [is_at_once for is_at_once, _ in found] == [True, True, True]
    assert [float(each) for each in amounts] == sorted(float(each) for each in amounts)
    assert len(set(amounts)) == 3


async def test_a_value_that_was_read_is_not_counted_as_kept() -> None:
    async with open_worlds() as [world]:
        counters = [world.metrics.reads.labels("balance", state) for state in ("live", "cached")]
        counts = []
        for _ in range(2):
            await set_opening(world, 100_00)
            await answer(world, ask_bank(ACCOUNT))
            counts.append([each._value.get() for each in counters])
        await answer(world, ask_bank(ACCOUNT))
        counts.append([each._value.get() for each in counters])

    assert counts == [[1, 0], [2, 0], [2, 1]]


async def test_totals_and_series_are_read_at_once_too() -> None:
    totals = f"""{{ balanceTotals(asOf: {DAY}, filter: {{ connectors: ["books"] }}) {{
        bank {{ amount }} included }} }}"""
    first = START.date() - timedelta(9)
    series = f"""{{ bankAccount(id: "{ACCOUNT}") {{ balanceSeries(from: "{first}", to: {DAY}) {{
        points {{ balance {{ bank {{ amount }} }} }} }} }} }}"""
    async with open_worlds() as [world]:
        for one in LOCAL_IDS:
            await set_opening(world, 100_00, one)
        for query in (totals, series):
            before = await answer(world, query)
            await set_opening(world, 200_00)
            after = await answer(world, query)

            assert (before[0], after[0]) == (True, True)
            assert before[1] != after[1]
            await set_opening(world, 100_00)


@pytest.mark.parametrize("others", [0, 3])
async def test_only_what_is_missing_in_a_list_is_looked_for_again(
    others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = [each.id for each in ACCOUNTS.values() if each.connector == "main"][:others]
    ids = ", ".join(f'"{one}"' for one in [*main, "unknown", *LOCAL_IDS, "connector:main"])
    query = f"""{{ nodes(ids: [{ids}]) {{ id ... on BankAccount {{
        balance(asOf: {DAY}) {{ bank {{ amount }} }} }} }} }}"""
    lists, find_entries = [], AccountWriter._find_entries

    def note(self: AccountWriter, accounts: Sequence[Account], out: Output) -> list[AccountJson]:
        lists.append(len(accounts))
        return find_entries(self, accounts, out)

    async with open_worlds() as [world]:
        request = SentRequest(query, {}, ADMIN)
        for _ in range(2):
            await world.send(world.compiled, request)
        await set_opening(world, 200_00)
        monkeypatch.setattr(AccountWriter, "_find_entries", note)
        built = world.built
        changed = await world.send(world.compiled, request)
        expected = await world.send(world.graphql_core, request)

    assert changed.body == expected.body
    assert b'"20000"' in changed.body
    assert world.built == built + 1
    assert lists == [others + len(LOCAL_IDS)]


async def test_each_block_of_a_page_gets_its_own_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_pages, "BLOCK_SIZE", 2)
    own = [each for each in ACCOUNTS.values() if each.tenant == ADMIN.tenant]
    main = [each.id for each in own if each.connector == "main"]
    # Each block has one that is kept, and one that is missing.
    before, after = min(main), max(main)
    assert before < LOCAL_IDS[0] < LOCAL_IDS[1] < after
    ids = ", ".join(f'"{one}"' for one in (before, *LOCAL_IDS, after))
    page = f"""{{ bankAccounts(filter: {{ ids: [{ids}] }}) {{ nodes {{ id
        balance(asOf: {DAY}) {{ bank {{ amount }} }} }} }} }}"""
    async with open_worlds() as [world]:
        await world.send(world.compiled, SentRequest(page, {}, ADMIN))
        for one in LOCAL_IDS:
            await set_opening(world, 200_00, one)
        built = world.built
        found = await world.send(world.compiled, SentRequest(page, {}, ADMIN))
        expected = await world.send(world.graphql_core, SentRequest(page, {}, ADMIN))

    assert found.body == expected.body
    assert found.body.count(b'"amount":"20') == 2
    assert world.built == built + 1


async def test_a_task_that_waits_looks_for_the_whole_list_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it found before may have changed meanwhile."""
    main = [each.id for each in ACCOUNTS.values() if each.connector == "main"][:2]
    query = """query ($ids: [ID!]!) { nodes(ids: $ids) { ... on BankAccount {
        balance { ledger { amount } } } } }"""
    lists, find_entries = [], AccountWriter._find_entries

    def note(self: AccountWriter, accounts: Sequence[Account], out: Output) -> list[AccountJson]:
        lists.append(out.state.may_wait)
        return find_entries(self, accounts, out)

    monkeypatch.setattr(AccountWriter, "_find_entries", note)
    async with open_worlds() as [world]:
        await world.send(world.compiled, SentRequest(query, {"ids": main}, ADMIN))

    assert lists == [False, True, True]


async def test_the_storage_is_read_once_for_all_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither beyond its limit, nor again when the read was not possible."""
    days = [f"2026-01-{day:02}" for day in range(1, 32)]
    fields = " ".join(
        f'd{index}: balance(asOf: "{day}") {{ asOf }}' for index, day in enumerate(days)
    )
    ids = ", ".join(f'"{one}"' for one in LOCAL_IDS)
    query = f"{{ nodes(ids: [{ids}]) {{ ... on BankAccount {{ {fields} }} }} }}"
    double = f"{{ {' '.join(f'l{n}: {query[2:-2]}' for n in range(2))} }}"
    read_now = RequestValues.read_now
    sizes: list[int] = []
    async with open_worlds() as [world]:

        def note(self: RequestValues) -> bool:
            sizes.append(len(self._missing_balances))
            return len(sizes) > 1 and read_now(self)

        monkeypatch.setattr(RequestValues, "read_now", note)
        refused = await answer(world, double)
        asked = list(sizes)
        possible = await answer(world, double)

    assert asked == [2 * len(days)]
    assert not refused[0]
    assert refused[1] == possible[1]


async def test_what_needs_more_than_balances_waits() -> None:
    others = [each.id for each in ACCOUNTS.values() if each.connector == "main"]
    opening = f'{{ bankAccount(id: "{ACCOUNT}") {{ openingBalance {{ source }} }} }}'
    queries = {
        "an opening balance": opening,
        "a provider": ask_bank(ACCOUNT, others[0]),
        "a provider first": ask_bank(others[1], ACCOUNT),
        "a write": f'{{ bankAccount(id: "{ACCOUNT}") {{ unsettledWrite {{ writeId }} }} }}',
    }
    async with open_worlds() as [world]:
        for name, query in queries.items():
            assert not (await answer(world, query))[0], name


async def test_more_than_a_few_balances_wait() -> None:
    days = [f"2026-01-{day:02}" for day in range(1, 32)] + [
        f"2025-{month:02}-{day:02}" for month in (10, 12) for day in range(1, 32)
    ]
    assert len(days) * 2 > STORED_BALANCES_MAX > 62
    fields = [
        f'd{number}: balance(asOf: "{day}") {{ bank {{ amount }} }}'
        for number, day in enumerate(days)
    ]
    queries = [f'{{ bankAccount(id: "{one}") {{ {" ".join(fields)} }} }}' for one in LOCAL_IDS[:2]]
    both = f"{{ {' '.join(f'b{index}: {query[2:-2]}' for index, query in enumerate(queries))} }}"
    async with open_worlds() as [world]:
        few = await answer(world, queries[0])
        await set_opening(world, 1)
        many = await answer(world, both)

    assert (few[0], many[0]) == (True, False)


async def test_a_storage_that_cannot_be_read_at_once_is_waited_for() -> None:
    async with open_worlds() as [world]:
        world.ledger._database._reader = None
        await set_opening(world, 100_00)
        is_at_once, data = await answer(world, ask_bank(ACCOUNT))

    assert not is_at_once
    assert data["a0"]["balance"]["bank"]["amount"]
