"""Falling back to graphql-core after reads uses their results and the same deadline."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from balance_gateway.api.request import context
from balance_gateway.api.request.loaders import Deadline
from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.errors import ProviderTimeout, SideUnknown
from tests.api.compiled.gateway_harness import FiguresProvider, GatewayHarness, is_same_response

TWO_ACCOUNTS = """{{ bankAccount(id: "a0") {{ balance(maxAgeSeconds: 0) {{ asOf }} }}
  other: bankAccount(id: "{}") {{
    balance(maxAgeSeconds: 0) {{ asOf }} openingBalance {{ memo }} }} }}"""
NORMAL_BALANCES = """{ nodes(ids: ["a0", "a2"]) { id ... on BankAccount {
  normalBalance balance(maxAgeSeconds: 0) { asOf } } } }"""


class FailingNormalBalanceProvider(FiguresProvider):
    """A provider that fails to read normal balances."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def normal_balance(self, account: Account) -> Side:
        raise self.error


async def test_a_failure_in_a_templated_document_costs_no_second_call() -> None:
    """A plan of a template has the error locations of another document, so it falls back.

    graphql-core then finds all results in the loaders of the request.
    """
    harness, reference = GatewayHarness(), GatewayHarness()
    await harness.send(harness.compiled, TWO_ACCOUNTS.format("a2"))
    for each in (harness, reference):
        each.provider.failing_ids = {"a1"}
        each.provider.calls.clear()

    actual = await harness.send(harness.compiled, TWO_ACCOUNTS.format("a1"))

    assert sorted(harness.provider.calls) == [["a0"], ["a1"]]
    assert b"PROVIDER_TIMEOUT" in actual
    assert b"UNSUPPORTED_BY_PROVIDER" in actual
    assert is_same_response(
        actual, await reference.send(reference.graphql_core, TWO_ACCOUNTS.format("a1"))
    )


@pytest.mark.parametrize(
    "error", [ProviderTimeout("No."), SideUnknown("Unknown."), RuntimeError("defect")]
)
async def test_a_failed_normal_balance_keeps_the_account_without_a_second_call(
    error: Exception,
) -> None:
    """It once was required, so that 100 accounts were null while their provider was down."""
    harness, reference = (
        GatewayHarness(provider=FailingNormalBalanceProvider(error)),
        GatewayHarness(provider=FailingNormalBalanceProvider(error)),
    )

    for _ in range(2):
        actual = await harness.send(harness.compiled, NORMAL_BALANCES)
        expected = await reference.send(reference.graphql_core, NORMAL_BALANCES)
        assert is_same_response(actual, expected)

    assert sorted(harness.provider.calls) == [["a0"], ["a0"], ["a2"], ["a2"]]
    nodes = orjson.loads(actual)["data"]["nodes"]
    assert [(node["id"], node["normalBalance"]) for node in nodes] == [
        ("a0", "DEBIT"),
        ("a2", None),
    ]
    assert nodes[1]["balance"] is not None


async def test_a_defect_in_a_read_gives_the_same_errors_as_graphql_core(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    harness, reference = GatewayHarness(), GatewayHarness()

    async def defect(_requests: Sequence[Any]) -> Any:
        raise RuntimeError("defect")

    for each in (harness, reference):
        monkeypatch.setattr(each.reads, "balances", defect)

    actual = await harness.send(harness.compiled, NORMAL_BALANCES)

    assert actual == await reference.send(reference.graphql_core, NORMAL_BALANCES)
    assert b"INTERNAL" in actual


async def test_a_request_that_falls_back_has_one_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The fallback after a timed-out read must not start a second request timeout."""
    harness = GatewayHarness(request_timeout_s=0.05)
    good, late = (
        f'{{ bankAccount(id: "{one}") {{ balance {{ asOf }} }} }}' for one in ("a0", "a1")
    )
    await harness.send(harness.compiled, good)
    deadlines = []

    class CountedDeadline(Deadline):
        def __init__(self, timeout_s: float) -> None:
            super().__init__(timeout_s)
            deadlines.append(self)

    monkeypatch.setattr(context, "Deadline", CountedDeadline)
    harness.provider.wait = asyncio.Event().wait

    response = await harness.send(harness.compiled, late)

    assert b"The provider did not respond within the 0.05 s limit of the request." in response
    assert len(deadlines) == 1
