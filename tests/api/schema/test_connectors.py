"""The field ``connectors``: capabilities, health and budget."""

from tests.api.fakes import OTHER, GatewayHarness, open_client

QUERY = """{ connectors { id name provider capabilities
  health { state lastSuccessAt lastFailureAt lastFailureCode }
  budget { requestsPerMinute remaining refillsAt } } }"""


async def test_connectors_return_health_and_budget(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data(QUERY)

    assert [connector["name"] for connector in data["connectors"]] == ["asset_us", "light_eu"]
    assert data["connectors"][0] == {
        "id": "connector:asset_us",
        "name": "asset_us",
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

    assert data["connectors"] == [{"id": "connector:light_eu"}]


async def test_account_returns_its_connector(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data(
            '{ bankAccount(id: "acct_card") { connector { id health { state } } } }'
        )

    assert data["bankAccount"]["connector"] == {
        "id": "connector:asset_us",
        "health": {"state": "DEGRADED"},
    }


async def test_a_connector_is_a_node(harness: GatewayHarness):
    """An account and a connector of one name once had one id, and so one entry in a client."""
    async with open_client(harness) as client:
        data = await client.data(
            '{ node(id: "connector:light_eu") { __typename id ... on Connector { name } } '
            'nodes(ids: ["acct_yen", "connector:asset_us"]) { __typename id } }'
        )

    assert data["node"] == {
        "__typename": "Connector",
        "id": "connector:light_eu",
        "name": "light_eu",
    }
    assert data["nodes"] == [
        {"__typename": "BankAccount", "id": "acct_yen"},
        {"__typename": "Connector", "id": "connector:asset_us"},
    ]


async def test_a_connector_of_another_tenant_is_like_an_unknown_one(harness: GatewayHarness):
    async with open_client(harness) as client:
        answers = [
            await client.ask(f'{{ node(id: "connector:{name}") {{ id }} }}', key=OTHER)
            for name in ("asset_us", "none", "x" * 5000)
        ]

    for answer in answers:
        assert answer["data"] == {"node": None}
        assert answer["errors"][0]["extensions"]["code"] == "ACCOUNT_NOT_FOUND"
        assert len(answer["errors"][0]["extensions"]["accountId"]) <= 100


async def test_a_filter_takes_the_id_and_the_name_of_a_connector(harness: GatewayHarness):
    query = '{ bankAccounts(filter: {connectors: ["%s"]}) { nodes { id } } }'

    async with open_client(harness) as client:
        pages = [await client.data(query % each) for each in ("asset_us", "connector:asset_us")]

    assert pages[0] == pages[1] == {"bankAccounts": {"nodes": [{"id": "acct_card"}]}}
