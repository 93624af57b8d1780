"""Every field of a query is compiled, or listed as uncompiled."""

from collections.abc import Iterator
from typing import Any

import pytest
from graphql import GraphQLField, GraphQLObjectType, get_named_type, is_composite_type

from balance_gateway.api.compiled import (
    account_fields,
    balance_fields,
    connector_fields,
    root_fields,
    series_fields,
    total_fields,
    total_series_fields,
)
from balance_gateway.api.compiled.argument_coercion import FILTER_FIELDS
from balance_gateway.api.compiled.compiler import ObjectType
from balance_gateway.api.compiled.selections import _INTERFACES
from balance_gateway.api.compiled.uncompiled_fields import UNCOMPILED_FIELDS
from balance_gateway.api.execution.engine import GraphQLRequest
from balance_gateway.api.schema.build import build_core_schema
from tests.api.compiled.gateway_harness import (
    GatewayHarness,
    find_plan,
    is_same_response,
    run_history,
)
from tests.api.compiled.schema_values import write_required_arguments

SCHEMA = build_core_schema()
#: The tables of compiled fields, by type.
TYPES = {
    each.name: each
    for module in (
        account_fields,
        balance_fields,
        connector_fields,
        root_fields,
        series_fields,
        total_fields,
        total_series_fields,
    )
    for each in vars(module).values()
    if isinstance(each, ObjectType)
}
COMPILED = {f"{type_.name}.{name}" for type_ in TYPES.values() for name in type_.fields}


def walk_schema(
    type_: GraphQLObjectType, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, GraphQLField, tuple[str, ...]]]:
    """Yield each field below a type with its path, but nothing below an uncompiled field."""
    for name, field in type_.fields.items():
        full_name = f"{type_.name}.{name}"
        yield full_name, field, (*path, name)
        below = get_named_type(field.type)
        if full_name in UNCOMPILED_FIELDS or not is_composite_type(below):
            continue
        # Everything below an account is reached from bankAccount.
        if below.name == "BankAccount" and name != "bankAccount":
            continue
        if path and below.name == "BankAccount":
            continue
        if isinstance(below, GraphQLObjectType):
            yield from walk_schema(below, (*path, name))


FIELDS = list(walk_schema(SCHEMA.query_type))
FIELD_NAMES = {name for name, _, _ in FIELDS}


def test_every_field_of_a_query_is_compiled_or_listed() -> None:
    assert FIELD_NAMES - COMPILED - set(UNCOMPILED_FIELDS) == set()


def test_every_listed_field_exists_and_is_not_compiled() -> None:
    assert set(UNCOMPILED_FIELDS) <= FIELD_NAMES
    assert set(UNCOMPILED_FIELDS) & COMPILED == set()
    assert all(reason.endswith(".") for reason in UNCOMPILED_FIELDS.values())


def test_every_compiled_field_exists() -> None:
    assert COMPILED <= FIELD_NAMES


@pytest.mark.parametrize(
    ("name", "field"),
    sorted({name: field for name, field, _ in FIELDS if name in COMPILED}.items()),
)
def test_every_argument_of_a_compiled_field_is_known(name: str, field: GraphQLField) -> None:
    parent, _, field_name = name.partition(".")
    known = TYPES[parent].arguments.get(field_name, {})

    assert {argument: str(each.type) for argument, each in field.args.items()} == known


def test_every_field_of_a_filter_is_known() -> None:
    fields = SCHEMA.type_map["BankAccountFilter"].fields

    assert {name: str(each.type) for name, each in fields.items()} == FILTER_FIELDS


def test_the_interfaces_of_compiled_types_are_known() -> None:
    interfaces = {
        name: [each.name for each in SCHEMA.type_map[name].interfaces] for name in sorted(TYPES)
    }

    assert {name: each[0] for name, each in interfaces.items() if each} == _INTERFACES
    assert max(map(len, interfaces.values())) == 1


def write_document(field: GraphQLField, path: tuple[str, ...]) -> str:
    """Write a document with one field, and no other."""
    selection = path[-1] + write_required_arguments(field)
    if is_composite_type(get_named_type(field.type)):
        selection += " { __typename }"
    days = '(from: "2026-05-01", to: "2026-05-02")'
    arguments = {
        "bankAccount": '(id: "a1")',
        "balanceSeries": days,
        "balanceHistory": days,
        "balanceTotalsSeries": days,
    }
    for parent in reversed(path[:-1]):
        required = (
            "" if parent == "bankAccount" and parent != path[0] else arguments.get(parent, "")
        )
        selection = f"{parent}{required} {{ {selection} }}"
    return f"{{ {selection} }}"


@pytest.mark.parametrize(
    ("name", "field", "path"), [pytest.param(*each, id=".".join(each[2])) for each in FIELDS]
)
def test_a_document_with_the_field_has_a_plan_unless_it_is_listed(
    name: str, field: GraphQLField, path: tuple[str, ...]
) -> None:
    request = GraphQLRequest(write_document(field, path))

    plan = find_plan(GatewayHarness().compiled.prepare(request))

    assert (plan is None) == (name in UNCOMPILED_FIELDS)


async def find_differences(queries: list[str]) -> list[Any]:
    """Send the queries to both engines; return those with different responses."""
    fast, core = GatewayHarness(), GatewayHarness()
    actual = await run_history(fast, fast.compiled, queries)
    expected = await run_history(core, core.graphql_core, queries)
    return [
        each
        for each in zip(queries * 4, actual, expected, strict=True)
        if not is_same_response(each[1], each[2])
    ]


async def test_each_field_alone_gives_the_response_of_graphql_core() -> None:
    """Cached JSON with a state or an age must not be served after these have changed."""
    for _, field, path in FIELDS:
        assert await find_differences([write_document(field, path)] * 2) == []


async def test_documents_with_another_last_field_give_the_response_of_graphql_core() -> None:
    """Cached JSON of one selection must not be served for another.

    Generated documents rarely differ in nothing but the last field, and these documents do.
    """
    queries = [write_document(field, path) for _, field, path in FIELDS for _ in range(3)]

    assert await find_differences(queries) == []
