"""The schema: assembled once from the two roots, and printed as SDL."""

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
    """The schema. It holds nothing of a request or of a configuration."""
    return strawberry.Schema(
        query=Query,
        mutation=Mutation,
        types=[BankAccount],
        config=StrawberryConfig(scalar_map=SCALARS),
    )


def core_schema() -> GraphQLSchema:
    """The graphql-core schema under Strawberry's, which is what executes."""
    return build_schema()._schema  # Strawberry has no public name for it.


def print_sdl() -> str:
    """The schema as SDL: types by name, fields as declared, so that two runs print the same."""
    return build_schema().as_str().rstrip() + "\n"
