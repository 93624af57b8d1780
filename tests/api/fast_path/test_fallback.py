"""What graphql-core takes over after reading is answered with what was read, in the same time."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from balance_gateway.api.request import context
from balance_gateway.api.request.loaders import Deadline
from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.errors import ProviderTimeout
from tests.api.fast_path.gateway_harness import BookProvider, World, same

TWO = """{{ bankAccount(id: "a0") {{ balance(maxAgeSeconds: 0) {{ asOf }} }}
  other: bankAccount(id: "{}") {{
    balance(maxAgeSeconds: 0) {{ asOf }} openingBalance {{ memo }} }} }}"""
SIDES = """{ nodes(ids: ["a0", "a2"]) { id ... on BankAccount {
  normalBalance balance(maxAgeSeconds: 0) { asOf } } } }"""


class Sided(BookProvider):
    """A provider whose normal sides cannot be had."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def normal_balance(self, account: Account) -> Side:
        raise self.error


async def test_a_failure_in_one_of_many_documents_alike_costs_no_second_call() -> None:
    world, other = World(), World()
    await world.answer(world.compiled, TWO.format("a2"))
    for each in (world, other):
        each.provider.down = {"a1"}
        each.provider.calls.clear()

    compiled = await world.answer(world.compiled, TWO.format("a1"))

    assert sorted(world.provider.calls) == [["a0"], ["a1"]]
    assert b"PROVIDER_TIMEOUT" in compiled
    assert b"UNSUPPORTED_BY_PROVIDER" in compiled
    assert same(compiled, await other.answer(other.plain, TWO.format("a1")))


@pytest.mark.parametrize("error", [ProviderTimeout("No."), RuntimeError("defect")])
async def test_a_side_that_cannot_be_had_takes_its_account_and_costs_no_second_call(
    error: Exception,
) -> None:
    world, other = World(provider=Sided(error)), World(provider=Sided(error))

    compiled = await world.answer(world.compiled, SIDES)

    assert sorted(world.provider.calls) == [["a0"], ["a2"]]
    assert compiled == await other.answer(other.plain, SIDES)
    assert compiled.startswith(b'{"data":{"nodes":[{"id":"a0"')


async def test_a_defect_in_reading_is_the_fields_as_it_is_with_graphql_core(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, other = World(), World()

    async def defect(_requests: Sequence[Any]) -> Any:
        raise RuntimeError("defect")

    for each in (world, other):
        monkeypatch.setattr(each.reads, "balances", defect)

    compiled = await world.answer(world.compiled, SIDES)

    assert compiled == await other.answer(other.plain, SIDES)
    assert b"INTERNAL" in compiled


async def test_a_request_that_is_taken_over_has_one_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(request_timeout_s=0.05)
    good, late = (
        f'{{ bankAccount(id: "{one}") {{ balance {{ asOf }} }} }}' for one in ("a0", "a1")
    )
    await world.answer(world.compiled, good)
    deadlines = []

    class Counted(Deadline):
        def __init__(self, timeout_s: float) -> None:
            super().__init__(timeout_s)
            deadlines.append(self)

    monkeypatch.setattr(context, "Deadline", Counted)
    world.provider.wait = asyncio.Event().wait

    answer = await world.answer(world.compiled, late)

    assert b"The provider did not respond within the 0.05 s limit of the request." in answer
    assert len(deadlines) == 1
