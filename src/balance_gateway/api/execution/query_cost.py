"""Computes the cost of an operation: one for each field, times the sizes of the lists around it.

Each field of the schema declares its size (``api/schema/list_sizes.py``). It may depend on
arguments, which may be variables. So the cost of a document is built once as
an expression, and evaluated for each request. Fragments are shared parts of the expression:
building and evaluating it are linear in the size of the document.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    EnumValueNode,
    FieldNode,
    GraphQLField,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    StringValueNode,
    ValueNode,
    VariableNode,
)

from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.list_sizes import ListSize, get_list_size

Variables = Mapping[str, Any]
Size = Callable[[Variables], int]


@dataclass(slots=True, eq=False)
class Cost:
    """A cost expression: a constant, and further costs times sizes that depend on variables."""

    fixed: int = 0
    terms: "list[tuple[Size | None, Cost]]" = field(default_factory=list)

    def add_field(
        self,
        node: FieldNode,
        definition: GraphQLField | None,
        below: "Cost | None",
        limits: Limits,
    ) -> None:
        """Add a field and its selection.

        Args:
            node: the field.
            definition: the field in the schema; None if it is unknown, which validation reports.
            below: the cost of its selection; None without one.
            limits: the limits of the sizes of lists.
        """
        self.fixed += 1
        if below is None:
            return
        declared = None if definition is None else get_list_size(definition)
        if declared is not None:
            self.fixed += declared.compute_work(limits)
        size = _build_size(node, declared, limits)
        if isinstance(size, int) and not below.terms:
            self.fixed += size * below.fixed
        elif isinstance(size, int):
            self.terms.append((lambda _variables: size, below))
        else:
            self.terms.append((size, below))

    def add(self, fragment: "Cost") -> None:
        """Add the selection of a fragment."""
        if fragment.terms:
            self.terms.append((None, fragment))
        else:
            self.fixed += fragment.fixed

    def total(self, variables: Variables) -> int:
        """Compute the cost for the variables of a request."""
        return self._evaluate(variables, {})

    def _evaluate(self, variables: Variables, totals: dict[int, int]) -> int:
        # Each shared part is evaluated once: without this, time doubles with each level of
        # fragments that are spread twice.
        total = totals.get(id(self))
        if total is None:
            total = self.fixed
            for size, below in self.terms:
                times = 1 if size is None else size(variables)
                total += times * below._evaluate(variables, totals)
            totals[id(self)] = total
        return total


def apply_defaults(operation: OperationDefinitionNode, variables: Variables) -> dict[str, Any]:
    """Return the variables of a request, with the default literals of those left out."""
    defaults: dict[str, Any] = {
        definition.variable.name.value: definition.default_value
        for definition in operation.variable_definitions or ()
        if definition.default_value is not None
    }
    return {**defaults, **variables}


def _build_size(node: FieldNode, declared: ListSize | None, limits: Limits) -> int | Size:
    """Return the number of objects in a field, or a function that computes it from variables."""
    if declared is None:
        return 1
    given = {argument.name.value: argument.value for argument in node.arguments or ()}
    values = [given.get(name) for name in declared.arguments]

    def count(variables: Variables) -> int:
        return declared.count(limits, *(_resolve_value(value, variables) for value in values))

    if any(isinstance(value, VariableNode) for value in values):
        return count
    return count({})


def _resolve_value(node: object, variables: Variables) -> object:
    """Return the value of a literal or a variable as far as sizes need it.

    A list has the right length, but its items are None; an object is None.
    """
    if isinstance(node, VariableNode):
        value = variables.get(node.name.value)
        return _resolve_value(value, {}) if isinstance(value, ValueNode) else value
    if isinstance(node, IntValueNode):
        # Longer numbers are not valid Ints, which coercion reports.
        return int(node.value) if len(node.value) < 12 else 0
    if isinstance(node, StringValueNode | EnumValueNode):
        return node.value
    if isinstance(node, ListValueNode):
        return [None] * len(node.values)
    return None
