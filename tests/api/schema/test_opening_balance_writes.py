"""Recorded and unsettled writes: who sees them, in which pages, and how they are settled."""

from dataclasses import replace
from datetime import timedelta

import pytest

from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource
from balance_gateway.domain.errors import BadInput, ErrorCode
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import (
    SettledBy,
    Settlement,
    UnsettledWrite,
    WriteIntent,
    WriteOutcome,
    WriteRecord,
)
from balance_gateway.ports.write_journal import JournalUnavailable, WriteFilter
from tests.api.fakes import ADMIN, AUDITOR, NOW, OTHER, READ, GatewayHarness, open_client

RECORDED = OpeningBalance(
    Money(70_000, "EUR"),
    None,
    OpeningBalanceSource.RECORDED_BY_GATEWAY,
    recorded_at=NOW - timedelta(hours=1),
)

LIST = """query ($filter: OpeningBalanceWriteFilter, $first: Int, $after: String) {
  openingBalanceWrites(filter: $filter, first: $first, after: $after) {
    nodes { id } edges { cursor } pageInfo { hasNextPage hasPreviousPage endCursor } } }"""
UNSETTLED = """{ bankAccount(id: "acct_operating") { unsettledWrite {
  writeId amount { amount } effectiveAt at } } }"""
SETTLE = """mutation ($id: ID!, $as: SettledAs!, $note: String!) {
  settleOpeningBalanceWrite(writeId: $id, as: $as, note: $note) { __typename
    ... on OpeningBalanceWriteSettled { write { id unsettled settlement { how principal note } } }
    ... on SettleOpeningBalanceWriteRejected { code message retryable field } } }"""


def build_record(write_id: str = "w1", age_s: float = 60, **more) -> WriteRecord:
    fields = {
        "id": write_id,
        "tenant": "acme",
        "account_id": "acct_operating",
        "remote_account": "remote",
        "connector": "light_eu",
        "principal": "admin",
        "amount": Money(80_000, "EUR"),
        "effective_at": NOW,
        "memo": None,
        "reference_number": None,
        "idempotency_key": None,
        "fingerprint": "f",
        "previous": RECORDED,
        "started_at": NOW - timedelta(seconds=age_s),
        **more,
    }
    return WriteRecord(
        WriteIntent(**fields),
        WriteOutcome.UNCERTAIN,
        finished_at=NOW,
        error_code="PROVIDER_TIMEOUT",
        error_message="No answer.",
        found=replace(RECORDED, source=OpeningBalanceSource.DERIVED, recorded_at=None),
        provider_code="RECALCULATED",
    )


async def test_an_account_shows_its_unsettled_write(harness: GatewayHarness):
    harness.reconciler.unsettled["acct_operating"] = build_record()

    async with open_client(harness) as client:
        data = await client.data(UNSETTLED)

    assert data["bankAccount"]["unsettledWrite"] == {
        "writeId": "w1",
        "amount": {"amount": "800.00"},
        "effectiveAt": "2026-11-21T12:00:00Z",
        "at": "2026-11-21T11:59:00Z",
    }


async def test_a_write_of_another_tenant_is_shown_without_its_values(harness: GatewayHarness):
    theirs = UnsettledWrite("w1", "globex", "acct_foreign", NOW)
    harness.reconciler.unsettled["acct_operating"] = theirs

    async with open_client(harness) as client:
        data = await client.data(UNSETTLED)

    assert data["bankAccount"]["unsettledWrite"] == {
        "writeId": None,
        "amount": None,
        "effectiveAt": None,
        "at": "2026-11-21T12:00:00Z",
    }


async def test_the_unsettled_writes_of_all_accounts_are_one_query(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data("{ bankAccounts { nodes { unsettledWrite { at } } } }")

    assert [node["unsettledWrite"] for node in data["bankAccounts"]["nodes"]] == [None] * 5
    assert len(harness.reconciler.calls) == 1


async def test_a_write_has_every_recorded_value(harness: GatewayHarness):
    settlement = Settlement(SettledBy.PERSON, NOW, "bob", "Seen.")
    harness.history.records = [replace(build_record(), settlement=settlement)]
    query = """{ openingBalanceWrite(id: "w1") { id accountId principal amount { amount }
      startedAt finishedAt outcome unsettled verified code message providerCode
      previous { amount { amount } source freshness { state observedAt } }
      applied { amount { amount } } found { amount { amount } source }
      settlement { how at principal note } } }"""

    async with open_client(harness) as client:
        data = await client.data(query, key=AUDITOR)

    assert data["openingBalanceWrite"] == {
        "id": "w1",
        "accountId": "acct_operating",
        "principal": "admin",
        "amount": {"amount": "800.00"},
        "startedAt": "2026-11-21T11:59:00Z",
        "finishedAt": "2026-11-21T12:00:00Z",
        "outcome": "UNCERTAIN",
        "unsettled": False,
        "verified": False,
        "code": "PROVIDER_TIMEOUT",
        "message": "No answer.",
        "providerCode": "RECALCULATED",
        "previous": {
            "amount": {"amount": "700.00"},
            "source": "RECORDED_BY_GATEWAY",
            "freshness": {"state": "CACHED", "observedAt": "2026-11-21T11:00:00Z"},
        },
        "applied": None,
        "found": {"amount": {"amount": "700.00"}, "source": "DERIVED"},
        "settlement": {
            "how": "PERSON",
            "at": "2026-11-21T12:00:00Z",
            "principal": "bob",
            "note": "Seen.",
        },
    }


async def test_writes_of_another_tenant_do_not_exist(harness: GatewayHarness):
    harness.history.records = [build_record(tenant="globex")]
    query = '{ openingBalanceWrite(id: "w1") { id } openingBalanceWrites { nodes { id } } }'

    async with open_client(harness) as client:
        data = await client.data(query, key=AUDITOR)

    assert data == {"openingBalanceWrite": None, "openingBalanceWrites": {"nodes": []}}


@pytest.mark.parametrize("key", [READ, ADMIN, OTHER])
async def test_recorded_writes_need_the_scope_audit_read(harness: GatewayHarness, key: str):
    query = '{ openingBalanceWrite(id: "w1") { id } openingBalanceWrites { nodes { id } } }'

    async with open_client(harness) as client:
        answer = await client.ask(query, key=key)

    assert answer["data"] == {"openingBalanceWrite": None, "openingBalanceWrites": None}
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"FORBIDDEN"}


async def test_pages_follow_each_other_newest_first(harness: GatewayHarness):
    harness.history.records = [build_record(f"w{age}", age) for age in (50, 40, 30)]
    async with open_client(harness) as client:
        first = await client.data(LIST, {"first": 2}, key=AUDITOR)
        page = first["openingBalanceWrites"]
        after = page["pageInfo"]["endCursor"]
        second = await client.data(LIST, {"first": 2, "after": after}, key=AUDITOR)
        empty = await client.data(LIST, {"first": 0}, key=AUDITOR)

    assert [node["id"] for node in page["nodes"]] == ["w30", "w40"]
    assert page["pageInfo"]["hasNextPage"]
    rest = second["openingBalanceWrites"]
    assert [node["id"] for node in rest["nodes"]] == ["w50"]
    assert (rest["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasPreviousPage"]) == (False, True)
    assert empty["openingBalanceWrites"]["nodes"] == []
    assert empty["openingBalanceWrites"]["pageInfo"]["hasNextPage"]


async def test_the_filter_reaches_the_history(harness: GatewayHarness):
    sent = {"outcomes": ["UNCERTAIN"], "accountIds": ["a"], "since": "2026-11-21T12:00:00Z"}

    async with open_client(harness) as client:
        await client.data(LIST, {"filter": sent}, key=AUDITOR)

    selected = WriteFilter(frozenset({WriteOutcome.UNCERTAIN}), frozenset({"a"}), NOW)
    assert harness.history.pages == [(selected, 51)]


@pytest.mark.parametrize(
    ("variables", "field"),
    [
        ({"first": -1}, "first"),
        ({"first": 1001}, "first"),
        ({"after": ""}, "after"),
        ({"after": "YTE6YWNjdA"}, "after"),
        ({"filter": {"accountIds": ["a"] * 1001}}, "filter.accountIds"),
    ],
)
async def test_invalid_arguments_are_errors_of_the_field(
    harness: GatewayHarness, variables: dict, field: str
):
    async with open_client(harness) as client:
        answer = await client.ask(LIST, variables, key=AUDITOR)

    (error,) = answer["errors"]
    assert answer["data"] == {"openingBalanceWrites": None}
    assert (error["extensions"]["code"], error["extensions"]["field"]) == ("BAD_USER_INPUT", field)


async def test_a_write_is_settled_with_principal_and_note(harness: GatewayHarness):
    harness.history.records = [build_record()]
    variables = {"id": "w1", "as": "NOT_APPLIED", "note": "Seen."}

    async with open_client(harness) as client:
        data = await client.data(SETTLE, variables, key=ADMIN)

    assert data["settleOpeningBalanceWrite"]["__typename"] == "OpeningBalanceWriteSettled"
    assert harness.reconciler.settled == [(ADMIN, "w1", False, "Seen.")]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (BadInput("Settled.", field="writeId"), ("BAD_USER_INPUT", False, "writeId")),
        (JournalUnavailable("Down."), ("INTERNAL", True, None)),
    ],
)
async def test_a_refused_settlement_is_a_result(
    harness: GatewayHarness, failure: Exception, expected: tuple
):
    harness.reconciler.failing = failure
    variables = {"id": "w1", "as": "APPLIED", "note": "n"}

    async with open_client(harness) as client:
        data = await client.data(SETTLE, variables, key=ADMIN)

    result = data["settleOpeningBalanceWrite"]
    assert result["__typename"] == "SettleOpeningBalanceWriteRejected"
    assert (result["code"], result["retryable"], result["field"]) == expected


async def test_settling_needs_the_scope_balances_write(harness: GatewayHarness):
    variables = {"id": "w1", "as": "APPLIED", "note": "n"}

    async with open_client(harness) as client:
        answer = await client.ask(SETTLE, variables, key=READ)

    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert harness.reconciler.settled == []


async def test_every_error_code_is_in_the_schema(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data('{ __type(name: "ErrorCode") { enumValues { name } } }')

    assert {each["name"] for each in data["__type"]["enumValues"]} == set(ErrorCode.__members__)
