"""Declares beside a mutation's field the checks that are made before any mutation is executed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLField
from strawberry.schema.schema_converter import GraphQLCoreConverter

from balance_gateway.api.request.limits import Limits

_METADATA_KEY = "mutation_rules"


@dataclass(frozen=True, slots=True)
class MutationRules:
    """The rules of a mutation's arguments.

    Attributes:
        check: raises ``BadInput`` for wrong arguments; it gets the limits and the coerced
            arguments by name. None if GraphQL's own coercion is enough.
        independent_rows: the list arguments in which an unreadable value fails its row alone.
    """

    check: Callable[[Limits, Mapping[str, Any]], None] | None = None
    independent_rows: tuple[str, ...] = ()


_NO_RULES = MutationRules()


def mutation_rules(
    check: Callable[[Limits, Mapping[str, Any]], None] | None = None,
    independent_rows: tuple[str, ...] = (),
) -> dict[str, MutationRules]:
    """Return the ``metadata`` of a Strawberry field that declares its rules."""
    return {_METADATA_KEY: MutationRules(check, independent_rows)}


def get_mutation_rules(field: GraphQLField | None) -> MutationRules:
    """Return the declared rules of a field; no rules if it declares none."""
    definition = (
        None if field is None else field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    )
    rules: MutationRules | None = (
        None if definition is None else definition.metadata.get(_METADATA_KEY)
    )
    return rules or _NO_RULES
