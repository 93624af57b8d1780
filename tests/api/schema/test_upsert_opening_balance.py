"""The mutation ``upsertOpeningBalance``: input, results, and reads after the write."""

from datetime import UTC, datetime

import pytest

from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource
from balance_gateway.domain.errors import ErrorCode
from balance_gateway.domain.money import Money
from balance_gateway.service.opening_balances import (
    ExpectedPrevious,
    Rejected,
    Uncertain,
    UpsertRequest,
)
from tests.api.fakes import ADMIN, NOW, GatewayHarness, observed, open_client

UPSERT = """mutation ($input: UpsertOpeningBalanceInput!) { upsertOpeningBalance(input: $input) {
  __typename
  ... on WriteOutcome { accountId writeId message }
  ... on OpeningBalanceApplied { verified replayed bankAccount { id }
    previous { amount { amount } }
    openingBalance { amount { amount } effectiveAt memo source freshness { state } } }
  ... on OpeningBalanceUncertain { bankAccount { id } found { amount { amount } } }
  ... on OpeningBalanceRejected { code retryable retryAfterSeconds field
    current { amount { amount } } } } }"""


def build_variables(**changes):
    amount = {"minorUnits": "5000", "currency": "EUR"}
    return {"input": {"accountId": "acct_operating", "amount": amount, **changes}}


async def upsert(harness: GatewayHarness, variables):
    async with open_client(harness) as client:
        data = await client.data(UPSERT, variables, key=ADMIN)
    return data["upsertOpeningBalance"]


async def test_applied_write_returns_current_opening_balance(harness: GatewayHarness):
    result = await upsert(
        harness, build_variables(effectiveAt="2026-01-31T23:00:00+01:00", memo="M")
    )

    assert result == {
        "__typename": "OpeningBalanceApplied",
        "accountId": "acct_operating",
        "writeId": "write-1",
        "message": "The opening balance was set.",
        "previous": None,
        "verified": True,
        "replayed": False,
        "bankAccount": {"id": "acct_operating"},
        "openingBalance": {
            "amount": {"amount": "50.00"},
            "effectiveAt": "2026-01-31T22:00:00Z",
            "memo": "M",
            "source": "PROVIDER",
            "freshness": {"state": "LIVE"},
        },
    }


async def test_every_input_field_reaches_the_writer(harness: GatewayHarness):
    await upsert(
        harness,
        build_variables(
            amount={"amount": "50.00", "currency": "EUR"},
            effectiveAt="2026-01-31T23:00:00Z",
            expectedPrevious={"amount": {"amount": "12.30", "currency": "EUR"}},
            idempotencyKey="k",
            memo="m",
            referenceNumber="r",
        ),
    )

    assert harness.writer.requests == [
        UpsertRequest(
            "acct_operating", None, "50.00", "EUR", datetime(2026, 1, 31, 23, tzinfo=UTC),
            ExpectedPrevious(1230), "k", "m", "r",
        )
    ]  # fmt: skip


async def test_omitted_fields_reach_the_writer_as_none(harness: GatewayHarness):
    await upsert(harness, build_variables())
    await upsert(
        harness, build_variables(effectiveAt=None, expectedPrevious=None, idempotencyKey=None)
    )

    expected = UpsertRequest("acct_operating", 5000, None, "EUR")
    assert harness.writer.requests == [expected, expected]


async def test_empty_idempotency_key_is_passed_to_the_writer(harness: GatewayHarness):
    await upsert(harness, build_variables(idempotencyKey=""))

    assert harness.writer.requests[0].idempotency_key == ""


@pytest.mark.parametrize(
    ("expected", "previous"),
    [
        ({"amount": None}, ExpectedPrevious(None)),
        ({"amount": {"minorUnits": -5, "currency": "EUR"}}, ExpectedPrevious(-5)),
    ],
)
async def test_expected_previous_reaches_the_writer(harness: GatewayHarness, expected, previous):
    await upsert(harness, build_variables(expectedPrevious=expected))

    assert harness.writer.requests[0].expected_previous == previous


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": {"currency": "EUR"}}, "amount"),
        ({"amount": {"minorUnits": "1", "amount": "1", "currency": "EUR"}}, "amount"),
        ({"amount": {"minorUnits": None, "amount": None, "currency": "EUR"}}, "amount"),
        ({"expectedPrevious": {}}, "expectedPrevious.amount"),
        ({"expectedPrevious": {"amount": {"currency": "EUR"}}}, "expectedPrevious.amount"),
        (
            {"expectedPrevious": {"amount": {"minorUnits": "1", "currency": "USD"}}},
            "expectedPrevious.amount.currency",
        ),
        (
            {"expectedPrevious": {"amount": {"amount": "1.234", "currency": "EUR"}}},
            "expectedPrevious.amount",
        ),
    ],
)
async def test_invalid_amount_is_rejected_before_the_writer(
    harness: GatewayHarness, changes, field
):
    result = await upsert(harness, build_variables(**changes))

    assert result["__typename"] == "OpeningBalanceRejected"
    assert result["code"] == "BAD_USER_INPUT"
    assert result["field"] == field
    assert result["retryable"] is False
    assert harness.writer.requests == []


async def test_too_many_decimals_give_a_rejected_result(harness: GatewayHarness):
    result = await upsert(harness, build_variables(amount={"amount": "1.234", "currency": "EUR"}))

    assert result["code"] == "BAD_USER_INPUT"
    assert "not rounded" in result["message"]


@pytest.mark.parametrize("account_id", ["acct_foreign", "acct_missing", "../x"])
async def test_unknown_and_foreign_accounts_get_the_same_rejection(
    harness: GatewayHarness, account_id
):
    result = await upsert(harness, build_variables(accountId=account_id))

    assert result == {
        "__typename": "OpeningBalanceRejected",
        "accountId": account_id,
        "writeId": None,
        "code": "ACCOUNT_NOT_FOUND",
        "message": "There is no such account.",
        "retryable": False,
        "retryAfterSeconds": None,
        "field": None,
        "current": None,
    }


async def test_uncertain_write_returns_uncertain_result(harness: GatewayHarness):
    account = harness.directory._by_tenant["acme"].by_id["acct_operating"]
    found = observed(OpeningBalance(Money(12345, "EUR"), None, OpeningBalanceSource.PROVIDER))
    result = Uncertain(account, "write-1", "No answer.", found)
    harness.writer.results["acct_operating"] = result

    result = await upsert(harness, build_variables())

    assert result == {
        "__typename": "OpeningBalanceUncertain",
        "accountId": "acct_operating",
        "found": {"amount": {"amount": "123.45"}},
        "writeId": "write-1",
        "message": "No answer.",
        "bankAccount": {"id": "acct_operating"},
    }


async def test_rejected_write_returns_code_and_field(harness: GatewayHarness):
    current = observed(OpeningBalance(Money(12345, "EUR"), None, OpeningBalanceSource.PROVIDER))
    harness.writer.results["acct_operating"] = Rejected(
        ErrorCode.WRITE_UNSETTLED, "No.", True, "memo", None, None, current, 1.2
    )

    result = await upsert(harness, build_variables())

    assert result["code"] == "WRITE_UNSETTLED"
    assert (result["retryable"], result["field"]) == (True, "memo")
    assert result["current"] == {"amount": {"amount": "123.45"}}
    assert result["retryAfterSeconds"] == 2


async def test_defect_during_write_gives_uncertain_result(harness: GatewayHarness):
    harness.writer.results["acct_operating"] = RuntimeError("secret 50.00")

    result = await upsert(harness, build_variables())

    assert result["__typename"] == "OpeningBalanceUncertain"
    assert result["writeId"]
    assert "secret" not in result["message"]


async def test_reads_after_a_write_are_not_from_before_it(harness: GatewayHarness):
    """Two writes in one document: the second must not return the value read after the first."""
    opening = "openingBalance { amount { amount } }"
    one, two = (
        f'{alias}: upsertOpeningBalance(input: {{accountId: "acct_operating", amount: '
        f'{{minorUnits: {minor_units}, currency: "EUR"}}}}) {{ ... on OpeningBalanceApplied '
        f"{{ bankAccount {{ {opening} balance {{ asOf }} }} }} }}"
        for alias, minor_units in (("one", 100), ("two", 200))
    )

    async with open_client(harness) as client:
        data = await client.data(f"mutation {{ {one} {two} }}", key=ADMIN)

    read = [data[alias]["bankAccount"]["openingBalance"]["amount"] for alias in ("one", "two")]
    assert read == [{"amount": "1.00"}, {"amount": "2.00"}]
    assert len(harness.reads.calls) == 2


async def test_read_deadline_does_not_bound_a_write(harness: GatewayHarness):
    import asyncio

    harness.writer.gate = asyncio.Event()
    query = UPSERT.replace("bankAccount { id }\n", "bankAccount { balance { asOf } }\n", 1)

    async with open_client(harness, request_timeout_s=0.1) as client:
        asked = asyncio.ensure_future(client.data(query, build_variables(), key=ADMIN))
        await harness.writer.started.wait()
        await asyncio.sleep(0.2)
        harness.writer.gate.set()
        data = await asked

    assert data["upsertOpeningBalance"]["bankAccount"] == {"balance": {"asOf": str(NOW.date())}}
