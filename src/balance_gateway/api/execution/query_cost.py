"""What answering an operation costs: one for every field, times the sizes of the lists around it.

The sizes come from arguments, which may be variables, so the cost of a document is worked out once
as a small expression and evaluated for each request. Fragments are shared parts of the expression:
neither building nor evaluating it takes longer than the document is long.
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
from balance_gateway.api.schema.history import HistoryStep, points_between
from balance_gateway.api.schema.scalars import parse_date

#: What a list is taken to hold whose size no argument tells.
_TYPICAL_SIZES = {"balanceTotals": 5, "connectors": 5, "missing": 5, "tags": 5}

Variables = Mapping[str, Any]
Size = Callable[[Variables], int]


@dataclass(slots=True, eq=False)
class Cost:
    """A sum: a number, and further sums times sizes that only a request's variables tell."""

    fixed: int = 0
    terms: "list[tuple[Size | None, Cost]]" = field(default_factory=list)

    def add_field(self, node: FieldNode, below: "Cost | None", limits: Limits) -> None:
        """Adds a field and what is selected below it."""
        self.fixed += 1
        if below is None:
            return
        size = _size_of(node, limits)
        if isinstance(size, int) and not below.terms:
            self.fixed += size * below.fixed
        elif isinstance(size, int):
            self.terms.append((lambda _variables: size, below))
        else:
            self.terms.append((size, below))

    def add(self, fragment: "Cost") -> None:
        """Adds what a fragment selects."""
        if fragment.terms:
            self.terms.append((None, fragment))
        else:
            self.fixed += fragment.fixed

    def total(self, variables: Variables) -> int:
        """The cost with these variables."""
        return self._total(variables, {})

    def _total(self, variables: Variables, known: dict[int, int]) -> int:
        total = known.get(id(self))
        if total is None:
            total = self.fixed
            for size, below in self.terms:
                times = 1 if size is None else size(variables)
                total += times * below._total(variables, known)
            known[id(self)] = total
        return total


def apply_defaults(operation: OperationDefinitionNode, variables: Variables) -> dict[str, Any]:
    """The request's variables, and the literals that stand for those left out."""
    known: dict[str, Any] = {
        definition.variable.name.value: definition.default_value
        for definition in operation.variable_definitions or ()
        if definition.default_value is not None
    }
    return {**known, **variables}


def _size_of(node: FieldNode, limits: Limits) -> int | Size:
    """How many objects a field answers: a number, or what tells it from the variables."""
    name = node.name.value
    arguments = {argument.name.value: argument.value for argument in node.arguments or ()}
    if name == "bankAccounts":
        return _when_known(
            (arguments.get("first"),),
            lambda first: min(max(first if isinstance(first, int) else 100, 1), limits.page_size),
        )
    if name == "nodes" and "ids" in arguments:
        return _when_known((arguments["ids"],), lambda ids: min(_length(ids), limits.ids))
    if name == "upsertOpeningBalances":
        return _when_known(
            (arguments.get("inputs"),), lambda inputs: min(_length(inputs), limits.inputs)
        )
    if name == "balanceHistory":
        bounds = (arguments.get("from"), arguments.get("to"), arguments.get("step"))
        return _when_known(bounds, lambda *given: _points(*given, points_max=limits.history_points))
    return _TYPICAL_SIZES.get(name, 1)


def _when_known(nodes: tuple[ValueNode | None, ...], size: Callable[..., int]) -> int | Size:
    if any(isinstance(node, VariableNode) for node in nodes):
        return lambda variables: size(*(_value(node, variables) for node in nodes))
    return size(*(_value(node, {}) for node in nodes))


def _value(node: object, variables: Variables) -> object:
    """A literal or a variable as far as sizes need it; lists as tuples of unknown items."""
    if isinstance(node, VariableNode):
        value = variables.get(node.name.value)
        return _value(value, {}) if isinstance(value, ValueNode) else value
    if isinstance(node, IntValueNode):
        return int(node.value) if len(node.value) < 12 else 0
    if isinstance(node, StringValueNode | EnumValueNode):
        return node.value
    if isinstance(node, ListValueNode):
        return [None] * len(node.values)
    return None


def _length(items: object) -> int:
    return len(items) if isinstance(items, list) else 1


def _points(start: object, end: object, step: object, *, points_max: int) -> int:
    try:
        points = points_between(parse_date(start), parse_date(end), HistoryStep[str(step or "DAY")])
    except Exception:  # Whatever is wrong with them is told when they are coerced.
        return 1
    return min(points, points_max)
