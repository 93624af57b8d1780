"""The generated documents have the whole schema in them, and the harness has data for all of it."""

import dataclasses
import random
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

import orjson
import pytest
from graphql import (
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    NoUnusedFragmentsRule,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_schema,
    get_named_type,
    is_non_null_type,
    parse,
    validate,
    visit,
)

from balance_gateway.api.compiled.uncompiled_fields import UNCOMPILED_FIELDS
from balance_gateway.api.execution.engine import GraphQLRequest
from balance_gateway.api.schema.build import build_core_schema
from balance_gateway.api.schema.errors import RequestRefused
from tests.api.compiled.documents import DocumentWriter
from tests.api.compiled.gateway_harness import (
    ACCOUNTS,
    READER,
    START,
    GatewayHarness,
    find_plan,
    is_same_response,
    run_history,
)
from tests.api.compiled.schema_values import (
    is_served,
    write_complete_selection,
    write_required_arguments,
)

SCHEMA = build_core_schema()
ROOTS = SCHEMA.query_type.fields

#: Served by graphql-core alone, or read from the journal, with everything below them:
#: tests/api/schema and tests/app have their values.
LEAVES = frozenset({*UNCOMPILED_FIELDS, "BankAccount.unsettledWrite"})


def write_documents(
    count: int, schema: GraphQLSchema = SCHEMA, **kinds: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Write documents from the bytes of a seeded generator."""
    generator = random.Random(7)
    for _ in range(count):
        choices = generator.randbytes(generator.randint(5, 80))
        yield DocumentWriter(choices, schema, **kinds).write()


def walk_fields(schema: GraphQLSchema, leaves: Collection[str] = ()) -> Iterator[tuple[str, Any]]:
    """Yield every field of every type that a query reaches, as ``Type.field``.

    Args:
        schema: the schema.
        leaves: fields whose own fields are left out.
    """
    found, left = set(), [schema.query_type]
    while left:
        type_ = left.pop()
        if type_.name in found or not isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            continue
        found.add(type_.name)
        if isinstance(type_, GraphQLInterfaceType):
            left += schema.get_possible_types(type_)
        for name, field in type_.fields.items():
            yield f"{type_.name}.{name}", field
            if f"{type_.name}.{name}" not in leaves:
                left.append(get_named_type(field.type))


class Collector(Visitor):
    """Collects the fields, arguments, enum values, directives and fragments of documents."""

    def __init__(self, info: TypeInfo) -> None:
        super().__init__()
        self.info = info
        self.seen: set[str] = set()

    def enter_field(self, node: Any, *_: Any) -> None:
        parent = self.info.get_parent_type()
        self.seen.add(f"{parent.name}.{node.name.value}")
        for argument in node.arguments or ():
            self.seen.add(f"{parent.name}.{node.name.value}({argument.name.value})")
            self.seen.add(f"a {argument.value.kind}")

    def enter_enum_value(self, node: Any, *_: Any) -> None:
        self.seen.add(f"{get_named_type(self.info.get_input_type())}.{node.value}")

    def enter_directive(self, node: Any, *_: Any) -> None:
        self.seen.add(f"@{node.name.value}")

    def enter_inline_fragment(self, node: Any, *_: Any) -> None:
        self.seen.add("... {" if node.type_condition is None else "... on")

    def enter_fragment_spread(self, node: Any, *_: Any) -> None:
        self.seen.add("...F")


def test_every_part_of_the_schema_is_in_the_documents() -> None:
    info = TypeInfo(SCHEMA)
    collector = Collector(info)
    # The others are compared by the documents of test_whole_schema.py.
    fields = dict(walk_fields(SCHEMA, LEAVES))
    arguments = {(name, key): each for name, f in fields.items() for key, each in f.args.items()}
    enums = {get_named_type(each.type) for each in arguments.values()}
    expected = {
        *fields,
        *(f"{name}({argument})" for name, argument in arguments),
        *(f"{enum.name}.{value}" for enum in enums for value in getattr(enum, "values", ())),
        *("@include", "@skip", "... {", "... on", "...F", "a variable", "a null_value"),
        *(f"{name.split('.')[0]}.__typename" for name in fields),
    }

    for kinds in ({"unsupported": True}, {"directives": True}, {}):
        for query, _ in write_documents(
            900, **{"unsupported": False, "directives": False, **kinds}
        ):
            if expected <= collector.seen:
                break
            visit(parse(query), TypeInfoVisitor(info, collector))

    assert expected - collector.seen == set()


def test_most_documents_are_valid_and_compiled() -> None:
    harness, counts = GatewayHarness(), Counter[str]()

    for query, variables in write_documents(100, unsupported=False, directives=False):
        assert not validate(SCHEMA, parse(query), rules=[NoUnusedFragmentsRule])
        try:
            operation = harness.compiled.prepare(GraphQLRequest(query, variables))
        except RequestRefused:
            counts["refused"] += 1
        else:
            counts["left to graphql-core" if find_plan(operation) is None else "served"] += 1

    assert counts["served"] > 60
    assert 0 < counts["refused"] < 30


def test_a_field_that_is_added_to_the_schema_is_in_the_documents() -> None:
    schema = build_schema("type Query { node(id: ID!): New } type New { added(day: Date): Int }"
                          " scalar Date")  # fmt: skip

    texts = " ".join(query for query, _ in write_documents(20, schema, unsupported=True,
                                                           directives=False))  # fmt: skip

    assert "added(day: " in texts


def test_an_input_scalar_without_values_fails() -> None:
    schema = build_schema("type Query { node(at: Hour!): Int } scalar Hour")

    with pytest.raises(AssertionError, match="the scalar Hour needs values"):
        list(write_documents(20, schema, unsupported=True, directives=False))


def write_complete_document(root: str, *, unsupported: bool) -> str:
    """Write a document with every field below a root field; ``nodes`` asks for all accounts."""
    field = ROOTS[root]
    selection = write_complete_selection(
        SCHEMA, get_named_type(field.type), unsupported=unsupported
    )
    arguments = write_required_arguments(field)
    if root == "nodes":
        arguments = f"(ids: {orjson.dumps([each.id for each in ACCOUNTS[:7]]).decode()})"
    return f"{{ __typename {root}{arguments} {{ {selection} }} }}"


async def test_a_document_with_every_served_field_gives_the_response_of_graphql_core() -> None:
    served = [root for root in ROOTS if is_served(SCHEMA.query_type, root)]
    queries = [write_complete_document(root, unsupported=False) for root in served]
    fast, core = GatewayHarness(), GatewayHarness()

    actual = await run_history(fast, fast.compiled, queries)

    expected = await run_history(core, core.graphql_core, queries)
    assert all(find_plan(fast.compiled.prepare(GraphQLRequest(query))) for query in queries)
    assert all(map(is_same_response, actual, expected))


def collect_values(value: Any, seen: dict[str, set[bool]]) -> None:
    """Collect for each field in a response whether it was seen with a value, and without."""
    if isinstance(value, list):
        for each in value:
            collect_values(each, seen)
    elif isinstance(value, dict) and "__typename" in value:
        for name, child in value.items():
            seen.setdefault(f"{value['__typename']}.{name}", set()).add(child is not None)
            collect_values(child, seen)


async def test_the_harness_has_a_value_and_null_for_every_field() -> None:
    """Two fields once had no data in the property test, so that it could not compare them."""
    harness, seen = GatewayHarness(), {}
    kinds = [(root, unsupported) for root in ROOTS for unsupported in (True, False)]
    queries = [write_complete_document(root, unsupported=kind) for root, kind in kinds]
    queries.append("{ bankAccounts(filter: {ids: []}) { __typename pageInfo {"
                   " __typename startCursor endCursor } } }")  # fmt: skip
    queries.append("{ balanceTotals(groupBy: PROVIDER) { __typename group } }")
    queries.append('{ balanceTotalsSeries(from: "2026-02-01", to: "2026-01-01") { __typename } }')
    queries.append('{ node(id: "none") { id } bankAccount(id: "none") { id } }')
    queries.append('{ bankAccount(id: "a0") { __typename balanceSeries(from: "2026-02-01", to: '
                   '"2026-01-01") { __typename } } }')  # fmt: skip

    for response in await run_history(harness, harness.graphql_core, queries):
        data = orjson.loads(response)["data"] or {}
        collect_values({"__typename": "Query", **data}, seen)

    # The harness above has no environment, and its caller no token.
    caller = dataclasses.replace(READER, expires_at=START)
    other = GatewayHarness(environment="test")
    query = "{ viewer { __typename expiresAt } gateway { __typename environment } }"
    response = await other.send(other.graphql_core, query, principal=caller)
    collect_values({"__typename": "Query", **orjson.loads(response)["data"]}, seen)

    fields = {
        name: field
        for name, field in walk_fields(SCHEMA, LEAVES)
        if not isinstance(SCHEMA.type_map[name.split(".")[0]], GraphQLInterfaceType)
        and name not in LEAVES
    }
    nullable = {name for name, field in fields.items() if not is_non_null_type(field.type)}
    assert [name for name in fields if True not in seen.get(name, ())] == []
    # Nothing below an account fails the account, so only a defect makes it null.
    nullable -= {"BankAccountEdge.node", "BankAccountConnection.nodes"}
    assert [name for name in nullable if False not in seen[name]] == []
