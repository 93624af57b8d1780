"""Builds the GraphQL schema once from the query and mutation roots, and prints it as SDL."""

from functools import cache

import strawberry
from graphql import GraphQLSchema
from strawberry.schema.config import StrawberryConfig

from balance_gateway.api.schema.bank_account import BankAccount
from balance_gateway.api.schema.mutations import Mutation
from balance_gateway.api.schema.queries import Query
from balance_gateway.api.schema.scalars import SCALARS


@cache
def build_schema() -> strawberry.Schema:
    """Return the schema; it is the same object for every request and configuration."""
    return strawberry.Schema(
        query=Query,
        mutation=Mutation,
        types=[BankAccount],
        config=StrawberryConfig(scalar_map=SCALARS),
    )


def build_core_schema() -> GraphQLSchema:
    """Return the graphql-core schema below Strawberry's; graphql-core executes documents on it."""
    return build_schema()._schema  # Strawberry has no public name for it.


def print_sdl() -> str:
    """Return the schema as SDL: types sorted by name, fields in the order of declaration."""
    return build_schema().as_str().rstrip() + "\n"
