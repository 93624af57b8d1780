"""``upsertOpeningBalances``: many, one after the other, each on its own."""

from tests.api.fakes import ADMIN, World, asking

UPSERT = """mutation ($inputs: [UpsertOpeningBalanceInput!]!) {
  upsertOpeningBalances(inputs: $inputs) { __typename
    ... on OpeningBalanceRejected { code field } ... on OpeningBalanceUncertain { message }
    ... on OpeningBalanceApplied { bankAccount { id openingBalance { amount { amount } } } } } }"""


def given(account_id: str, currency: str = "EUR", **amount):
    return {"accountId": account_id, "amount": {"currency": currency, **amount}}


async def test_each_is_on_its_own(world: World):
    world.writer.results["acct_card"] = RuntimeError("defect")
    inputs = [
        given("acct_operating", minorUnits="1"),
        given("acct_foreign", minorUnits="2"),
        given("acct_savings"),
        given("acct_card", "USD", minorUnits="3"),
        given("acct_yen", "JPY", minorUnits="4"),
    ]

    async with asking(world) as client:
        data = await client.data(UPSERT, {"inputs": inputs}, key=ADMIN)

    results = data["upsertOpeningBalances"]
    assert [result["__typename"].removeprefix("OpeningBalance") for result in results] == [
        "Applied", "Rejected", "Rejected", "Uncertain", "Applied",
    ]  # fmt: skip
    assert [result.get("code") for result in results[1:3]] == [
        "ACCOUNT_NOT_FOUND", "BAD_USER_INPUT",
    ]  # fmt: skip
    assert results[4]["bankAccount"]["openingBalance"]["amount"]["amount"] == "4"


async def test_they_are_sent_in_order(world: World):
    inputs = [given("acct_operating", minorUnits=str(index)) for index in range(100)]

    async with asking(world) as client:
        data = await client.data(UPSERT, {"inputs": inputs}, key=ADMIN)

    assert [request.minor_units for request in world.writer.requests] == list(range(100))
    assert len(data["upsertOpeningBalances"]) == 100


async def test_none_or_too_many_are_refused_before_the_first(world: World):
    async with asking(world) as client:
        for count in (0, 101):
            inputs = [given("acct_operating", minorUnits="1")] * count
            answer = await client.ask(UPSERT, {"inputs": inputs}, key=ADMIN)
            [error] = answer["errors"]
            assert error["extensions"]["field"] == "inputs"
            assert "1 to 100" in error["message"]

    assert world.writer.requests == []
