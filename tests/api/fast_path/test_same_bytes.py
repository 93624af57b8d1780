"""Compiled answers are graphql-core's answers, byte for byte, whatever has happened before."""

import asyncio
import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.pipeline.cache import cache_entry_rules
from tests.api.fast_path.documents import ages, alike, requests
from tests.api.fast_path.gateway_harness import NOBODY, READER, BookProvider, World, same


@pytest.fixture(autouse=True, scope="module")
def nothing_is_refreshed_ahead() -> Iterator[None]:
    """Refreshing has jitter, and two worlds would not throw the same dice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_entry_rules, "REFRESH_FROM", (1.0, 1.0))
        yield


steps = st.lists(
    st.tuples(st.just("ask"), requests())
    | st.tuples(st.just("ask"), alike())
    | st.tuples(st.just("drift"), st.just(100))
    | st.tuples(st.just("wait"), st.sampled_from((1, 10, 25, 40, 3600, 50_000)))
    | st.tuples(st.just("write"), st.sampled_from(("a0", "a1", "a4")))
    | st.tuples(st.just("fail"), st.sampled_from(("a1", "a5")))
    | st.tuples(st.just("heal"), st.just(None))
    | st.tuples(st.just("again"), st.integers(0, 3)),
    min_size=1,
    max_size=8,
)


async def play(script: list[tuple[str, Any]]) -> None:
    """Plays a script in two worlds that are alike, one per engine, and compares what they say."""
    one, other = World(), World()
    asked: list[tuple[str, dict[str, Any]]] = []
    for kind, what in script:
        if kind == "wait":
            for world in (one, other):
                world.now += timedelta(seconds=what)
        elif kind == "drift":
            for world in (one, other):
                world.provider.shift += what
        elif kind == "write":
            for world in (one, other):
                await world.write(what)
        elif kind in ("fail", "heal"):
            for world in (one, other):
                world.provider.down = {what} if kind == "fail" else set()
        else:
            if kind == "ask":
                asked.append(what)
            if not asked:
                continue
            query, variables = what if kind == "ask" else asked[what % len(asked)]
            compiled = await one.answer(one.compiled, query, variables)
            plain = await other.answer(other.plain, query, variables)
            event("an answer" if b'"data"' in plain else "a refusal")
            event("with errors" if b'"errors"' in plain else "without errors")
            assert same(compiled, plain), f"{query}\n{variables}\n{compiled!r}\n{plain!r}"
            await asyncio.sleep(0)


@settings(max_examples=250, deadline=None)
@given(steps)
def test_compiled_and_plain_answers_are_the_same_bytes(script: list[tuple[str, Any]]) -> None:
    asyncio.run(play(script))


drifting = st.lists(
    st.tuples(st.just("ask"), ages())
    | st.tuples(st.just("drift"), st.just(100))
    | st.tuples(st.just("wait"), st.sampled_from((1, 10, 25)))
    | st.tuples(st.just("write"), st.just("a0")),
    min_size=5,
    max_size=20,
)


@settings(max_examples=150, deadline=None)
@given(drifting)
def test_values_that_change_by_themselves_never_change_back(script: list[tuple[str, Any]]) -> None:
    asyncio.run(play(script))


DASHBOARD = """query ($ids: [ID!]!) { nodes(ids: $ids) { ... on BankAccount {
  id balance { ledger { amount } } } } }"""


async def test_a_fragment_ends_with_a_write_of_its_account_alone() -> None:
    world = World()
    ids = {"ids": ["a0", "a1"]}
    first = await world.answer(world.compiled, DASHBOARD, ids)
    calls = len(world.provider.calls)
    await world.write("a1")

    second = await world.answer(world.compiled, DASHBOARD, ids)

    assert first != second
    assert world.provider.calls[calls:] == [["a1"]]


async def test_an_equal_request_is_answered_from_the_bytes_of_the_last() -> None:
    world = World()
    answers = [await world.answer(world.compiled, DASHBOARD, {"ids": ["a0"]}) for _ in range(3)]

    assert len(set(answers)) == 1
    assert len(world.compiled._remembered) == 1


async def test_today_is_another_day_after_midnight() -> None:
    world = World()
    query = '{ bankAccount(id: "a3") { balance { asOf } } }'
    before = [await world.answer(world.compiled, query) for _ in range(3)]
    world.now += timedelta(hours=2)

    after = await world.answer(world.compiled, query)

    assert before[0] == before[2] == b'{"data":{"bankAccount":{"balance":{"asOf":"2026-05-07"}}}}'
    assert after == b'{"data":{"bankAccount":{"balance":{"asOf":"2026-05-08"}}}}'


async def test_without_the_right_to_read_nothing_ready_is_handed_out() -> None:
    world = World()
    for _ in range(3):
        await world.answer(world.compiled, DASHBOARD, {"ids": ["a0"]}, READER)

    answer = await world.answer(world.compiled, DASHBOARD, {"ids": ["a0"]}, NOBODY)

    assert b"FORBIDDEN" in answer
    assert b"amount" not in answer


@pytest.mark.parametrize(
    ("kind", "argument"),
    [
        ("Date!", "asOf"),
        ("Int!", "maxAgeSeconds"),
        ("OnStale!", "onStale"),
        ('Date! = "2026-05-01"', "asOf"),
    ],
)
@pytest.mark.parametrize("variables", [{}, {"given": None}], ids=["absent", "null"])
async def test_a_variable_that_must_not_be_null_is_not_taken_for_one_that_may(
    kind: str, argument: str, variables: dict[str, Any]
) -> None:
    world, other = World(), World()
    query = (
        f'query ($given: {kind}) {{ bankAccount(id: "a0")'
        f" {{ balance({argument}: $given) {{ asOf }} }} }}"
    )

    compiled = await world.answer(world.compiled, query, variables)

    assert same(compiled, await other.answer(other.plain, query, variables))


class Broken(BookProvider):
    """A provider with half a surrogate pair in its texts."""

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        opening = await super().opening_balance(account)
        return None if opening is None else dataclasses.replace(opening, memo="half \ud800")


async def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    world, other = World(provider=Broken()), World(provider=Broken())
    query = '{ nodes(ids: ["a0", "a1"]) { id ... on BankAccount { openingBalance { memo } } } }'

    compiled = await world.answer(world.compiled, query)

    assert b"half ?" in compiled
    assert compiled == await other.answer(other.plain, query)
