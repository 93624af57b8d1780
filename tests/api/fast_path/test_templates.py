"""Documents that differ in their literals alone are one template, where they are one operation."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api.fast_path.documents import alike
from tests.api.fast_path.gateway_harness import World, same
from tests.api.fast_path.test_same_bytes import play


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.just("ask"), alike()), min_size=2, max_size=6))
def test_documents_alike_are_answered_each_for_itself(script: list[tuple[str, Any]]) -> None:
    asyncio.run(play(script))


@pytest.mark.parametrize(
    "text",
    [
        '{ bankAccount(id: "nope") { id balance(asOf: "2026-03-01") { asOf } } }',
        '{ bankAccount(id: "a1") { id balance(asOf: "2026-02-30") { asOf } } }',
        '{ bankAccount(id: "a7") { id balance(asOf: "2026-03-01") { asOf } } }',
    ],
    ids=["unknown account", "no such day", "another tenant's account"],
)
async def test_what_goes_wrong_with_one_document_is_not_answered_with_anothers_literals(
    text: str,
) -> None:
    world, other = World(), World()
    good = '{ bankAccount(id: "a1") { id balance(asOf: "2026-03-01") { asOf } } }'
    await world.answer(world.compiled, good)

    compiled = await world.answer(world.compiled, text)

    assert b'"id":"a1"' not in compiled
    assert same(compiled, await other.answer(other.plain, text))


async def test_documents_that_differ_in_literals_are_compiled_once() -> None:
    world = World()
    texts = [f'{{ bankAccount(id: "a{number}") {{ name }} }}' for number in (0, 1, 2)]

    answers = [await world.answer(world.compiled, text) for text in texts]

    assert len(set(answers)) == 3
    assert len(world.compiled._templates) == 1


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
async def test_a_document_that_is_refused_is_not_answered_for_being_like_one_that_is_not(
    text: str, good: str, bad: str
) -> None:
    world, other = World(), World()
    name = "A" if "query A" in text else None
    await world.answer(world.compiled, text % good, operation_name=name)

    compiled = await world.answer(world.compiled, text % bad, operation_name=name)

    assert b'"data"' not in compiled
    assert same(compiled, await other.answer(other.plain, text % bad, operation_name=name))


async def test_of_several_operations_the_one_that_is_meant_has_to_be_named() -> None:
    world = World()
    text = 'query A { bankAccount(id: "a0") { id } } query B { bankAccount(id: "a1") { id } }'
    named = await world.answer(world.compiled, text, operation_name="A")

    unnamed = await world.answer(world.compiled, text)

    assert named == b'{"data":{"bankAccount":{"id":"a0"}}}'
    assert b"Set operationName to one of them" in unnamed
