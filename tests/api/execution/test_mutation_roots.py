"""All root fields of a mutation are checked before the first of them is executed."""

import pytest

from tests.api.fakes import ADMIN, READ, GatewayHarness, open_client

ROW = '{accountId: "acct_yen", amount: {minorUnits: 5, currency: "JPY"}}'
GOOD = f"good: upsertOpeningBalance(input: {ROW}) {{ __typename }}"
BULK = "bad: upsertOpeningBalances(inputs: [%s]) { __typename }"
SINGLE = "bad: upsertOpeningBalance(input: $input) { __typename }"


async def ask(harness: GatewayHarness, document: str, variables=None, key: str = ADMIN):
    async with open_client(harness) as client:
        return await client.ask(document, variables, key=key)


async def test_a_root_with_wrong_arguments_lets_no_root_write(harness: GatewayHarness):
    answer = await ask(harness, f"mutation {{ {GOOD} {BULK % ''} }}")

    assert harness.writer.requests == []
    assert "data" not in answer
    [error] = answer["errors"]
    assert error["path"] == ["bad"]
    assert error["locations"]
    assert error["extensions"]["field"] == "inputs"
    assert "Nothing was written" in error["message"]


async def test_a_root_that_is_skipped_is_not_checked(harness: GatewayHarness):
    skipped = (BULK % "").replace(" {", " @skip(if: true) {", 1)

    answer = await ask(harness, f"mutation {{ {GOOD} {skipped} }}")

    assert answer == {"data": {"good": {"__typename": "OpeningBalanceApplied"}}}


async def test_a_root_in_a_fragment_is_checked(harness: GatewayHarness):
    answer = await ask(
        harness, f"mutation {{ {GOOD} ...F }} fragment F on Mutation {{ {BULK % ''} }}"
    )

    assert answer["errors"][0]["path"] == ["bad"]
    assert harness.writer.requests == []


async def test_each_forbidden_root_is_named(harness: GatewayHarness):
    answer = await ask(harness, f"mutation {{ {GOOD} {BULK % ROW} }}", key=READ)

    assert [error["path"] for error in answer["errors"]] == [["good"], ["bad"]]
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"FORBIDDEN"}
    assert "data" not in answer


@pytest.mark.parametrize(
    ("document", "variables", "place"),
    [
        (f"($input: UpsertOpeningBalanceInput!) {{ {GOOD} {SINGLE} }}",
         {"input": {"accountId": "a", "amount": {"amount": "1.2.3", "currency": "EUR"}}},
         "$input.amount.amount"),
        (f"($a: Decimal) {{ {GOOD} bad: upsertOpeningBalance(input: {{accountId: \"a\", amount: "
         '{amount: $a, currency: "EUR"}}) { __typename } }',
         {"a": "1.2.3"}, "$a"),
    ],
)  # fmt: skip
async def test_a_wrong_variable_of_a_single_write_is_named(
    harness: GatewayHarness, document, variables, place
):
    answer = await ask(harness, f"mutation {document}", variables)

    [error] = answer["errors"]
    assert f"Variable '{place}'" in error["message"]
    assert error["path"] == ["bad"]
    assert error["locations"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert harness.writer.requests == []
