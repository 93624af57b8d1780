"""``upsertOpeningBalance``: what is sent, what comes of it, and that reads after it are new."""

from datetime import UTC, datetime

import pytest

from balance_gateway.service.opening_balances import (
    ExpectedPrevious,
    Rejected,
    Uncertain,
    UpsertRequest,
)
from tests.api.fakes import ADMIN, NOW, World, asking

UPSERT = """mutation ($input: UpsertOpeningBalanceInput!) { upsertOpeningBalance(input: $input) {
  __typename
  ... on OpeningBalanceApplied { verified replayed bankAccount { id }
    openingBalance { amount { amount } effectiveAt memo source freshness { state } } }
  ... on OpeningBalanceUncertain { writeId message bankAccount { id } }
  ... on OpeningBalanceRejected { code message retryable field } } }"""


def given(**changes):
    amount = {"minorUnits": "5000", "currency": "EUR"}
    return {"input": {"accountId": "acct_operating", "amount": amount, **changes}}


async def outcome(world: World, variables):
    async with asking(world) as client:
        data = await client.data(UPSERT, variables, key=ADMIN)
    return data["upsertOpeningBalance"]


async def test_an_applied_write_answers_what_stands(world: World):
    result = await outcome(world, given(effectiveAt="2026-01-31T23:00:00+01:00", memo="M"))

    assert result == {
        "__typename": "OpeningBalanceApplied",
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


async def test_everything_given_reaches_the_writer(world: World):
    await outcome(
        world,
        given(
            amount={"amount": "50.00", "currency": "EUR"},
            effectiveAt="2026-01-31T23:00:00Z",
            expectedPrevious={"amount": {"amount": "12.30", "currency": "EUR"}},
            idempotencyKey="k",
            memo="m",
            referenceNumber="r",
        ),
    )

    assert world.writer.requests == [
        UpsertRequest(
            "acct_operating", None, "50.00", "EUR", datetime(2026, 1, 31, 23, tzinfo=UTC),
            ExpectedPrevious(1230), "k", "m", "r",
        )
    ]  # fmt: skip


async def test_what_is_left_out_reaches_the_writer_as_none(world: World):
    await outcome(world, given())
    await outcome(world, given(effectiveAt=None, expectedPrevious=None, idempotencyKey=None))

    expected = UpsertRequest("acct_operating", 5000, None, "EUR")
    assert world.writer.requests == [expected, expected]


async def test_an_empty_key_is_for_the_writer_to_judge(world: World):
    await outcome(world, given(idempotencyKey=""))

    assert world.writer.requests[0].idempotency_key == ""


@pytest.mark.parametrize(
    ("expected", "previous"),
    [
        ({"amount": None}, ExpectedPrevious(None)),
        ({"amount": {"minorUnits": -5, "currency": "EUR"}}, ExpectedPrevious(-5)),
    ],
)
async def test_what_is_expected_reaches_the_writer(world: World, expected, previous):
    await outcome(world, given(expectedPrevious=expected))

    assert world.writer.requests[0].expected_previous == previous


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
async def test_an_unclear_amount_is_rejected_before_the_writer(world: World, changes, field):
    result = await outcome(world, given(**changes))

    assert result["__typename"] == "OpeningBalanceRejected"
    assert result["code"] == "BAD_USER_INPUT"
    assert result["field"] == field
    assert result["retryable"] is False
    assert world.writer.requests == []


async def test_too_many_decimals_are_rejected_as_a_result(world: World):
    result = await outcome(world, given(amount={"amount": "1.234", "currency": "EUR"}))

    assert result["code"] == "BAD_USER_INPUT"
    assert "not rounded" in result["message"]


@pytest.mark.parametrize("account_id", ["acct_foreign", "acct_missing", "../x"])
async def test_an_unknown_or_foreign_account_is_rejected_alike(world: World, account_id):
    result = await outcome(world, given(accountId=account_id))

    assert result == {
        "__typename": "OpeningBalanceRejected",
        "code": "ACCOUNT_NOT_FOUND",
        "message": "There is no such account.",
        "retryable": False,
        "field": None,
    }


async def test_an_uncertain_write_says_so(world: World):
    account = world.directory._by_tenant["acme"]["acct_operating"]
    world.writer.results["acct_operating"] = Uncertain(account, "write-1", "No answer.")

    result = await outcome(world, given())

    assert result == {
        "__typename": "OpeningBalanceUncertain",
        "writeId": "write-1",
        "message": "No answer.",
        "bankAccount": {"id": "acct_operating"},
    }


async def test_a_rejected_write_says_why(world: World):
    world.writer.results["acct_operating"] = Rejected("PROVIDER_REJECTED", "No.", True, "memo")

    result = await outcome(world, given())

    assert result["code"] == "PROVIDER_REJECTED"
    assert (result["retryable"], result["field"]) == (True, "memo")


async def test_a_defect_while_writing_is_uncertain_never_rejected(world: World):
    world.writer.results["acct_operating"] = RuntimeError("secret 50.00")

    result = await outcome(world, given())

    assert result["__typename"] == "OpeningBalanceUncertain"
    assert result["writeId"]
    assert "secret" not in result["message"]


async def test_reads_in_the_answer_to_a_write_are_new(world: World):
    """Two writes of one document: what was read after the first is not what stands now."""
    opening = "openingBalance { amount { amount } }"
    one, two = (
        f'{alias}: upsertOpeningBalance(input: {{accountId: "acct_operating", amount: '
        f'{{minorUnits: {minor_units}, currency: "EUR"}}}}) {{ ... on OpeningBalanceApplied '
        f"{{ bankAccount {{ {opening} balance {{ asOf }} }} }} }}"
        for alias, minor_units in (("one", 100), ("two", 200))
    )

    async with asking(world) as client:
        data = await client.data(f"mutation {{ {one} {two} }}", key=ADMIN)

    read = [data[alias]["bankAccount"]["openingBalance"]["amount"] for alias in ("one", "two")]
    assert read == [{"amount": "1.00"}, {"amount": "2.00"}]
    assert len(world.reads.calls) == 2


async def test_a_write_is_not_bounded_by_the_deadline_of_reads(world: World):
    import asyncio

    world.writer.gate = asyncio.Event()
    query = UPSERT.replace("bankAccount { id }\n", "bankAccount { balance { asOf } }\n", 1)

    async with asking(world, request_timeout_s=0.1) as client:
        asked = asyncio.ensure_future(client.data(query, given(), key=ADMIN))
        await world.writer.started.wait()
        await asyncio.sleep(0.2)
        world.writer.gate.set()
        data = await asked

    assert data["upsertOpeningBalance"]["bankAccount"] == {"balance": {"asOf": str(NOW.date())}}
