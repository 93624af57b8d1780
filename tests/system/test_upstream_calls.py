"""Batching and coalescing: the calls that reach the providers, counted in the sandbox."""

import asyncio

import httpx
import pytest

from tests.system.processes import GatewayClient

BALANCES = """query ($ids: [ID!]!, $asOf: Date) { nodes(ids: $ids) { ... on BankAccount {
  id balance(asOf: $asOf) { ledger { minorUnits } freshness { state } } } } }"""
LIST = """{ bankAccounts(first: 500) { nodes { id provider } } }"""


def list_accounts(gateway: GatewayClient, provider: str, count: int) -> list[str]:
    nodes = gateway.data(LIST)["bankAccounts"]["nodes"]
    ids = [node["id"] for node in nodes if node["provider"] == provider]
    assert len(ids) >= count
    return ids[:count]


@pytest.mark.parametrize(("provider", "calls"), [("LIGHT", 50), ("ASSET", 1), ("LAYER", 1)])
def test_fifty_accounts_take_the_minimum_of_calls_and_then_none(
    gateway: GatewayClient, provider: str, calls: int
) -> None:
    ids = list_accounts(gateway, provider, 50)
    as_of = "2026-03-03"

    gateway.data(BALANCES, ids=ids, asOf=as_of)
    first = gateway.count_calls()
    gateway.data(BALANCES, ids=ids, asOf=as_of)

    assert first == {provider.lower(): calls}
    assert gateway.count_calls() == first


async def test_twenty_concurrent_equal_reads_share_one_call(gateway: GatewayClient) -> None:
    body = {
        "query": BALANCES,
        "variables": {"ids": ["light-operating-usd"], "asOf": "2026-03-04"},
    }
    gateway.control("POST", "faults", {"kind": "delay", "provider": "light", "delay_s": 0.5})

    async with httpx.AsyncClient(
        headers={"Authorization": f"Bearer {gateway.key}"}, trust_env=False, timeout=30
    ) as client:
        responses = await asyncio.gather(
            *(client.post(f"{gateway.url}/graphql", json=body) for _ in range(20))
        )

    assert gateway.count_calls() == {"light": 1}
    assert (
        len(
            {
                response.json()["data"]["nodes"][0]["balance"]["ledger"]["minorUnits"]
                for response in responses
            }
        )
        == 1
    )


def test_an_unavailable_provider_causes_no_calls_to_the_others(gateway: GatewayClient) -> None:
    ids = ["light-payroll-dkk", "asset-operating-checking", "layer-operating-checking"]
    as_of = "2026-03-05"
    gateway.control("POST", "faults", {"kind": "503", "provider": "light", "times": None})
    first = gateway.query(BALANCES, ids=ids, asOf=as_of)
    before = gateway.count_calls()

    second = gateway.query(BALANCES, ids=ids, asOf=as_of)

    after = gateway.count_calls()
    assert [node["balance"] is None for node in first["data"]["nodes"]] == [True, False, False]
    assert [error["extensions"]["code"] for error in second["errors"]] == ["PROVIDER_UNAVAILABLE"]
    assert second["errors"][0]["extensions"]["accountId"] == "light-payroll-dkk"
    assert (after["asset"], after["layer"]) == (before["asset"], before["layer"])
