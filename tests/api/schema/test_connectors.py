"""The field ``connectors``: capabilities, health and budget."""

from tests.api.fakes import OTHER, GatewayHarness, open_client

QUERY = """{ connectors { id provider capabilities
  health { state lastSuccessAt lastFailureAt lastFailureCode }
  budget { requestsPerMinute remaining refillsAt } } }"""


async def test_connectors_return_health_and_budget(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data(QUERY)

    assert [connector["id"] for connector in data["connectors"]] == ["asset_us", "light_eu"]
    assert data["connectors"][0] == {
        "id": "asset_us",
        "provider": "ASSET",
        "capabilities": ["READ_BANK_BALANCE"],
        "health": {
            "state": "DEGRADED",
            "lastSuccessAt": None,
            "lastFailureAt": "2026-11-21T12:00:00Z",
            "lastFailureCode": "PROVIDER_TIMEOUT",
        },
        "budget": {
            "requestsPerMinute": 300,
            "remaining": 299,
            "refillsAt": "2026-11-21T12:00:00Z",
        },
    }


async def test_tenant_sees_only_connectors_of_its_accounts(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data("{ connectors { id } }", key=OTHER)

    assert data["connectors"] == [{"id": "light_eu"}]


async def test_account_returns_its_connector(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data(
            '{ bankAccount(id: "acct_card") { connector { id health { state } } } }'
        )

    assert data["bankAccount"]["connector"] == {"id": "asset_us", "health": {"state": "DEGRADED"}}
