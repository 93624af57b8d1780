"""Documents that differ in string literals only share a template, without mixing up results."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api.compiled.documents import literal_variants
from tests.api.compiled.gateway_harness import GatewayHarness, is_same_response
from tests.api.compiled.test_matches_graphql_core import run_script


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.just("request"), literal_variants()), min_size=2, max_size=6))
def test_documents_of_one_template_get_the_responses_of_graphql_core(
    script: list[tuple[str, Any]],
) -> None:
    asyncio.run(run_script(script))


@pytest.mark.parametrize(
    "query",
    [
        '{ bankAccount(id: "nope") { id balance(asOf: "2026-03-01") { asOf } } }',
        '{ bankAccount(id: "a1") { id balance(asOf: "2026-02-30") { asOf } } }',
        '{ bankAccount(id: "a7") { id balance(asOf: "2026-03-01") { asOf } } }',
    ],
    ids=["unknown account", "no such day", "another tenant's account"],
)
async def test_an_invalid_literal_is_not_served_from_another_documents_literals(
    query: str,
) -> None:
    harness, reference = GatewayHarness(), GatewayHarness()
    valid = '{ bankAccount(id: "a1") { id balance(asOf: "2026-03-01") { asOf } } }'
    await harness.send(harness.compiled, valid)

    actual = await harness.send(harness.compiled, query)

    assert b'"id":"a1"' not in actual
    assert is_same_response(actual, await reference.send(reference.graphql_core, query))


async def test_documents_of_one_template_are_compiled_once() -> None:
    harness = GatewayHarness()
    texts = [f'{{ bankAccount(id: "a{number}") {{ name }} }}' for number in (0, 1, 2)]

    responses = [await harness.send(harness.compiled, text) for text in texts]

    assert len(set(responses)) == 3
    assert len(harness.compiled._templates) == 1


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ('{ bankAccount(id: "a0") { id } bankAccount(id: "%s") { name } }', "a0", "a1"),
        ('{ nodes(ids: ["a0"]) { id } nodes(ids: ["%s"]) { __typename } }', "a0", "a1"),
        (
            '{ bankAccount(id: "a0") { balance(asOf: "2026-01-01") { asOf }'
            ' balance(asOf: "%s") { ledger { amount } } } }',
            "2026-01-01",
            "2026-01-02",
        ),
        (
            '{ x: bankAccount(id: "a0") { ...F ...G } y: bankAccount(id: "a0") { ...G ...F } }'
            ' fragment F on BankAccount { balance(asOf: "2026-01-01") { asOf } }'
            ' fragment G on BankAccount { balance(asOf: "%s") { ledger { amount } } }',
            "2026-01-01",
            "2026-01-02",
        ),
        (
            'query A { bankAccount(id: "a0") { id } } query B { bankAccount(id: "a1")'
            ' { balance(asOf: "%s") { asOf } } }',
            "2026-01-01",
            "2026-02-30",
        ),
    ],
    ids=["accounts", "lists", "days", "days of two fragments", "another operation"],
)
async def test_an_invalid_document_of_a_template_is_refused(text: str, good: str, bad: str) -> None:
    """A document that is invalid only because of its literals must not use the template's plan.

    Fields with one response key must have equal arguments, and all operations of a document must be
    valid, not only the executed one.
    """
    harness, reference = GatewayHarness(), GatewayHarness()
    name = "A" if "query A" in text else None
    await harness.send(harness.compiled, text % good, operation_name=name)

    actual = await harness.send(harness.compiled, text % bad, operation_name=name)

    assert b'"data"' not in actual
    assert is_same_response(
        actual, await reference.send(reference.graphql_core, text % bad, operation_name=name)
    )


async def test_a_document_with_several_operations_needs_an_operation_name() -> None:
    harness = GatewayHarness()
    text = 'query A { bankAccount(id: "a0") { id } } query B { bankAccount(id: "a1") { id } }'
    named = await harness.send(harness.compiled, text, operation_name="A")

    unnamed = await harness.send(harness.compiled, text)

    assert named == b'{"data":{"bankAccount":{"id":"a0"}}}'
    assert b"Set operationName to one of them" in unnamed
