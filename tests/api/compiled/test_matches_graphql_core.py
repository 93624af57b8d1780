"""The compiled executor gives graphql-core's responses, after any sequence of events."""

import asyncio
import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from balance_gateway.api.compiled import account_pages
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.pipeline.cache import cache_entry_rules
from tests.api.compiled.documents import (
    literal_variants,
    repeated_reads,
    replace_literals,
    requests,
)
from tests.api.compiled.gateway_harness import (
    NO_SCOPES,
    READER,
    FiguresProvider,
    GatewayHarness,
    is_same_response,
)


@pytest.fixture(autouse=True, scope="module")
def disable_early_refresh() -> Iterator[None]:
    """Early refresh is random, so two harnesses would refresh at different times.

    Two accounts are a block, so that pages of a few have several.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(account_pages, "BLOCK_SIZE", 2)
        patch.setattr(cache_entry_rules, "REFRESH_FROM", (1.0, 1.0))
        yield


steps = st.lists(
    st.tuples(st.just("request"), requests())
    | st.tuples(st.just("request"), literal_variants())
    | st.tuples(st.just("drift"), st.just(100))
    | st.tuples(st.just("wait"), st.sampled_from((1, 10, 25, 40, 3600, 50_000)))
    | st.tuples(st.just("write"), st.sampled_from(("a0", "a1", "a4")))
    | st.tuples(st.just("fail"), st.sampled_from(("a1", "a5")))
    | st.tuples(st.just("recover"), st.just(None))
    | st.tuples(st.just("repeat"), st.integers(0, 3))
    | st.tuples(st.just("vary"), st.lists(st.integers(0, 8), min_size=3, max_size=3)),
    min_size=1,
    max_size=8,
)


def choose_request(
    sent: list[tuple[str, dict[str, Any]]], kind: str, value: Any
) -> tuple[str, dict[str, Any]]:
    """Return the request of a step: a new one, an earlier one, or one with other literals."""
    if kind == "request":
        return value
    if kind == "repeat":
        return sent[value % len(sent)]
    query, variables = sent[value[0] % len(sent)]
    return replace_literals(query, value), variables


async def run_script(script: list[tuple[str, Any]]) -> None:
    """Run a script on two equal harnesses, one per engine, and compare their responses."""
    fast, core = GatewayHarness(), GatewayHarness()
    sent: list[tuple[str, dict[str, Any]]] = []
    for kind, value in script:
        if kind == "wait":
            for harness in (fast, core):
                harness.now += timedelta(seconds=value)
        elif kind == "drift":
            for harness in (fast, core):
                harness.provider.offset += value
        elif kind == "write":
            for harness in (fast, core):
                await harness.write(value)
        elif kind in ("fail", "recover"):
            for harness in (fast, core):
                harness.provider.failing_ids = {value} if kind == "fail" else set()
        else:
            if kind == "request":
                sent.append(value)
            if not sent:
                continue
            query, variables = choose_request(sent, kind, value)
            actual = await fast.send(fast.compiled, query, variables)
            expected = await core.send(core.graphql_core, query, variables)
            event("executed" if b'"data"' in expected else "refused")
            event("with errors" if b'"errors"' in expected else "without errors")
            assert is_same_response(actual, expected), (
                f"{query}\n{variables}\n{actual!r}\n{expected!r}"
            )
            await asyncio.sleep(0)


@settings(max_examples=250, deadline=None)
@given(steps)
def test_compiled_responses_equal_those_of_graphql_core(script: list[tuple[str, Any]]) -> None:
    asyncio.run(run_script(script))


value_changes = st.lists(
    st.tuples(st.just("request"), repeated_reads())
    | st.tuples(st.just("drift"), st.just(100))
    | st.tuples(st.just("wait"), st.sampled_from((1, 10, 25)))
    | st.tuples(st.just("write"), st.just("a0")),
    min_size=5,
    max_size=20,
)


@settings(max_examples=150, deadline=None)
@given(value_changes)
def test_responses_equal_graphql_core_while_provider_values_change(
    script: list[tuple[str, Any]],
) -> None:
    asyncio.run(run_script(script))


DASHBOARD = """query ($ids: [ID!]!) { nodes(ids: $ids) { ... on BankAccount {
  id balance { ledger { amount } } } } }"""


async def test_a_write_invalidates_the_cached_json_of_its_account_only() -> None:
    harness = GatewayHarness()
    ids = {"ids": ["a0", "a1"]}
    first = await harness.send(harness.compiled, DASHBOARD, ids)
    calls = len(harness.provider.calls)
    await harness.write("a1")

    second = await harness.send(harness.compiled, DASHBOARD, ids)

    assert first != second
    assert harness.provider.calls[calls:] == [["a1"]]


async def test_equal_requests_share_one_cached_response() -> None:
    """The third request gets the bytes that the second one has cached."""
    harness = GatewayHarness()
    responses = [await harness.send(harness.compiled, DASHBOARD, {"ids": ["a0"]}) for _ in range(4)]

    assert len(set(responses)) == 1
    assert len(harness.compiled._kept_responses) == 1


async def test_today_changes_at_midnight() -> None:
    harness = GatewayHarness()
    query = '{ bankAccount(id: "a3") { balance { asOf } } }'
    before = [await harness.send(harness.compiled, query) for _ in range(4)]
    harness.now += timedelta(hours=2)

    after = await harness.send(harness.compiled, query)

    assert before[0] == before[2] == b'{"data":{"bankAccount":{"balance":{"asOf":"2026-05-07"}}}}'
    assert after == b'{"data":{"bankAccount":{"balance":{"asOf":"2026-05-08"}}}}'


async def test_a_caller_without_scope_gets_no_cached_values() -> None:
    harness = GatewayHarness()
    for _ in range(4):
        await harness.send(harness.compiled, DASHBOARD, {"ids": ["a0"]}, READER)

    response = await harness.send(harness.compiled, DASHBOARD, {"ids": ["a0"]}, NO_SCOPES)

    assert b"FORBIDDEN" in response
    assert b"amount" not in response


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
async def test_a_missing_non_null_variable_is_an_error(
    kind: str, argument: str, variables: dict[str, Any]
) -> None:
    """A null or absent value of a non-null variable must not count as an omitted argument.

    With a default, an absent variable has the default's value.
    """
    harness, reference = GatewayHarness(), GatewayHarness()
    query = (
        f'query ($given: {kind}) {{ bankAccount(id: "a0")'
        f" {{ balance({argument}: $given) {{ asOf }} }} }}"
    )

    actual = await harness.send(harness.compiled, query, variables)

    assert is_same_response(actual, await reference.send(reference.graphql_core, query, variables))


class LoneSurrogateProvider(FiguresProvider):
    """A provider that returns a text with a lone surrogate."""

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        opening = await super().opening_balance(account)
        return None if opening is None else dataclasses.replace(opening, memo="half \ud800")


async def test_a_lone_surrogate_becomes_a_question_mark() -> None:
    harness, reference = (
        GatewayHarness(provider=LoneSurrogateProvider()),
        GatewayHarness(provider=LoneSurrogateProvider()),
    )
    query = '{ nodes(ids: ["a0", "a1"]) { id ... on BankAccount { openingBalance { memo } } } }'

    actual = await harness.send(harness.compiled, query)

    assert b"half ?" in actual
    assert actual == await reference.send(reference.graphql_core, query)
