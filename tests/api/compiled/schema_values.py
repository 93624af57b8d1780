"""Input values and complete selections for documents that are generated from the schema."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_composite_type,
    is_required_argument,
)

from balance_gateway.api.compiled.uncompiled_fields import UNCOMPILED_FIELDS

IDS = ("a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "unknown")
DAYS = ("2026-05-07", "2026-05-08", "2026-05-01")


@dataclass(frozen=True)
class Values:
    """Values of a scalar as JSON: those that it accepts, and wrong or unusual ones."""

    valid: tuple[Any, ...]
    wrong: tuple[Any, ...]


#: Mostly accounts of the caller, so that most documents read something.
SCALARS: Mapping[str, Values] = {
    "ID": Values((*IDS[:6] * 4, *IDS[6:]), (5, 2.5, "x" * 70)),
    "Date": Values(DAYS, ("2026-02-30", "0001-01-01", "today", 5)),
    "DateTime": Values(
        ("2026-05-07T10:00:00Z", "2026-01-01T00:00:00+02:00"), ("2026-05-07", "soon", 5)
    ),
    "Int": Values((0, 5, 20, 1000), (-1, 2.0, 2**31, "7")),
    "String": Values(("Account", "", 'ü "1"', "YTE6YTE"), (5,)),
    "Boolean": Values((True, False), ("yes", 1)),
    "CurrencyCode": Values(("EUR", "JPY"), ("EURO", 7)),
}


def get_scalar_values(name: str) -> Values:
    """Return the values of a scalar."""
    assert name in SCALARS, f"the scalar {name} needs values in SCALARS"
    return SCALARS[name]


def is_served(type_: GraphQLNamedType, name: str) -> bool:
    """Whether a field is compiled, given that everything around it is."""
    return f"{type_.name}.{name}" not in UNCOMPILED_FIELDS


def format_literal(value: Any, type_: Any) -> str:
    """Format a JSON value as a literal of the type; a wrong value as the literal it looks like."""
    type_ = get_nullable_type(type_)
    if isinstance(value, list):
        inner = type_.of_type if isinstance(type_, GraphQLList) else type_
        return f"[{', '.join(format_literal(each, inner) for each in value)}]"
    if isinstance(value, dict):
        fields = getattr(type_, "fields", {})
        members = (
            f"{name}: {format_literal(each, fields[name].type if name in fields else None)}"
            for name, each in value.items()
        )
        return f"{{{', '.join(members)}}}"
    is_enum = isinstance(get_named_type(type_), GraphQLEnumType)
    return value if is_enum and isinstance(value, str) else json.dumps(value)


def get_first_value(type_: Any) -> Any:
    """Return one valid value of an input type, always the same."""
    type_ = get_nullable_type(type_)
    if isinstance(type_, GraphQLList):
        return [get_first_value(type_.of_type)]
    if isinstance(type_, GraphQLEnumType):
        return next(iter(type_.values))
    if isinstance(type_, GraphQLInputObjectType):
        required = {
            name: each
            for name, each in type_.fields.items()
            if isinstance(each.type, GraphQLNonNull)
        }
        return {name: get_first_value(each.type) for name, each in required.items()}
    return get_scalar_values(type_.name).valid[0]


def write_required_arguments(field: GraphQLField) -> str:
    """Write the arguments without which the field is invalid."""
    parts = [
        f"{name}: {format_literal(get_first_value(argument.type), argument.type)}"
        for name, argument in field.args.items()
        if is_required_argument(argument)
    ]
    return f"({', '.join(parts)})" if parts else ""


def write_complete_selection(
    schema: GraphQLSchema, type_: GraphQLNamedType, *, unsupported: bool
) -> str:
    """Write a selection of every field below a type.

    Args:
        schema: the schema.
        type_: the type.
        unsupported: whether to select the fields that are not compiled as well.
    """
    if is_abstract_type(type_):
        parts = [
            f"... on {each.name} "
            f"{{ {write_complete_selection(schema, each, unsupported=unsupported)} }}"
            for each in schema.get_possible_types(type_)
        ]
        return " ".join(["__typename", *parts])
    parts = ["__typename"]
    for name, field in type_.fields.items():
        if not unsupported and not is_served(type_, name):
            continue
        below = get_named_type(field.type)
        inner = ""
        if is_composite_type(below):
            selection = write_complete_selection(schema, below, unsupported=unsupported)
            inner = f" {{ {selection} }}"
        parts.append(f"{name}{write_required_arguments(field)}{inner}")
    return " ".join(parts)
