"""The fields ``node`` and ``nodes``: objects by id, in the order of the ids."""

from balance_gateway.api.request.limits import Limits
from tests.api.fakes import GatewayHarness, account, open_client

MAX = Limits().ids

NODES = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on BankAccount { name } } }"


async def test_node_returns_an_account(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data('{ node(id: "acct_yen") { __typename id } }')

    assert data == {"node": {"__typename": "BankAccount", "id": "acct_yen"}}


async def test_unknown_node_is_null_with_an_error(harness: GatewayHarness):
    async with open_client(harness) as client:
        answer = await client.ask('{ node(id: "acct_foreign") { id } }')

    assert answer["data"] == {"node": None}
    assert answer["errors"][0]["extensions"]["code"] == "ACCOUNT_NOT_FOUND"


async def test_nodes_keep_order_and_repetitions_and_report_unknown_ids(harness: GatewayHarness):
    ids = ["acct_yen", "acct_foreign", "acct_card", "acct_yen", "missing", "x" * 65]

    async with open_client(harness) as client:
        answer = await client.ask(NODES, {"ids": ids})

    found = [node and node["id"] for node in answer["data"]["nodes"]]
    assert found == ["acct_yen", None, "acct_card", "acct_yen", None, None]
    assert [(error["path"], error["extensions"]["code"]) for error in answer["errors"]] == [
        (["nodes", 1], "ACCOUNT_NOT_FOUND"),
        (["nodes", 4], "ACCOUNT_NOT_FOUND"),
        (["nodes", 5], "BAD_USER_INPUT"),
    ]
    assert answer["errors"][0]["message"] == answer["errors"][1]["message"]


async def test_no_ids_give_no_nodes(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data(NODES, {"ids": []})

    assert data == {"nodes": []}


async def test_too_many_node_ids_are_rejected():
    harness = GatewayHarness([account("a")])

    async with open_client(harness) as client:
        data = await client.data(NODES, {"ids": ["a"] * MAX})
        answer = await client.ask(NODES, {"ids": ["a"] * (MAX + 1)})

    assert len(data["nodes"]) == MAX
    assert answer["data"] is None
    assert answer["errors"][0]["extensions"]["field"] == "ids"
    assert f"at most {MAX}" in answer["errors"][0]["message"]
