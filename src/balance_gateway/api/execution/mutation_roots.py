"""Checks the scope and the arguments of all root fields of a mutation before the first is executed.

A root field that fails later would leave a request half done; a wrong document writes nothing.
"""

from typing import Any

from graphql import (
    GraphQLError,
    GraphQLField,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    ValueNode,
    VariableNode,
)
from graphql.execution.collect_fields import FieldDetails, collect_fields
from graphql.execution.executor import Executor
from graphql.execution.values import get_argument_values

from balance_gateway.api.request.context import RequestContext
from balance_gateway.api.schema.errors import RequestRefused, format_error
from balance_gateway.api.schema.mutation_rules import get_mutation_rules
from balance_gateway.api.schema.unreadable_inputs import (
    InputPath,
    Unreadable,
    find_unreadable,
    format_place,
)
from balance_gateway.domain.access import Scope
from balance_gateway.domain.errors import ErrorCode, GatewayError


def check_mutation_roots(
    executor: Executor[Any], operation: OperationDefinitionNode, context: RequestContext
) -> None:
    """Check every root field of a mutation.

    Args:
        executor: the executor that is about to run the operation.
        operation: the mutation.
        context: the context of the request.

    Raises:
        RequestRefused: root fields are wrong; there is an error for each, with its path.
    """
    root_type = executor.schema.mutation_type
    assert root_type is not None
    collected = collect_fields(
        executor.schema, executor.fragments, executor.variable_values, root_type, operation
    )
    errors: list[dict[str, Any]] = []
    for key, details in collected.grouped_field_set.items():
        definition = root_type.fields.get(details[0].node.name.value)
        if definition is None:  # __typename
            continue
        try:
            _check_root(definition, details[0], executor, context)
        except (GatewayError, GraphQLError) as error:
            errors.append(_format_root_error(error, key, details[0], context))
    if errors:
        is_forbidden = all(each["extensions"]["code"] == ErrorCode.FORBIDDEN for each in errors)
        raise RequestRefused(errors, status=403 if is_forbidden else 400)


def _check_root(
    definition: GraphQLField,
    details: FieldDetails,
    executor: Executor[Any],
    context: RequestContext,
) -> None:
    """Check one root field.

    Raises:
        Forbidden: the caller lacks the scope of mutations.
        BadInput: an argument is wrong.
        GraphQLError: an argument cannot be coerced.
    """
    context.principal.require(Scope.BALANCES_WRITE)
    rules = get_mutation_rules(definition)
    arguments = get_argument_values(
        definition, details.node, executor.variable_values, details.fragment_variable_values
    )
    nodes = {each.name.value: each.value for each in details.node.arguments or ()}
    for name in arguments.keys() - set(rules.independent_rows):
        for path, unreadable in find_unreadable(arguments[name]):
            raise _build_unreadable_error(unreadable, name, path, nodes[name])
    if rules.check is not None:
        rules.check(context.limits, arguments)


def _build_unreadable_error(
    unreadable: Unreadable, name: str, path: InputPath, node: ValueNode
) -> GraphQLError:
    """Build the error of a wrong value in an argument; it names the variable if it has one."""
    what, place = "Argument", format_place(name, path)
    for position in range(len(path) + 1):
        if isinstance(node, VariableNode):
            place = format_place(f"${node.name.value}", path[position:])
            what = "Variable"
            break
        node = _get_item(node, path[position])
    message = f"{what} '{place}' has an invalid value: {unreadable.message}"
    extensions = {"code": ErrorCode.BAD_USER_INPUT, "field": place.removeprefix("$")}
    return GraphQLError(message, node, extensions=extensions)


def _get_item(node: ValueNode, step: str | int) -> ValueNode:
    if isinstance(node, ObjectValueNode):
        return next(each.value for each in node.fields if each.name.value == step)
    # A single value counts as a list of one.
    return node.values[int(step)] if isinstance(node, ListValueNode) else node


def _format_root_error(
    error: GatewayError | GraphQLError, key: str, details: FieldDetails, context: RequestContext
) -> dict[str, Any]:
    if isinstance(error, GatewayError):
        located = GraphQLError(error.message, details.node, path=[key], original_error=error)
    else:
        nodes = error.nodes or details.node
        located = GraphQLError(error.message, nodes, path=[key], extensions=error.extensions)
    entry = format_error(located, context.request_id)
    entry["message"] = f"{key}: {entry['message']} Nothing was written."
    return entry
