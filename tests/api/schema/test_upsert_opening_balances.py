"""The mutation ``upsertOpeningBalances``: several independent writes, one after the other."""

from tests.api.fakes import ADMIN, GatewayHarness, open_client

UPSERT = """mutation ($inputs: [UpsertOpeningBalanceInput!]!) {
  upsertOpeningBalances(inputs: $inputs) { __typename
    ... on OpeningBalanceRejected { code field } ... on OpeningBalanceUncertain { message }
    ... on OpeningBalanceApplied { bankAccount { id openingBalance { amount { amount } } } } } }"""


def build_input(account_id: str, currency: str = "EUR", **amount):
    return {"accountId": account_id, "amount": {"currency": currency, **amount}}


async def test_each_write_has_its_own_result(harness: GatewayHarness):
    harness.writer.results["acct_card"] = RuntimeError("defect")
    inputs = [
        build_input("acct_operating", minorUnits="1"),
        build_input("acct_foreign", minorUnits="2"),
        build_input("acct_savings"),
        build_input("acct_card", "USD", minorUnits="3"),
        build_input("acct_yen", "JPY", minorUnits="4"),
    ]

    async with open_client(harness) as client:
        data = await client.data(UPSERT, {"inputs": inputs}, key=ADMIN)

    results = data["upsertOpeningBalances"]
    assert [result["__typename"].removeprefix("OpeningBalance") for result in results] == [
        "Applied", "Rejected", "Rejected", "Uncertain", "Applied",
    ]  # fmt: skip
    assert [result.get("code") for result in results[1:3]] == [
        "ACCOUNT_NOT_FOUND", "BAD_USER_INPUT",
    ]  # fmt: skip
    assert results[4]["bankAccount"]["openingBalance"]["amount"]["amount"] == "4"


async def test_writes_are_sent_in_order(harness: GatewayHarness):
    inputs = [build_input("acct_operating", minorUnits=str(index)) for index in range(100)]

    async with open_client(harness) as client:
        data = await client.data(UPSERT, {"inputs": inputs}, key=ADMIN)

    assert [request.minor_units for request in harness.writer.requests] == list(range(100))
    assert len(data["upsertOpeningBalances"]) == 100


async def test_wrong_number_of_inputs_is_rejected_before_any_write(harness: GatewayHarness):
    async with open_client(harness) as client:
        for count in (0, 101):
            inputs = [build_input("acct_operating", minorUnits="1")] * count
            answer = await client.ask(UPSERT, {"inputs": inputs}, key=ADMIN)
            [error] = answer["errors"]
            assert error["extensions"]["field"] == "inputs"
            assert "1 to 100" in error["message"]

    assert harness.writer.requests == []
