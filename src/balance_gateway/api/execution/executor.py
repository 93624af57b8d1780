"""The executor of graphql-core, with a clear cause for values that cannot be written out."""

from typing import Any

from graphql import GraphQLError, GraphQLLeafType, Undefined
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext


class UnwritableValue(Exception):
    """A value of the gateway that its GraphQL type cannot represent: a defect."""


class GatewayExecutor(StrawberryGraphQLCoreExecutionContext):
    """Executes one operation."""

    @staticmethod
    def complete_leaf_value(return_type: GraphQLLeafType, result: Any) -> Any:
        """Return a scalar or an enum value as JSON.

        Raises:
            UnwritableValue: the type cannot represent the value.
        """
        try:
            written = return_type.coerce_output_value(result)
        except GraphQLError as error:
            # graphql-core's own scalars raise the same error for a caller's wrong input.
            raise UnwritableValue(f"{return_type} cannot represent a value") from error
        if written is Undefined or written is None:
            raise UnwritableValue(f"{return_type} cannot represent a value")
        return written
