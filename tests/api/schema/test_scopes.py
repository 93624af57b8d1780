"""Scopes: each root field needs its scope; without it, no read and no write is made."""

import pytest

from balance_gateway.api.schema.build import build_core_schema
from tests.api.fakes import AUDITOR, READ, GatewayHarness, open_client

READS = [
    'node(id: "acct_yen") { id }',
    'nodes(ids: ["acct_yen"]) { id }',
    'bankAccount(id: "acct_yen") { id }',
    "bankAccounts { totalCount }",
    "balanceTotals { currency }",
    'balanceTotalsSeries(from: "2026-05-01", to: "2026-05-02") { currency }',
    "connectors { id }",
]
ANY_CREDENTIAL = ["viewer { name }", "gateway { version }"]
AUDITS = [
    'openingBalanceWrite(id: "w1") { id }',
    "openingBalanceWrites { nodes { id } }",
    "auditLog { nodes { number } }",
    'explainBalance(accountId: "acct_yen") { accountId }',
]
PLANS = ['openingBalancePlan(id: "p1") { id }']
INPUT = '{accountId: "acct_yen", amount: {minorUnits: 1, currency: "JPY"}}'
WRITES = [
    f"upsertOpeningBalance(input: {INPUT}) {{ __typename }}",
    f"upsertOpeningBalances(inputs: [{INPUT}]) {{ __typename }}",
    'settleOpeningBalanceWrite(writeId: "w1", as: APPLIED, note: "n") { __typename }',
    f"planOpeningBalances(input: {{rows: [{{line: 1, {INPUT[1:]}]}}) {{ __typename }}",
    'approvePlan(id: "p1") { __typename }',
    'applyPlan(id: "p1") { __typename }',
]


@pytest.mark.parametrize(
    ("document", "key", "scope"),
    [(f"{{ {field} }}", AUDITOR, "balances:read") for field in READS]
    + [(f"{{ {field} }}", READ, "audit:read") for field in AUDITS]
    + [(f"{{ {field} }}", READ, "balances:write") for field in PLANS]
    + [(f"mutation {{ {field} }}", READ, "balances:write") for field in WRITES],
)
async def test_missing_scope_is_forbidden(harness: GatewayHarness, document, key, scope):
    async with open_client(harness) as client:
        answer = await client.ask(document, key=key)

    [error] = answer["errors"]
    assert error["extensions"] == {"code": "FORBIDDEN", "retryable": False}
    assert scope in error["message"]
    assert len(error["path"]) == 1
    assert harness.reads.calls == []
    assert harness.writer.requests == []
    assert harness.plan_store.plans == {}


async def test_introspection_needs_a_credential_but_no_scope(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data("{ __schema { queryType { name } } }", key=AUDITOR)

    assert data["__schema"]["queryType"]["name"] == "Query"


async def test_a_document_has_room_for_a_few_explanations(harness: GatewayHarness):
    ask = 'e{0}: explainBalance(accountId: "acct_yen") {{ balance {{ answer {{ asOf }} }} }}'
    async with open_client(harness) as client:
        few, many = [
            await client.ask(f"{{ {' '.join(map(ask.format, range(count)))} }}", key=AUDITOR)
            for count in (9, 10)
        ]

    assert len(few["data"]) == 9
    assert few["data"]["e8"]["balance"]["answer"] == {"asOf": "2026-11-21"}
    assert many["errors"][0]["extensions"]["code"] == "QUERY_TOO_EXPENSIVE"


def test_scope_cases_cover_every_root_field():
    for root, documents in (
        ("Query", READS + AUDITS + PLANS + ANY_CREDENTIAL),
        ("Mutation", WRITES),
    ):
        named = {document.partition("(")[0].split()[0] for document in documents}

        assert named == set(build_core_schema().type_map[root].fields)
