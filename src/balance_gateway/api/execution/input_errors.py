"""Reports wrong input values with their place and in the words of GraphQL.

graphql-core's own errors about values do not name the argument, and show values as Python does.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLInputType,
    GraphQLSchema,
    ValueNode,
    ValuesOfCorrectTypeRule,
    VariableDefinitionNode,
    is_non_null_type,
    specified_rules,
    type_from_ast,
)
from graphql.language import SKIP, VisitorAction
from graphql.pyutils import Undefined, inspect
from graphql.utilities import validate_input_literal, validate_input_value

from balance_gateway.api.schema.errors import to_graphql_words
from balance_gateway.api.schema.mutation_rules import get_mutation_rules
from balance_gateway.api.schema.unreadable_inputs import ScalarFault, format_place
from balance_gateway.domain.errors import ErrorCode

#: Characters of a wrong value that an error repeats.
_SHOWN_CHARACTERS_MAX = 200


class InputValuesRule(ValuesOfCorrectTypeRule):
    """Checks the literals of a document; replaces graphql-core's rule of the same purpose.

    A value that a custom scalar does not accept is no error in a row that fails alone.
    """

    def is_valid_value_node(
        self, node: ValueNode, input_type: GraphQLInputType | None
    ) -> VisitorAction:
        """Report the wrong values in a literal."""
        name = self._find_argument_name()

        def report(error: GraphQLError, path: list[str | int]) -> None:
            is_fault = isinstance(error, ScalarFault)
            rules = get_mutation_rules(self.context.get_field_def())
            if is_fault and name in rules.independent_rows:
                return
            code = ErrorCode.BAD_USER_INPUT if is_fault else ErrorCode.GRAPHQL_VALIDATION_FAILED
            message = error.message
            extensions: dict[str, Any] = {"code": code}
            if name is not None:
                place = format_place(name, path)
                message = f"Argument '{place}' has an invalid value: {message}"
                extensions["field"] = place
            nodes = error.nodes or node
            self.report_error(GraphQLError(message, nodes, extensions=extensions))

        if input_type:
            validate_input_literal(node, input_type, report)
        return SKIP

    def _find_argument_name(self) -> str | None:
        """Return the name of the argument that is visited; None in a variable's default."""
        argument = self.context.get_argument()
        owner = self.context.get_directive() or self.context.get_field_def()
        arguments = {} if owner is None else owner.args
        return next((name for name, each in arguments.items() if each is argument), None)


#: graphql-core's rules of validation, with the gateway's own for values.
VALIDATION_RULES = tuple(
    InputValuesRule if rule is ValuesOfCorrectTypeRule else rule for rule in specified_rules
)


class _EnoughErrors(Exception):
    """The limit of reported errors is reached."""


def build_variable_errors(
    schema: GraphQLSchema,
    definitions: Collection[VariableDefinitionNode],
    given: Mapping[str, Any],
    errors_max: int,
) -> list[GraphQLError]:
    """Build the errors of variables with wrong values; empty if graphql-core would accept them.

    Args:
        schema: the schema.
        definitions: the variables that the operation defines.
        given: the values of the request.
        errors_max: the number of errors that are reported.
    """
    errors: list[GraphQLError] = []
    try:
        for definition in definitions:
            name = definition.variable.name.value
            type_: Any = type_from_ast(schema, definition.type)
            value = given.get(name, Undefined)
            is_optional = definition.default_value is not None or not is_non_null_type(type_)
            if value is Undefined and is_optional:
                continue

            def report(
                error: GraphQLError,
                path: list[str | int],
                definition: VariableDefinitionNode = definition,
                value: Any = value,
            ) -> None:
                errors.append(_build_variable_error(error, path, definition, value))
                if len(errors) >= errors_max:
                    raise _EnoughErrors

            validate_input_value(value, type_, report)
    except _EnoughErrors:
        pass
    return errors


def _build_variable_error(
    error: GraphQLError, path: list[str | int], definition: VariableDefinitionNode, value: Any
) -> GraphQLError:
    name = definition.variable.name.value
    place = format_place(name, path)
    reason = error.message
    if value is not Undefined:
        wrong = _find_value(value, path)
        # graphql-core's message contains the value as Python writes it.
        reason = reason.replace(inspect(wrong), _format_value(wrong))
    message = f"Variable '${place}' has an invalid value: {to_graphql_words(reason)}"
    extensions = {"code": ErrorCode.BAD_USER_INPUT, "field": place}
    return GraphQLError(message, definition, extensions=extensions)


def _find_value(value: Any, path: Sequence[str | int]) -> Any:
    for step in path:
        value = value[step]
    return value


def _format_value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= _SHOWN_CHARACTERS_MAX:
        return text
    return f"{text[:_SHOWN_CHARACTERS_MAX]}…"
