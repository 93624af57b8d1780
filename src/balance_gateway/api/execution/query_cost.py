"""Computes the cost of an operation: one for each field, times the sizes of the lists around it.

List sizes come from arguments, which may be variables. So the cost of a document is built once as
an expression, and evaluated for each request. Fragments are shared parts of the expression:
building and evaluating it are linear in the size of the document.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    EnumValueNode,
    FieldNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    StringValueNode,
    ValueNode,
    VariableNode,
)

from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.history import HistoryStep, count_days
from balance_gateway.api.schema.scalars import parse_date

#: The assumed sizes of lists that no argument limits.
_TYPICAL_SIZES = {"balanceTotals": 5, "connectors": 5, "missing": 5, "tags": 5}

Variables = Mapping[str, Any]
Size = Callable[[Variables], int]


@dataclass(slots=True, eq=False)
class Cost:
    """A cost expression: a constant, and further costs times sizes that depend on variables."""

    fixed: int = 0
    terms: "list[tuple[Size | None, Cost]]" = field(default_factory=list)

    def add_field(self, node: FieldNode, below: "Cost | None", limits: Limits) -> None:
        """Add a field and its selection."""
        self.fixed += 1
        if below is None:
            return
        size = _build_size(node, limits)
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


def _build_size(node: FieldNode, limits: Limits) -> int | Size:
    """Return the number of objects in a field, or a function that computes it from variables."""
    name = node.name.value
    arguments = {argument.name.value: argument.value for argument in node.arguments or ()}
    if name == "bankAccounts":
        return _build_size_from(
            (arguments.get("first"),),
            lambda first: min(max(first if isinstance(first, int) else 100, 1), limits.page_size),
        )
    if name == "nodes" and "ids" in arguments:
        return _build_size_from((arguments["ids"],), lambda ids: min(_count_items(ids), limits.ids))
    if name == "upsertOpeningBalances":
        return _build_size_from(
            (arguments.get("inputs"),), lambda inputs: min(_count_items(inputs), limits.inputs)
        )
    if name == "balanceHistory":
        bounds = (arguments.get("from"), arguments.get("to"), arguments.get("step"))
        return _build_size_from(
            bounds, lambda *values: _count_points(*values, points_max=limits.history_points)
        )
    return _TYPICAL_SIZES.get(name, 1)


def _build_size_from(nodes: tuple[ValueNode | None, ...], size: Callable[..., int]) -> int | Size:
    if any(isinstance(node, VariableNode) for node in nodes):
        return lambda variables: size(*(_resolve_value(node, variables) for node in nodes))
    return size(*(_resolve_value(node, {}) for node in nodes))


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


def _count_items(items: object) -> int:
    return len(items) if isinstance(items, list) else 1


def _count_points(start: object, end: object, step: object, *, points_max: int) -> int:
    try:
        points = count_days(parse_date(start), parse_date(end), HistoryStep[str(step or "DAY")])
    except Exception:  # Coercion reports invalid values later.
        return 1
    return min(points, points_max)
