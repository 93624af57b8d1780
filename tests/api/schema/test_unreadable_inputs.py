"""One unreadable row of ``upsertOpeningBalances`` is rejected; the others are executed."""

import json

import pytest

from tests.api.fakes import ADMIN, GatewayHarness, open_client

RESULT = "{ __typename ... on OpeningBalanceRejected { code field message } }"
BY_VARIABLE = (
    "mutation ($inputs: [UpsertOpeningBalanceInput!]!) "
    f"{{ upsertOpeningBalances(inputs: $inputs) {RESULT} }}"
)
GOOD = {"accountId": "acct_yen", "amount": {"minorUnits": "5", "currency": "JPY"}}
EUR = {"amount": "1", "currency": "EUR"}


def build_row(amount=EUR, **fields):
    return {"accountId": "acct_operating", "amount": amount, **fields}


ROWS = {
    "decimal": (build_row({"amount": "1.2.3", "currency": "EUR"}), "amount.amount"),
    "integer": (build_row({"minorUnits": "1.5", "currency": "EUR"}), "amount.minorUnits"),
    "both": (build_row({"minorUnits": "1", **EUR}), "amount"),
    "neither": (build_row({"currency": "EUR"}), "amount"),
    "currency": (build_row({"amount": "1", "currency": "QQQ"}), "amount.currency"),
    "instant": (build_row(effectiveAt="2026-02-30T00:00:00Z"), "effectiveAt"),
    "expected": (
        build_row(expectedPrevious={"amount": {"amount": "x", "currency": "EUR"}}),
        "expectedPrevious.amount.amount",
    ),
    "account": ({**GOOD, "accountId": "acct_foreign"}, None),
}


def write_literal(value) -> str:
    if isinstance(value, dict):
        members = (f"{key}: {write_literal(item)}" for key, item in value.items())
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(write_literal, value))}]"
    return json.dumps(value)


@pytest.mark.parametrize("by_literal", [True, False])
@pytest.mark.parametrize("name", ROWS)
async def test_an_unreadable_row_is_rejected_alone(
    harness: GatewayHarness, name: str, by_literal: bool
):
    """One amount "1.2.3" once refused the whole bulk."""
    row, field = ROWS[name]
    inputs = [GOOD, row, GOOD]
    document, variables = BY_VARIABLE, {"inputs": inputs}
    if by_literal:
        literal = write_literal(inputs)
        document = f"mutation {{ upsertOpeningBalances(inputs: {literal}) {RESULT} }}"
        variables = {}

    async with open_client(harness) as client:
        data = await client.data(document, variables, key=ADMIN)

    first, rejected, last = data["upsertOpeningBalances"]
    assert first["__typename"] == last["__typename"] == "OpeningBalanceApplied"
    assert rejected["__typename"] == "OpeningBalanceRejected"
    assert rejected["field"] == field
    assert rejected["code"] == ("BAD_USER_INPUT" if field else "ACCOUNT_NOT_FOUND")


async def test_a_variable_in_a_row_is_rejected_with_its_row(harness: GatewayHarness):
    row = '{accountId: "acct_yen", amount: {amount: $amount, currency: "JPY"}}'
    document = f"mutation ($amount: Decimal) {{ upsertOpeningBalances(inputs: [{row}]) {RESULT} }}"

    async with open_client(harness) as client:
        data = await client.data(document, {"amount": "1.2.3"}, key=ADMIN)

    assert data["upsertOpeningBalances"][0]["field"] == "amount.amount"


async def test_an_unreadable_value_outside_a_bulk_refuses_the_request(harness: GatewayHarness):
    row = write_literal(ROWS["decimal"][0])

    async with open_client(harness) as client:
        answer = await client.ask(
            f"mutation {{ upsertOpeningBalance(input: {row}) {RESULT} }}", key=ADMIN
        )

    [error] = answer["errors"]
    assert "Argument 'input.amount.amount'" in error["message"]
    assert error["locations"] == [{"line": 1, "column": answer_column(row)}]
    assert harness.writer.requests == []


def answer_column(row: str) -> int:
    return len("mutation { upsertOpeningBalance(input: ") + row.index('"1.2.3"') + 1
