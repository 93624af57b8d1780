"""What the compiled executor keeps is bounded, and failed lookups store nothing."""

import gc

import pytest
from graphql import parse

from balance_gateway.api.compiled import templates
from balance_gateway.api.compiled.account_fields import BANK_ACCOUNT
from balance_gateway.api.compiled.account_json_cache import AccountJson, AccountJsonCache
from balance_gateway.api.compiled.argument_coercion import _parse_day
from balance_gateway.api.compiled.argument_sources import LiteralSlots, VariableDefinitions
from balance_gateway.api.compiled.compiler import Compiler
from balance_gateway.api.compiled.engine import CompiledEngine
from balance_gateway.api.compiled.kept_responses import KeptResponses
from balance_gateway.api.compiled.plan import Plan, Plans
from balance_gateway.api.compiled.selections import Selections
from balance_gateway.api.execution.engine import Engine, GraphQLRequest
from balance_gateway.api.request.context import Caller
from balance_gateway.api.request.limits import Limits
from balance_gateway.observability.metrics import Metrics
from balance_gateway.ports.cache_validity import CacheValidity
from tests.api.compiled.gateway_harness import READER, GatewayHarness, find_plan


def compile_document(harness: GatewayHarness, query: str) -> Plan | None:
    """Return the plan of a document; None when graphql-core executes it."""
    variables = {"i": "a0"} if "$i" in query else None
    return find_plan(harness.compiled.prepare(GraphQLRequest(query, variables)))


def test_a_document_that_expands_to_many_times_its_length_is_not_compiled() -> None:
    """Three nested levels of fragments expand a short document to 8,000 leaf fields."""
    balances = " ".join(f"b{number}: balance {{ ...F }}" for number in range(20))
    moneys = " ".join(f"m{number}: ledger {{ ...M }}" for number in range(20))
    leaves = " ".join(f"l{number}: exponent" for number in range(20))
    text = (
        f"query ($i: ID!) {{ bankAccount(id: $i) {{ {balances} }} }}"
        f" fragment F on Balance {{ {moneys} }} fragment M on Money {{ {leaves} }}"
    )

    assert compile_document(GatewayHarness(), text) is None


def test_a_document_with_many_spreads_of_one_fragment_is_compiled() -> None:
    accounts = " ".join(f"a{number}: bankAccount(id: $i) {{ ...F }}" for number in range(100))
    text = (
        f"query ($i: ID!) {{ {accounts} }} fragment F on BankAccount {{ id name currency"
        " balance { asOf ledger { amount } bank { amount } freshness { state observedAt } } }"
    )

    assert compile_document(GatewayHarness(), text) is not None


def test_a_signature_has_a_fixed_size() -> None:
    document = parse("{ bankAccount { " + "x" * 10_000 + ": id } }")
    operation = document.definitions[0]
    compiler = Compiler(
        Selections({}, {}, 10), VariableDefinitions(operation, LiteralSlots()), LiteralSlots()
    )
    compiler.compile_object(BANK_ACCOUNT, operation.selection_set.selections, ())

    assert len(compiler.build_signature()) == 32


def count_plans_in_memory() -> int:
    gc.collect()
    return sum(isinstance(each, Plans) for each in gc.get_objects())


def test_a_plan_is_evicted_with_its_document() -> None:
    harness = GatewayHarness()
    limits = Limits(cached_documents=2)
    engine = CompiledEngine(
        Engine(harness.gateway, limits=limits),
        harness.gateway,
        limits=limits,
        request_timeout_s=10.0,
        metrics=Metrics(),
    )
    before = count_plans_in_memory()

    for number in range(20):
        engine.prepare(
            GraphQLRequest(f"query ($i: ID!) {{ bankAccount(id: $i) {{ x{number}: id }} }}")
        )

    assert count_plans_in_memory() - before == 2


def test_templates_are_bounded_by_the_characters_of_their_documents(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(templates, "TEMPLATE_CHARACTERS_MAX", 1_000)
    harness = GatewayHarness()

    for number in range(20):
        compile_document(harness, f'{{ bankAccount(id: "{"x" * 300}") {{ x{number}: id }} }}')

    assert 1 <= len(harness.compiled._templates) <= 3


async def test_a_text_longer_than_a_day_is_not_cached() -> None:
    harness = GatewayHarness()
    size_before = _parse_day.cache_info().currsize
    query = 'query ($d: Date) { bankAccount(id: "a0") { balance(asOf: $d) { asOf } } }'

    response = await harness.send(harness.compiled, query, {"d": "2026-01-01" + "x" * 10_000})

    assert b'"data"' not in response
    assert _parse_day.cache_info().currsize == size_before


async def test_a_request_for_an_unknown_account_caches_nothing() -> None:
    harness = GatewayHarness()
    query = """query ($age: Int) { bankAccount(id: "unknown") {
      balance(maxAgeSeconds: $age, asOf: "2026-01-01") { asOf } } }"""

    for age in range(20):
        await harness.send(harness.compiled, query, {"age": age})

    assert harness.compiled._kept_parts.account_json.size_bytes == 0
    assert len(harness.compiled._kept_parts.values) == 0


def make_json(body: bytes) -> AccountJson:
    return AccountJson([body], (), 1.0, CacheValidity(), (), 1)


def test_cached_account_json_is_bounded_by_its_bytes_and_keys() -> None:
    cache = AccountJsonCache(100_000)

    for number in range(1_000):
        cache.put((b"signature", number), "a0", make_json(b"x" * 50))

    assert 0 < len(cache) < 100
    assert cache.size_bytes <= 100_000
    assert cache.get_table((b"signature", 999))
    assert not cache.get_table((b"signature", 0))


def test_a_replaced_entry_is_counted_once_and_a_large_entry_is_not_stored() -> None:
    cache = AccountJsonCache(100_000)
    cache.put((b"signature",), "a0", make_json(b"x" * 100))
    size = cache.size_bytes

    for _ in range(500):
        cache.put((b"signature",), "a0", make_json(b"y" * 100))
    cache.put((b"signature",), "a1", make_json(b"z" * 100_000))

    assert cache.size_bytes == size
    assert list(cache.get_table((b"signature",))) == ["a0"]


async def test_kept_responses_are_bounded_by_bytes_including_overhead() -> None:
    harness = GatewayHarness()
    harness.compiled._kept_responses = KeptResponses(100_000)
    query = '{ bankAccount(id: "a0") { balance { asOf } } }'
    await harness.send(harness.compiled, query)
    operation = harness.compiled.prepare(GraphQLRequest(query))

    for number in range(500):
        for _ in range(2):
            harness.compiled.try_cached(operation, Caller(READER, "request"), b"%d" % number)

    assert 50 < len(harness.compiled._kept_responses) < 200
    assert harness.compiled._kept_responses.size_bytes <= 100_000
