"""Every kind of query is kept as a whole, also stored values and graphql-core's responses."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from graphql import get_introspection_query

from balance_gateway.api.execution.engine import GraphQLRequest
from balance_gateway.api.request.context import Caller
from balance_gateway.ports.storage_changes import StorageChanges, StorageUnavailable
from tests.api.compiled.random_history import ADMIN, READER
from tests.api.compiled.scripted_parts import LOCAL_IDS
from tests.api.compiled.whole_gateway import SentRequest, WholeGateway, open_worlds

BOOKS = LOCAL_IDS[0]
LEDGER = f"""{{ bankAccount(id: "{BOOKS}") {{
  balance(asOf: "2026-05-07") {{ ledger {{ minorUnits }}
    freshness {{ state observedAt }} }} }} }}"""
WRITES = "{ openingBalanceWrites(first: 5) { nodes { id outcome } } }"
SERIES = """{ bankAccount(id: "a0") { balanceSeries(from: "2026-04-01", to: "2026-04-30") {
  points { day balance { ledger { amount } } problem { code } } } } }"""
QUERIES = {
    "page": "{ bankAccounts(first: 5) { totalCount nodes { id balance { asOf } } } }",
    "edges": "{ bankAccounts(first: 5) { edges { cursor node { name } } } }",
    "totals": """{ balanceTotals(filter: {providers: [LIGHT, LAYER, LOCAL]}) {
      currency ledger { amount } oldestObservedAt } }""",
    "series": SERIES,
    "history": SERIES.replace("Series(", "History(").replace(
        "points { day balance { ledger { amount } } problem { code } }", "asOf ledger { amount }"
    ),
    "connectors": "{ connectors { name health { state } budget { remaining } } }",
    "unknown id": '{ nodes(ids: ["a0", "none"]) { id } }',
    "wrong argument": '{ bankAccount(id: "a0") { id balance(maxAgeSeconds: -1) { asOf } } }',
    "two roots": '{ bankAccount(id: "a0") { id } connectors { name } gateway { version } }',
    "viewer": "{ viewer { name } }",
    "embedded ledger": LEDGER,
    "unsettled writes": '{ bankAccount(id: "a0") { unsettledWrite { at } } }',
    "writes": WRITES,
    "introspection": get_introspection_query(),
    "unusual id": "{ node(id: 5) { id } }",
}


@pytest.fixture
async def world() -> AsyncIterator[WholeGateway]:
    async with open_worlds(1) as (world,):
        yield world


async def ask(world: WholeGateway, query: str) -> bytes:
    return (await world.send(world.compiled, SentRequest(query, {}, ADMIN))).body


@pytest.mark.parametrize("name", QUERIES)
async def test_the_same_query_again_is_answered_from_what_is_kept(
    world: WholeGateway, name: str
) -> None:
    for _ in range(3):
        await ask(world, QUERIES[name])
        world.clock.now += timedelta(milliseconds=1)

    assert world.kept > 0


async def test_somebody_with_the_same_rights_gets_the_kept_response(world: WholeGateway) -> None:
    for _ in range(3):
        await ask(world, QUERIES["page"])
    kept = world.kept

    for name in ("one", "other"):
        caller = type(ADMIN)(name, ADMIN.tenant, ADMIN.scopes)
        await world.send(world.compiled, SentRequest(QUERIES["page"], {}, caller))
    await world.send(world.compiled, SentRequest(QUERIES["page"], {}, READER))

    assert world.kept == kept + 2


async def test_an_import_of_another_process_is_shown_at_once(world: WholeGateway) -> None:
    before = [await ask(world, LEDGER) for _ in range(3)]

    await world.import_entries(BOOKS, 1, other_process=True)

    assert len(set(before)) == 1
    assert await ask(world, LEDGER) not in before


async def test_a_kept_stored_value_is_as_of_the_request(world: WholeGateway) -> None:
    for _ in range(3):
        await ask(world, LEDGER)
    world.clock.now += timedelta(hours=1)

    response = await ask(world, LEDGER)

    assert world.now.isoformat().replace("+00:00", "Z").encode() in response
    assert b'"state":"LIVE"' in response


async def test_a_list_of_writes_is_kept_until_the_journal_changes(world: WholeGateway) -> None:
    before = [await ask(world, WRITES) for _ in range(3)]
    kept = world.kept

    await ask(
        world,
        'mutation { upsertOpeningBalance(input: {accountId: "a0", amount: {minorUnits: "5", '
        'currency: "EUR"}}) { __typename } }',
    )

    assert kept == 2
    assert await ask(world, WRITES) not in before


class RemoteStorage:
    """Looks that take a round trip, as at PostgreSQL; they fail while it is gone."""

    def __init__(self, changes: StorageChanges) -> None:
        self._changes = changes
        self.looks = 0
        self.is_gone = False

    def look_now(self) -> int | None:
        return None

    async def look(self) -> int:
        self.looks += 1
        if self.is_gone:
            raise StorageUnavailable("It is gone.")
        return await self._changes.look()


async def test_a_storage_that_takes_a_round_trip_is_looked_at_once_a_request(
    world: WholeGateway,
) -> None:
    storage = RemoteStorage(world.gateway.storage_changes)
    object.__setattr__(world.gateway, "storage_changes", storage)
    world.compiled = world.build_compiled()
    before = [await ask(world, LEDGER) for _ in range(2)]
    looks = storage.looks

    again = await ask(world, LEDGER)
    await world.import_entries(BOOKS, 1, other_process=True)
    after = await ask(world, LEDGER)

    assert {*before, again} == {again}
    assert after != again
    assert looks < storage.looks <= looks + 3


async def test_nothing_stored_is_taken_as_unchanged_while_the_storage_is_gone(
    world: WholeGateway,
) -> None:
    storage = RemoteStorage(world.gateway.storage_changes)
    object.__setattr__(world.gateway, "storage_changes", storage)
    world.compiled = world.build_compiled()
    for _ in range(3):
        await ask(world, LEDGER)
    storage.is_gone = True
    await world.import_entries(BOOKS, 1, other_process=True)

    response = await ask(world, LEDGER)

    storage.is_gone = False
    assert response == await ask(world, LEDGER)


async def test_each_operation_that_is_not_compiled_is_counted(world: WholeGateway) -> None:
    for query in (QUERIES["introspection"], QUERIES["unusual id"], QUERIES["page"]):
        await ask(world, query)

    counts = {
        sample.labels["reason"]: sample.value
        for metric in world.metrics.registry.collect()
        if metric.name == "balance_gateway_graphql_fallbacks"
        for sample in metric.samples
        if sample.name.endswith("_total")
    }
    assert counts == {"field": 1, "argument": 1}


async def test_kept_values_are_counted_by_whichever_stage_writes_them(world: WholeGateway) -> None:
    """A request of a task is executed at once where it was prepared before."""
    engine, caller = world.compiled, Caller(ADMIN, "request")
    query = '{ nodes(ids: ["a0", "a1"]) { ... on BankAccount { balance { ledger { amount } } } } }'
    operation = engine.prepare(GraphQLRequest(query))
    counter = world.metrics.reads.labels("balance", "cached")
    counts = []
    for _ in range(2):
        await engine.execute(operation, caller)
        counts.append(counter._value.get())
    assert engine.may_cache(caller)
    assert engine.try_cached(operation, caller, None) is not None
    counts.append(counter._value.get())

    assert counts == [0, 2, 4]
