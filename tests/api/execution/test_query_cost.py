"""The cost of documents: the sizes of lists stand beside their fields in the schema."""

from typing import Any

import pytest
import strawberry

from balance_gateway.api.execution.documents import Documents
from balance_gateway.api.execution.query_cost import apply_defaults
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.build import build_core_schema
from balance_gateway.api.schema.list_sizes import list_size, require_list_sizes

UPSERTS = """mutation ($inputs: [UpsertOpeningBalanceInput!]!) {
  upsertOpeningBalances(inputs: $inputs) {
    __typename
    ... on OpeningBalanceApplied { bankAccount { id } openingBalance { tags { tagId } } } } }"""
HISTORY = """query ($from: Date!, $step: HistoryStep) { bankAccount(id: "a") {
  balanceHistory(from: $from, to: "2026-12-31", step: $step) { asOf bank { amount } } } }"""
DAY, MONTH = {"from": "2026-12-01"}, {"from": "2026-01-01", "step": "MONTH"}

#: Documents, variables and costs.
COSTS: list[tuple[str, dict[str, Any], int]] = [
    ("{ __typename }", {}, 1),
    ('{ bankAccount(id: "a") { id openingBalance { tags { tagId key } } } }', {}, 14),
    ('{ node(id: "a") { id ... on BankAccount { openingBalance { tags { tagId } } } } }', {}, 9),
    ('{ nodes(ids: ["a", "b", "c"]) { id ... on BankAccount { name } } }', {}, 7),
    ('{ nodes(ids: "a") { id } }', {}, 2),
    ("query ($ids: [ID!]!) { n: nodes(ids: $ids) { id __typename } }", {"ids": ["a"] * 7}, 15),
    ("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ["a"] * 5000}, 1001),
    ("{ bankAccounts { nodes { id } } }", {}, 201),
    ("{ bankAccounts(first: 3) { edges { cursor node { id } } pageInfo { endCursor } } }", {}, 19),
    ("{ bankAccounts(first: 0) { totalCount } }", {}, 2),
    ("{ bankAccounts(first: 5000) { totalCount } }", {}, 1001),
    ("query ($n: Int = 2) { bankAccounts(first: $n) { nodes { id } } }", {}, 5),
    ("query ($n: Int = 2) { bankAccounts(first: $n) { nodes { id } } }", {"n": 9}, 19),
    ("query ($n: Int = 2) { bankAccounts(first: $n) { nodes { id } } }", {"n": None}, 201),
    ("{ connectors { id capabilities health { state } } }", {}, 21),
    ("{ balanceTotals { currency missing { code bankAccount { id } } } }", {}, 4011),
    (HISTORY, DAY, 95),
    (HISTORY, MONTH, 41),
    (HISTORY, {"from": "1990-01-01"}, 1100),
    (HISTORY, {"from": "never"}, 5),
    ("{ ...A } fragment A on Query { bankAccounts(first: 4) { ...B } } "
     "fragment B on BankAccountConnection { nodes { ...C ...C } totalCount } "
     "fragment C on BankAccount { id openingBalance { ...D } } "
     "fragment D on OpeningBalance { tags { tagId ... { key } ... on Tag { value } } }", {}, 153),
    ("query ($n: Int!) { ... { ...A } } fragment A on Query { bankAccounts(first: $n) "
     "{ nodes { ... on Node { id ... on BankAccount { name } } } } }", {"n": 10}, 31),
    (UPSERTS, {"inputs": [{}] * 3}, 31),
    (UPSERTS, {"inputs": [{}] * 500}, 1001),
    ('{ __type(name: "Query") { fields { name } } connectors { id } }', {}, 7),
]  # fmt: skip


@pytest.mark.parametrize(("query", "variables", "cost"), COSTS)
def test_cost_counts_fields_times_the_sizes_of_the_lists_around_them(
    query: str, variables: dict[str, Any], cost: int
) -> None:
    prepared = Documents(build_core_schema(), Limits()).get_operation(query, None)

    assert prepared.cost.total(apply_defaults(prepared.node, variables)) == cost


def build_schema(metadata: dict[str, Any]) -> Any:
    """Build a schema with a list field ``Query.tags`` and another type with the same field name."""

    @strawberry.type
    class Item:
        id: str

    @strawberry.type
    class Page:
        tags: list[Item] = strawberry.field(metadata=list_size(2))

    @strawberry.type
    class Query:
        page: Page
        names: list[str]
        tags: list[Item] = strawberry.field(metadata=metadata)

    return strawberry.Schema(query=Query)._schema


def test_a_list_field_without_a_size_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Query\.tags returns a list of objects and must declare"):
        require_list_sizes(build_schema({}))


def test_a_size_by_an_unknown_argument_is_refused() -> None:
    metadata = list_size(lambda _limits, _count: 1, "count")

    with pytest.raises(TypeError, match=r"Query\.tags has no argument count"):
        require_list_sizes(build_schema(metadata))


def test_fields_of_one_name_have_the_size_of_their_own_type() -> None:
    schema = build_schema(list_size(7))
    require_list_sizes(schema)

    prepared = Documents(schema, Limits()).get_operation(
        "{ tags { id } page { tags { id } } }", None
    )

    assert prepared.cost.total({}) == (1 + 7) + (1 + 1 + 2)
