"""Every root field needs its scope; without it nothing behind it is called."""

import pytest

from balance_gateway.api.schema.build import core_schema
from tests.api.fakes import AUDITOR, READ, World, asking

READS = [
    'node(id: "acct_yen") { id }',
    'nodes(ids: ["acct_yen"]) { id }',
    'bankAccount(id: "acct_yen") { id }',
    "bankAccounts { totalCount }",
    "balanceTotals { currency }",
    "connectors { id }",
]
INPUT = '{accountId: "acct_yen", amount: {minorUnits: 1, currency: "JPY"}}'
WRITES = [
    f"upsertOpeningBalance(input: {INPUT}) {{ __typename }}",
    f"upsertOpeningBalances(inputs: [{INPUT}]) {{ __typename }}",
]


@pytest.mark.parametrize(
    ("document", "key", "scope"),
    [(f"{{ {field} }}", AUDITOR, "balances:read") for field in READS]
    + [(f"mutation {{ {field} }}", READ, "balances:write") for field in WRITES],
)
async def test_a_missing_scope_is_forbidden(world: World, document, key, scope):
    async with asking(world) as client:
        answer = await client.ask(document, key=key)

    [error] = answer["errors"]
    assert error["extensions"] == {"code": "FORBIDDEN", "retryable": False}
    assert scope in error["message"]
    assert len(error["path"]) == 1
    assert world.reads.calls == []
    assert world.writer.requests == []


async def test_introspection_needs_a_credential_and_no_scope(world: World):
    async with asking(world) as client:
        data = await client.data("{ __schema { queryType { name } } }", key=AUDITOR)

    assert data["__schema"]["queryType"]["name"] == "Query"


def test_every_root_field_is_checked_for_its_scope():
    for root, documents in (("Query", READS), ("Mutation", WRITES)):
        named = {document.partition("(")[0].split()[0] for document in documents}

        assert named == set(core_schema().type_map[root].fields)
