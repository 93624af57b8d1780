"""Builds the GraphQL schema once from the query and mutation roots, and prints it as SDL."""

from functools import cache

import strawberry
from graphql import GraphQLSchema
from strawberry.schema.config import StrawberryConfig

from balance_gateway.api.schema.bank_account import BankAccount
from balance_gateway.api.schema.list_sizes import require_list_sizes
from balance_gateway.api.schema.mutations import Mutation
from balance_gateway.api.schema.queries import Query
from balance_gateway.api.schema.scalars import SCALARS


@cache
def build_schema() -> strawberry.Schema:
    """Return the schema; it is the same object for every request and configuration.

    Raises:
        TypeError: a field with a list of objects does not declare its size.
    """
    schema = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        types=[BankAccount],
        config=StrawberryConfig(scalar_map=SCALARS),
    )
    require_list_sizes(_get_core_schema(schema))
    return schema


def build_core_schema() -> GraphQLSchema:
    """Return the graphql-core schema below Strawberry's; graphql-core executes documents on it."""
    return _get_core_schema(build_schema())


def _get_core_schema(schema: strawberry.Schema) -> GraphQLSchema:
    return schema._schema  # Strawberry has no public name for it.


def print_sdl() -> str:
    """Return the schema as SDL: types sorted by name, fields in the order of declaration."""
    return build_schema().as_str().rstrip() + "\n"
