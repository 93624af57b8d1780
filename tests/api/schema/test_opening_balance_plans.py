"""Plans over GraphQL: parts, bad rows by line, approval, progress and pages of rows."""

from dataclasses import replace
from typing import Any

import pytest

from balance_gateway.domain.accounts import Capability
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource
from balance_gateway.domain.money import Money
from balance_gateway.domain.opening_balance_plans import (
    PlanApproval,
    PlanConnector,
    PlanState,
    PlanSummary,
    PlanTotal,
    PreviousState,
    RowOutcome,
)
from balance_gateway.ports.write_journal import JournalUnavailable
from tests.api.fakes import ADMIN, NOW, OTHER, Client, GatewayHarness, account, open_client

PLAN = """mutation ($input: PlanOpeningBalancesInput!) { planOpeningBalances(input: $input) {
  __typename ... on OpeningBalancePlan { id state rowCount parts madeBy counts { pending invalid } }
  ... on OpeningBalancePlanRejected { code message retryable field } } }"""
STEP = """mutation { %s { __typename
  ... on OpeningBalancePlan { id state approval { principal contentHash } appliedBy }
  ... on OpeningBalancePlanRejected { code message field } } }"""
ROWS = """query ($id: ID!, $outcomes: [OpeningBalancePlanOutcome!], $first: Int, $after: String) {
  openingBalancePlan(id: $id) { rows(outcomes: $outcomes, first: $first, after: $after) {
    nodes { line accountId outcome code message field }
    edges { cursor } pageInfo { hasNextPage hasPreviousPage endCursor } } } }"""
EUR = {"amount": "1.00", "currency": "EUR"}


def row(line: int, account_id: str = "acct_operating", **more: Any) -> dict[str, Any]:
    return {"line": line, "accountId": account_id, "amount": EUR, **more}


@pytest.fixture
def harness() -> GatewayHarness:
    writes = frozenset(Capability)
    names = ("acct_operating", "acct_savings", "acct_third")
    theirs = account("acct_foreign", tenant="globex", capabilities=writes)
    return GatewayHarness([*(account(name, capabilities=writes) for name in names), theirs])


async def send(client: Client, *rows: dict[str, Any], key: str = ADMIN, **more: Any) -> Any:
    data = await client.data(PLAN, {"input": {"rows": rows, **more}}, key=key)
    return data["planOpeningBalances"]


async def test_a_plan_is_made_in_parts(harness: GatewayHarness):
    async with open_client(harness) as client:
        first = await send(client, row(2), complete=False, idempotencyKey="k")
        again = await send(client, row(2), complete=False, idempotencyKey="k")
        done = await send(client, row(3, "acct_savings"), planId=first["id"], part=2)
        late = await send(client, row(4, "acct_third"), planId=first["id"], part=3)

    assert first == again
    assert (first["state"], first["madeBy"]) == ("RECEIVING", ADMIN)
    assert done == {
        **first,
        "state": "READING",
        "rowCount": 2,
        "parts": 2,
        "counts": {"pending": 2, "invalid": 0},
    }
    assert (late["code"], late["field"]) == ("BAD_USER_INPUT", "input.part")


@pytest.mark.parametrize("as_literals", [False, True])
async def test_an_unreadable_row_is_named_by_its_line(harness: GatewayHarness, as_literals: bool):
    rows = [
        row(2),
        row(3, "acct_savings", amount={"amount": "1,00", "currency": "EUR"}),
        row(4, "acct_third", effectiveAt="2026-01-01"),
        row(5, "acct_foreign"),
        row(6, "acct_third", amount={"amount": "1", "minorUnits": "1", "currency": "EUR"}),
    ]
    async with open_client(harness) as client:
        if as_literals:
            written = """[{line: 2, accountId: "acct_operating", amount: {amount: "1.00",
                currency: "EUR"}}, {line: 3, accountId: "acct_savings", amount: {amount: "1,00",
                currency: "EUR"}}, {line: 4, accountId: "acct_third", effectiveAt: "2026-01-01",
                amount: {amount: "1.00", currency: "EUR"}}, {line: 5, accountId: "acct_foreign",
                amount: {amount: "1.00", currency: "EUR"}}, {line: 6, accountId: "acct_third",
                amount: {amount: "1", minorUnits: "1", currency: "EUR"}}]"""
            document = PLAN.replace("($input: PlanOpeningBalancesInput!)", "")
            document = document.replace("$input", f"{{rows: {written}}}")
            plan = (await client.data(document, key=ADMIN))["planOpeningBalances"]
        else:
            plan = await send(client, *rows)
        data = await client.data(ROWS, {"id": plan["id"], "outcomes": ["INVALID"]}, key=ADMIN)

    assert plan["state"] == "REFUSED"
    found = data["openingBalancePlan"]["rows"]["nodes"]
    assert [(each["line"], each["code"], each["field"]) for each in found] == [
        (3, "BAD_USER_INPUT", "amount.amount"),
        (4, "BAD_USER_INPUT", "effectiveAt"),
        (5, "ACCOUNT_NOT_FOUND", None),
        (6, "BAD_USER_INPUT", "amount"),
    ]
    assert harness.writer.requests == []


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_part_of_a_wrong_size_is_refused(harness: GatewayHarness, count: int):
    rows = [row(line + 1) for line in range(count)]
    async with open_client(harness) as client:
        answer = await client.post(PLAN, {"input": {"rows": rows}}, key=ADMIN)

    [error] = answer.json()["errors"]
    assert error["extensions"]["field"] == "input.rows"
    assert harness.plan_store.plans == {}


async def make_ready(harness: GatewayHarness, client: Client, **more: Any) -> str:
    """Make a plan and do what the runner would."""
    rows = [row(2), row(3, "acct_savings"), row(4, "acct_third")]
    plan_id: str = (await send(client, *rows, **more))["id"]
    stored = harness.plan_store.rows[plan_id]
    previous = OpeningBalance(Money(50, "EUR"), None, OpeningBalanceSource.PROVIDER)
    stored[2] = replace(
        stored[2], previous_state=PreviousState.VALUE, previous=previous, previous_at=NOW
    )
    stored[3] = replace(stored[3], previous_state=PreviousState.UNREADABLE, previous_at=NOW)
    summary = PlanSummary(
        (PlanTotal("EUR", 2, 0, 200, 50), PlanTotal("JPY", 1, 1, 5, None)),
        (PlanConnector("light_eu", 3, frozenset({Capability.WRITE_MEMO})),),
        unchanged=0,
        unknown=1,
    )
    plan = harness.plan_store.plans[plan_id]
    await harness.plan_store.finish_reading(plan, "h" * 64, summary, NOW)
    return plan_id


async def test_a_ready_plan_shows_old_and_new_and_what_is_unknown(harness: GatewayHarness):
    query = """query ($id: ID!) { openingBalancePlan(id: $id) { state contentHash unchanged unknown
      totals { currency rows unknown previous { amount } planned { amount } change { amount } }
      connectors { connectorId name rows missing }
      rows { nodes { line previousState previous { amount { amount } freshness { state } }
        unchanged amount { minorUnits } writeId retryable effectiveAt } } } }"""
    async with open_client(harness) as client:
        plan_id = await make_ready(harness, client)
        data = await client.data(query, {"id": plan_id}, key=ADMIN)

    plan = data["openingBalancePlan"]
    rows = plan.pop("rows")["nodes"]
    assert plan == {
        "state": "READY",
        "contentHash": "h" * 64,
        "unchanged": 0,
        "unknown": 1,
        "totals": [
            {
                "currency": "EUR",
                "rows": 2,
                "unknown": 0,
                "previous": {"amount": "0.50"},
                "planned": {"amount": "2.00"},
                "change": {"amount": "1.50"},
            },
            {
                "currency": "JPY",
                "rows": 1,
                "unknown": 1,
                "previous": None,
                "planned": {"amount": "5"},
                "change": None,
            },
        ],
        "connectors": [
            {
                "connectorId": "connector:light_eu",
                "name": "light_eu",
                "rows": 3,
                "missing": ["WRITE_MEMO"],
            }
        ],
    }
    assert rows[0]["previous"] == {"amount": {"amount": "0.50"}, "freshness": {"state": "CACHED"}}
    assert [each["previousState"] for each in rows] == ["VALUE", "UNREADABLE", None]


async def test_a_plan_is_approved_by_another_caller_and_then_applied(harness: GatewayHarness):
    async with open_client(harness) as client:
        plan_id = await make_ready(harness, client, needsApproval=True)

        async def step(field: str) -> Any:
            data = await client.data(STEP % f'{field}(id: "{plan_id}")', key=ADMIN)
            return data[field]

        own, early = await step("approvePlan"), await step("applyPlan")
        plan = harness.plan_store.plans[plan_id]
        await harness.plan_store.approve(plan, PlanApproval("bob", NOW, "h" * 64))
        applied = [await step("applyPlan") for _ in range(2)]

    assert (own["__typename"], own["code"]) == ("OpeningBalancePlanRejected", "FORBIDDEN")
    assert (early["code"], early["field"]) == ("BAD_USER_INPUT", "id")
    assert (
        applied[0]
        == applied[1]
        == {
            "__typename": "OpeningBalancePlan",
            "id": plan_id,
            "state": "APPLYING",
            "approval": {"principal": "bob", "contentHash": "h" * 64},
            "appliedBy": ADMIN,
        }
    )
    assert harness.plan_store.steps == ["made", "approved", "applied"]


async def test_a_plan_of_another_tenant_is_like_none(harness: GatewayHarness):
    async with open_client(harness) as client:
        plan_id = await make_ready(harness, client)
        documents = ['{ openingBalancePlan(id: "%s") { id } }']
        documents += [STEP % f'{field}(id: "%s")' for field in ("applyPlan", "approvePlan")]
        answers = [
            await client.data(document.replace("%s", each), key=OTHER)
            for each in (plan_id, "none")
            for document in documents
        ]

    assert answers[0] == {"openingBalancePlan": None}
    assert answers[:3] == answers[3:]
    assert harness.plan_store.plans[plan_id].state is PlanState.READY


async def test_rows_have_pages_and_filters(harness: GatewayHarness):
    async with open_client(harness) as client:
        plan_id = await make_ready(harness, client)
        stored = harness.plan_store.rows[plan_id]
        stored[3] = replace(stored[3], outcome=RowOutcome.APPLIED)

        async def ask(**variables: Any) -> Any:
            data = await client.data(ROWS, {"id": plan_id, **variables}, key=ADMIN)
            rows = data["openingBalancePlan"]["rows"]
            return [each["line"] for each in rows["nodes"]], rows["pageInfo"]

        first, info = await ask(first=2)
        second, last = await ask(first=2, after=info["endCursor"])
        pending, _ = await ask(outcomes=["PENDING"])
        empty, _ = await ask(first=0)
        wrong = [
            await client.ask(ROWS, {"id": plan_id, **variables}, key=ADMIN)
            for variables in ({"first": 1001}, {"first": -1}, {"after": ""}, {"after": "cDE6MDI"})
        ]

    assert (first, second, pending, empty) == ([2, 3], [4], [2, 4], [])
    assert (info["hasNextPage"], last["hasNextPage"]) == (True, False)
    assert last["hasPreviousPage"]
    fields = [answer["errors"][0]["extensions"]["field"] for answer in wrong]
    assert fields == ["first", "first", "after", "after"]


async def test_a_storage_that_is_away_is_a_retryable_rejection(harness: GatewayHarness):
    async def fail(*_arguments: Any) -> Any:
        raise JournalUnavailable("Away.")

    harness.plan_store.add_part = fail  # type: ignore[method-assign]
    async with open_client(harness) as client:
        result = await send(client, row(2))

    assert (result["code"], result["retryable"]) == ("INTERNAL", True)
