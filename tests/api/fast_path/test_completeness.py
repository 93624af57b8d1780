"""Every field below an account is served by the fast path, or listed as unsupported."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from graphql import GraphQLField, GraphQLObjectType, get_named_type, is_composite_type

from balance_gateway.api.execution.engine import GraphQLRequest
from balance_gateway.api.fast_path.account_projection import (
    ACCOUNT_FIELDS,
    ARGUMENTS,
    NORMAL_BALANCE,
    READ_FIELDS,
)
from balance_gateway.api.fast_path.collect_fields import _TYPE_CONDITIONS
from balance_gateway.api.fast_path.field_writers import ObjectType
from balance_gateway.api.fast_path.operation_plan import ROOT_FIELDS, Plan
from balance_gateway.api.fast_path.unsupported_fields import UNSUPPORTED_FIELDS
from balance_gateway.api.schema.build import build_core_schema
from tests.api.fast_path.gateway_harness import GatewayHarness, is_same_response, run_history
from tests.api.fast_path.schema_values import write_required_arguments

SCHEMA = build_core_schema()
ROOTS = sorted(ROOT_FIELDS)


def list_served_fields() -> set[str]:
    """Return the fields in the tables of the fast path, as ``Type.field``."""
    names = {*ACCOUNT_FIELDS, NORMAL_BALANCE, *READ_FIELDS} - {"__typename"}
    served = {f"BankAccount.{name}" for name in names}
    for type_ in walk_object_types(READ_FIELDS.values()):
        served |= {f"{type_.name}.{name}" for name in (*type_.leaves, *type_.objects)}
    return served


def walk_object_types(types: Iterable[ObjectType]) -> Iterator[ObjectType]:
    for type_ in types:
        yield type_
        yield from walk_object_types(field.type for field in type_.objects.values())


def walk_schema(
    type_: GraphQLObjectType, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, GraphQLField, tuple[str, ...]]]:
    """Yield each field below a type with its path, but nothing below an unsupported field."""
    for name, field in type_.fields.items():
        full_name = f"{type_.name}.{name}"
        yield full_name, field, (*path, name)
        below = get_named_type(field.type)
        if full_name not in UNSUPPORTED_FIELDS and isinstance(below, GraphQLObjectType):
            yield from walk_schema(below, (*path, name))


FIELDS = list(walk_schema(SCHEMA.type_map["BankAccount"]))
FIELD_NAMES = {name for name, _, _ in FIELDS}


def test_every_field_below_an_account_is_served_or_listed() -> None:
    assert FIELD_NAMES - list_served_fields() - set(UNSUPPORTED_FIELDS) == set()


def test_every_listed_field_exists_and_is_not_served() -> None:
    assert set(UNSUPPORTED_FIELDS) <= FIELD_NAMES
    assert set(UNSUPPORTED_FIELDS) & list_served_fields() == set()
    assert all(reason.endswith(".") for reason in UNSUPPORTED_FIELDS.values())


def test_every_served_field_exists() -> None:
    assert list_served_fields() <= FIELD_NAMES


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name, field, _ in FIELDS if name in list_served_fields()]
)
def test_every_argument_of_a_served_field_is_known(name: str, field: GraphQLField) -> None:
    parent, _, field_name = name.partition(".")
    known = ARGUMENTS.get(field_name, {}) if parent == "BankAccount" else {}

    assert {argument: str(each.type) for argument, each in field.args.items()} == known


@pytest.mark.parametrize("name", ROOTS)
def test_every_argument_of_a_served_root_field_is_known(name: str) -> None:
    arguments = SCHEMA.query_type.fields[name].args

    assert [(argument, str(each.type)) for argument, each in arguments.items()] == [
        ROOT_FIELDS[name]
    ]


def test_type_conditions_of_an_account_are_its_interfaces() -> None:
    account = SCHEMA.type_map["BankAccount"]

    assert {
        "BankAccount": {"BankAccount", *(each.name for each in account.interfaces)}
    } == _TYPE_CONDITIONS
    for name in ROOTS:
        returned = get_named_type(SCHEMA.query_type.fields[name].type)
        # An id of another type than an account's is no account of the directory: it falls back.
        assert returned is account or account in SCHEMA.get_possible_types(returned)


def write_document(field: GraphQLField, path: tuple[str, ...]) -> str:
    """Write a document with one field below an account, and no other."""
    selection = path[-1] + write_required_arguments(field)
    if is_composite_type(get_named_type(field.type)):
        selection += " { __typename }"
    for parent in reversed(path[:-1]):
        selection = f"{parent} {{ {selection} }}"
    return f'{{ bankAccount(id: "a1") {{ {selection} }} }}'


@pytest.mark.parametrize(
    ("name", "field", "path"), [pytest.param(*each, id=".".join(each[2])) for each in FIELDS]
)
def test_a_document_with_the_field_has_a_plan_unless_it_is_listed(
    name: str, field: GraphQLField, path: tuple[str, ...]
) -> None:
    request = GraphQLRequest(write_document(field, path))

    plan: Plan | None = GatewayHarness().fast_path.prepare(request).plan

    assert (plan is None) == (name in UNSUPPORTED_FIELDS)


async def find_differences(queries: list[str]) -> list[Any]:
    """Send the queries to both engines; return those with different responses."""
    fast, core = GatewayHarness(), GatewayHarness()
    actual = await run_history(fast, fast.fast_path, queries)
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
    queries = [write_document(field, path) for _, field, path in FIELDS for _ in range(2)]

    assert await find_differences(queries) == []
