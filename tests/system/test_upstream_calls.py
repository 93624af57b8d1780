"""One call, not fifty: what reaches the providers, counted there."""

import asyncio

import httpx
import pytest

from tests.system.processes import Gateway

BALANCES = """query ($ids: [ID!]!, $asOf: Date) { nodes(ids: $ids) { ... on BankAccount {
  id balance(asOf: $asOf) { ledger { minorUnits } freshness { state } } } } }"""
LIST = """{ bankAccounts(first: 500) { nodes { id provider } } }"""


def accounts_at(gateway: Gateway, provider: str, count: int) -> list[str]:
    nodes = gateway.data(LIST)["bankAccounts"]["nodes"]
    ids = [node["id"] for node in nodes if node["provider"] == provider]
    assert len(ids) >= count
    return ids[:count]


@pytest.mark.parametrize(("provider", "calls"), [("LIGHT", 50), ("ASSET", 1), ("LAYER", 1)])
def test_fifty_accounts_cost_as_few_calls_as_the_provider_allows_and_then_none(
    gateway: Gateway, provider: str, calls: int
) -> None:
    ids = accounts_at(gateway, provider, 50)
    as_of = "2026-03-03"

    gateway.data(BALANCES, ids=ids, asOf=as_of)
    first = gateway.calls()
    gateway.data(BALANCES, ids=ids, asOf=as_of)

    assert first == {provider.lower(): calls}
    assert gateway.calls() == first


async def test_twenty_equal_reads_at_once_are_one_call(gateway: Gateway) -> None:
    body = {
        "query": BALANCES,
        "variables": {"ids": ["light-operating-usd"], "asOf": "2026-03-04"},
    }
    gateway.control("POST", "faults", {"kind": "delay", "provider": "light", "delay_s": 0.5})

    async with httpx.AsyncClient(
        headers={"Authorization": f"Bearer {gateway.key}"}, trust_env=False, timeout=30
    ) as client:
        answers = await asyncio.gather(
            *(client.post(f"{gateway.url}/graphql", json=body) for _ in range(20))
        )

    assert gateway.calls() == {"light": 1}
    assert (
        len(
            {
                answer.json()["data"]["nodes"][0]["balance"]["ledger"]["minorUnits"]
                for answer in answers
            }
        )
        == 1
    )


def test_a_provider_that_is_down_costs_the_others_no_further_calls(gateway: Gateway) -> None:
    ids = ["light-payroll-dkk", "asset-operating-checking", "layer-operating-checking"]
    as_of = "2026-03-05"
    gateway.control("POST", "faults", {"kind": "503", "provider": "light", "times": None})
    first = gateway.ask(BALANCES, ids=ids, asOf=as_of)
    before = gateway.calls()

    second = gateway.ask(BALANCES, ids=ids, asOf=as_of)

    after = gateway.calls()
    assert [node["balance"] is None for node in first["data"]["nodes"]] == [True, False, False]
    assert [error["extensions"]["code"] for error in second["errors"]] == ["PROVIDER_UNAVAILABLE"]
    assert second["errors"][0]["extensions"]["accountId"] == "light-payroll-dkk"
    assert (after["asset"], after["layer"]) == (before["asset"], before["layer"])
