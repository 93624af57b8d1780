"""``connectors``: what a tenant's connectors can do and how they are doing."""

from tests.api.fakes import OTHER, World, asking

QUERY = """{ connectors { id provider capabilities
  health { state lastSuccessAt lastFailureAt lastFailureCode }
  budget { requestsPerMinute remaining refillsAt } } }"""


async def test_connectors_tell_health_and_budget(world: World):
    async with asking(world) as client:
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


async def test_a_tenant_sees_only_connectors_it_has_accounts_at(world: World):
    async with asking(world) as client:
        data = await client.data("{ connectors { id } }", key=OTHER)

    assert data["connectors"] == [{"id": "light_eu"}]


async def test_an_account_tells_its_connector(world: World):
    async with asking(world) as client:
        data = await client.data(
            '{ bankAccount(id: "acct_card") { connector { id health { state } } } }'
        )

    assert data["bankAccount"]["connector"] == {"id": "asset_us", "health": {"state": "DEGRADED"}}
