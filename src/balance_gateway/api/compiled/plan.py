"""Compiles an operation into a plan; the engine calls it when it prepares a request.

Input: a parsed, valid document and the operation in it. Output: a ``Plan``, unless graphql-core has
to execute the operation. A plan depends on no variables but those in ``@skip`` and ``@include``,
and is reused by later requests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    OperationDefinitionNode,
    OperationType,
)

from balance_gateway.api.compiled.argument_sources import LiteralSlots, VariableDefinitions
from balance_gateway.api.compiled.compiler import Compiler, EvaluateArguments, Write
from balance_gateway.api.compiled.field_errors import KeyPath
from balance_gateway.api.compiled.root_fields import QUERY
from balance_gateway.api.compiled.selections import (
    FallBackToGraphQLCore,
    Selections,
    find_condition_variables,
)
from balance_gateway.api.request.limits import Limits

#: Limits of the fields that compilation may collect. A field takes at least three characters of the
#: document, and is collected once for each object type that it may be selected on.
COLLECTED_FIELDS_PER_CHARACTER = 4
COLLECTED_FIELDS_MAX = 20_000

#: Limit of variables in ``@skip`` and ``@include``: there is a plan for each of their combinations.
CONDITIONS_MAX = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled operation.

    Attributes:
        write: writes its data, from None.
        variables: the variables that it declares.
        arguments: evaluates the arguments of its fields.
        error_nodes: the field nodes of the fields that can fail, by path.
        slots: the start and the length of each string literal, when it comes from a template.
    """

    write: Write
    variables: VariableDefinitions
    arguments: Sequence[EvaluateArguments]
    error_nodes: Mapping[KeyPath, Sequence[FieldNode]]
    slots: Sequence[tuple[int, int]]

    def evaluate_arguments(
        self, given: Mapping[str, Any], slot_values: Sequence[str], limits: Limits
    ) -> list[Any]:
        """Evaluate the arguments of all fields for one request.

        Raises:
            FallBackToGraphQLCore: a variable or an argument is invalid or unusual.
        """
        variables = self.variables.coerce(given)
        return [evaluate(variables, slot_values, limits) for evaluate in self.arguments]

    def shift_offset(self, offset: int, slot_values: Sequence[str]) -> int:
        """Return an offset in the compiled document as the offset in the document that was sent."""
        if not slot_values:
            return offset
        pairs = zip(self.slots, slot_values, strict=True)
        return offset + sum(
            len(value) - length for (start, length), value in pairs if start < offset
        )


class Plans:
    """The plans of one operation: one for each combination of its conditions.

    Args:
        document: the document that contains the operation.
        operation: the operation.
        literals: the number and the length of each literal slot by its start offset; empty to
            compile this document alone. With literals, a plan serves all documents that differ in
            these only: graphql-core would find each of them valid, and would execute this
            operation in each of them.
    """

    def __init__(
        self,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        literals: Mapping[int, tuple[int, int]],
    ) -> None:
        self._document = document
        self._operation = operation
        self._literals = literals
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._conditions = find_condition_variables(operation, self._fragments)
        self._plans: dict[tuple[bool, ...], Plan | str] = {}

    def get(self, variables: Mapping[str, Any]) -> Plan:
        """Return the plan for the variables of a request.

        Raises:
            FallBackToGraphQLCore: graphql-core has to execute the operation.
        """
        conditions = self._read_conditions(variables) if self._conditions else {}
        key = tuple(conditions.values())
        plan = self._plans.get(key)
        if plan is None:
            try:
                plan = self._compile(conditions)
            except FallBackToGraphQLCore as fallback:
                plan = fallback.reason
            self._plans[key] = plan
        if isinstance(plan, str):
            raise FallBackToGraphQLCore(plan)
        return plan

    @cached_property
    def _definitions(self) -> VariableDefinitions:
        return VariableDefinitions(self._operation, LiteralSlots())

    def _read_conditions(self, variables: Mapping[str, Any]) -> dict[str, bool]:
        if len(self._conditions) > CONDITIONS_MAX:
            raise FallBackToGraphQLCore("directive")
        conditions = {}
        for name in self._conditions:
            value = variables.get(name, self._definitions[name].default)
            if type(value) is not bool:
                raise FallBackToGraphQLCore("variable")
            conditions[name] = value
        return conditions

    def _compile(self, conditions: Mapping[str, bool]) -> Plan:
        operation = self._operation
        if operation.operation is not OperationType.QUERY:
            raise FallBackToGraphQLCore("mutation")
        if operation.directives:
            raise FallBackToGraphQLCore("directive")
        if self._literals and not _has_single_operation(self._document):
            raise FallBackToGraphQLCore("operations")
        slots = LiteralSlots({start: number for start, (number, _) in self._literals.items()})
        selections = Selections(
            self._fragments, conditions, _get_collected_fields_max(self._document)
        )
        variables = VariableDefinitions(operation, slots)
        compiler = Compiler(selections, variables, slots)
        write = compiler.compile_object(QUERY, [_as_field(operation)], ())
        if not slots.all_used:
            # A literal that no argument reads could change the result without changing the plan.
            raise FallBackToGraphQLCore("literal")
        lengths = [(start, length) for start, (_, length) in self._literals.items()]
        return Plan(write, variables, compiler.arguments, compiler.error_nodes, lengths)


def _as_field(operation: OperationDefinitionNode) -> Any:
    """Return the operation for use as a field node: both have a selection set."""
    return operation


def _get_collected_fields_max(document: DocumentNode) -> int:
    assert document.loc is not None
    characters = len(document.loc.source.body)
    return min(COLLECTED_FIELDS_MAX, COLLECTED_FIELDS_PER_CHARACTER * characters)


def _has_single_operation(document: DocumentNode) -> bool:
    """Whether the document has one operation, so that every request with it executes that one."""
    kinds = [isinstance(each, OperationDefinitionNode) for each in document.definitions]
    return kinds.count(True) == 1
