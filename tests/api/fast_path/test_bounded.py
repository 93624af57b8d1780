"""What is kept to answer faster is bounded by its size, and reading keeps nothing."""

import gc

import pytest

from balance_gateway.api.execution.engine import Engine, GraphQLRequest
from balance_gateway.api.fast_path import engine as compiled_engine
from balance_gateway.api.fast_path.account_json_cache import AccountJsonCache, CachedAccountJson
from balance_gateway.api.fast_path.argument_coercion import _day
from balance_gateway.api.fast_path.engine import FastPathEngine
from balance_gateway.api.fast_path.operation_plan import Plan
from balance_gateway.api.request.context import Caller
from balance_gateway.api.request.limits import Limits
from balance_gateway.observability.metrics import Metrics
from balance_gateway.ports.cache_validity import (
    CacheValidity,
)
from tests.api.fast_path.gateway_harness import READER, World


def plan_of(world: World, query: str) -> Plan | None:
    """The plan of a document."""
    plan: Plan | None = getattr(world.compiled.prepare(GraphQLRequest(query)), "plan", None)
    return plan


def test_what_unfolds_to_many_times_its_length_is_not_compiled() -> None:
    balances = " ".join(f"b{number}: balance {{ ...F }}" for number in range(20))
    moneys = " ".join(f"m{number}: ledger {{ ...M }}" for number in range(20))
    leaves = " ".join(f"l{number}: exponent" for number in range(20))
    text = (
        f"query ($i: ID!) {{ bankAccount(id: $i) {{ {balances} }} }}"
        f" fragment F on Balance {{ {moneys} }} fragment M on Money {{ {leaves} }}"
    )

    assert plan_of(World(), text) is None


def test_what_is_written_out_or_spread_now_and_then_is_compiled() -> None:
    accounts = " ".join(f"a{number}: bankAccount(id: $i) {{ ...F }}" for number in range(100))
    text = (
        f"query ($i: ID!) {{ {accounts} }} fragment F on BankAccount {{ id name currency"
        " balance { asOf ledger { amount } bank { amount } freshness { state observedAt } } }"
    )

    assert plan_of(World(), text) is not None


def test_a_signature_does_not_grow_with_its_selection() -> None:
    plan = plan_of(World(), f'{{ bankAccount(id: "a0") {{ {"x" * 10_000}: id }} }}')

    assert plan is not None
    assert len(plan.roots[0].entity.signature) == 32


def plans_alive() -> int:
    gc.collect()
    return sum(isinstance(each, Plan) for each in gc.get_objects())


def test_a_plan_is_forgotten_with_its_document() -> None:
    world = World()
    limits = Limits(cached_documents=2)
    engine = FastPathEngine(
        Engine(world.gateway, limits=limits),
        world.gateway,
        limits=limits,
        request_timeout_s=10.0,
        metrics=Metrics(),
    )
    before = plans_alive()

    for number in range(20):
        engine.prepare(
            GraphQLRequest(f"query ($i: ID!) {{ bankAccount(id: $i) {{ x{number}: id }} }}")
        )

    assert plans_alive() - before == 2


def test_templates_are_counted_with_the_documents_that_they_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled_engine, "TEMPLATE_CHARACTERS_MAX", 1_000)
    world = World()

    for number in range(20):
        plan_of(world, f'{{ bankAccount(id: "{"x" * 300}") {{ x{number}: id }} }}')

    assert 1 <= len(world.compiled._templates) <= 3


async def test_text_that_is_no_day_is_not_remembered_as_such() -> None:
    world = World()
    known = _day.cache_info().currsize
    query = 'query ($d: Date) { bankAccount(id: "a0") { balance(asOf: $d) { asOf } } }'

    answer = await world.answer(world.compiled, query, {"d": "2026-01-01" + "x" * 10_000})

    assert b'"data"' not in answer
    assert _day.cache_info().currsize == known


async def test_asking_for_what_is_not_there_keeps_nothing() -> None:
    world = World()
    query = """query ($age: Int) { bankAccount(id: "nobody") {
      balance(maxAgeSeconds: $age, asOf: "2026-01-01") { asOf } } }"""

    for age in range(20):
        await world.answer(world.compiled, query, {"age": age})

    assert world.compiled._answerer._tables.bytes == 0


def test_fragments_are_bounded_by_their_bytes_and_their_keys() -> None:
    tables = AccountJsonCache(bytes_max=100_000)

    for number in range(1_000):
        tables.put((b"asked", number), "a0", CachedAccountJson(b"x" * 50, 1.0, CacheValidity()))

    assert 0 < len(tables) < 100
    assert tables.bytes <= 100_000
    assert tables.table((b"asked", 999))
    assert not tables.table((b"asked", 0))


def test_a_fragment_in_place_of_another_is_counted_once_and_a_large_one_is_not_kept() -> None:
    tables = AccountJsonCache(bytes_max=100_000)
    tables.put((b"asked",), "a0", CachedAccountJson(b"x" * 100, 1.0, CacheValidity()))
    size = tables.bytes

    for _ in range(500):
        tables.put((b"asked",), "a0", CachedAccountJson(b"y" * 100, 1.0, CacheValidity()))
    tables.put((b"asked",), "a1", CachedAccountJson(b"z" * 101, 1.0, CacheValidity()))

    assert tables.bytes == size
    assert list(tables.table((b"asked",))) == ["a0"]


async def test_remembered_answers_are_counted_with_what_they_take_besides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled_engine, "REMEMBERED_BYTES_MAX", 100_000)
    world = World()
    query = '{ bankAccount(id: "a0") { balance { asOf } } }'
    await world.answer(world.compiled, query)
    operation = world.compiled.prepare(GraphQLRequest(query))

    for number in range(500):
        world.compiled.try_cached(operation, Caller(READER, "request"), b"%d" % number)

    assert 50 < len(world.compiled._remembered) < 200
