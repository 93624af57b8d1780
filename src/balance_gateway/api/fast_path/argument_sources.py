"""Where an argument's value comes from: a constant, a variable, or a literal that changes.

A *slot* is a string literal of a document whose text is like another's but for its string
literals: dashboards that write ids into the query's text send a new document each time, and all
of them are one operation with slots.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    EnumValueNode,
    FieldNode,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    OperationDefinitionNode,
    StringValueNode,
    ValueNode,
    VariableNode,
    print_ast,
)

from balance_gateway.api.fast_path.collect_fields import FallBackToGraphQLCore

#: What an argument is when it is neither given nor has a default.
ABSENT = object()

Given = Mapping[str, Any]
#: From a request's variables and slots to an argument's raw JSON value, or ABSENT.
Source = Callable[[Given, Sequence[str]], Any]


@dataclass(slots=True)
class LiteralSlots:
    """The slots of a document.

    Attributes:
        by_start: the number of the slot of each string literal, by where it starts.
        used: the numbers of those that an argument takes its value from.
    """

    by_start: Mapping[int, int] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)

    @property
    def all_used(self) -> bool:
        """Whether a document with other literals would be answered with them, each in its place."""
        return len(self.used) == len(self.by_start)


@dataclass(frozen=True, slots=True)
class VariableDefinitions:
    """The variables that an operation declares: their types as text, their defaults as JSON."""

    types: Mapping[str, str]
    defaults: Mapping[str, Any]


def read_variable_definitions(
    operation: OperationDefinitionNode, slots: LiteralSlots
) -> VariableDefinitions:
    """The variables of an operation.

    Raises:
        NotCompiled: one has a default that is no plain value, or a directive.
    """
    types: dict[str, str] = {}
    defaults: dict[str, Any] = {}
    for definition in operation.variable_definitions or ():
        if definition.directives:
            raise FallBackToGraphQLCore
        name = definition.variable.name.value
        types[name] = print_ast(definition.type)
        if definition.default_value is not None:
            if _slots_in(definition.default_value, slots):
                raise FallBackToGraphQLCore
            defaults[name] = literal(definition.default_value)
    return VariableDefinitions(types, defaults)


def literal(node: ValueNode) -> Any:
    """A literal as a JSON value.

    Raises:
        NotCompiled: it is of a kind that no argument here takes.
    """
    if isinstance(node, NullValueNode):
        return None
    if isinstance(node, StringValueNode | EnumValueNode):
        return node.value
    if isinstance(node, IntValueNode):
        return int(node.value)
    if isinstance(node, ListValueNode):
        return [literal(item) for item in node.values]
    raise FallBackToGraphQLCore


def read_arguments(
    nodes: Sequence[FieldNode], allowed: Sequence[str], slots: LiteralSlots
) -> dict[str, ValueNode]:
    """The argument nodes of a field by name; ``nodes`` are all that share its response key.

    Raises:
        NotCompiled: one is not among those that are allowed, or the nodes have slots: their
            arguments are equal in this document, and need not be in another.
    """
    found = {argument.name.value: argument.value for argument in nodes[0].arguments or ()}
    if not found.keys() <= set(allowed):
        raise FallBackToGraphQLCore
    if len(nodes) > 1 and any(_slots_in(value, slots) for value in found.values()):
        raise FallBackToGraphQLCore
    return found


def find_source(
    node: ValueNode | None, types: Sequence[str], known: VariableDefinitions, slots: LiteralSlots
) -> Source:
    """Where the value of an argument comes from.

    Args:
        node: what was written; None when nothing was.
        types: the types, as text, that a variable may have to be used here.
        known: the operation's variables.
        slots: of the document; told which are used.

    Raises:
        NotCompiled: the value is not a plain one.
    """
    if node is None:
        return lambda _given, _slots: ABSENT
    if isinstance(node, VariableNode):
        return _variable(node.name.value, types, known)
    if isinstance(node, StringValueNode) and _start(node) in slots.by_start:
        number = slots.by_start[_start(node)]
        slots.used.add(number)
        return lambda _given, values: values[number]
    if isinstance(node, ListValueNode) and _slots_in(node, slots):
        items = [find_source(item, (), known, slots) for item in node.values]
        return lambda given, values: [item(given, values) for item in items]
    value = literal(node)
    return lambda _given, _slots: value


def _variable(name: str, types: Sequence[str], known: VariableDefinitions) -> Source:
    """The value of a variable; one that must not be null raises NotCompiled when it is."""
    kind = known.types.get(name)
    if kind is None or kind not in types:
        raise FallBackToGraphQLCore
    default = known.defaults.get(name, ABSENT)
    if not kind.endswith("!"):
        return lambda given, _slots: given.get(name, default)

    def required(given: Given, _slots: Sequence[str]) -> Any:
        value = given.get(name, default)
        if value is None or value is ABSENT:
            raise FallBackToGraphQLCore
        return value

    return required


def _start(node: ValueNode) -> int:
    return -1 if node.loc is None else node.loc.start


def _slots_in(node: ValueNode, slots: LiteralSlots) -> bool:
    if isinstance(node, ListValueNode):
        return any(_slots_in(item, slots) for item in node.values)
    return isinstance(node, StringValueNode) and _start(node) in slots.by_start
