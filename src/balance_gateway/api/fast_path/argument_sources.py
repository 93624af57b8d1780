"""Compiles where the value of an argument comes from: a constant, a variable or a literal slot.

Used while a plan is compiled. Input: the argument nodes of a field. Output: an ``ArgumentSource``
per argument, a function that later returns the argument's raw JSON value for the variables and
literals of one request. ``argument_coercion`` then checks that value.

A *literal slot* is the position of a string literal in a template. Dashboards that write ids into
the query text send a new document each time; all of them are one operation with literal slots.
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

#: The value of an argument that is omitted and has no default.
ABSENT = object()

Variables = Mapping[str, Any]
#: Maps a request's variables and slot values to an argument's raw JSON value, or ABSENT.
ArgumentSource = Callable[[Variables, Sequence[str]], Any]


@dataclass(slots=True)
class LiteralSlots:
    """The literal slots of a document.

    Attributes:
        by_start: the slot number of each string literal, by its start offset.
        used: the numbers of the slots that an argument reads.
    """

    by_start: Mapping[int, int] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)

    @property
    def all_used(self) -> bool:
        """Whether an argument reads each slot, so that other literals need no other plan."""
        return len(self.used) == len(self.by_start)


@dataclass(frozen=True, slots=True)
class VariableDefinitions:
    """The variables that an operation declares: types as text, defaults as JSON; both by name."""

    types: Mapping[str, str]
    defaults: Mapping[str, Any]


def read_variable_definitions(
    operation: OperationDefinitionNode, slots: LiteralSlots
) -> VariableDefinitions:
    """Read the variable definitions of an operation.

    Args:
        operation: the operation.
        slots: the literal slots of its document.

    Raises:
        FallBackToGraphQLCore: a variable has a directive, a default that contains a literal slot,
            or a default of an unsupported kind.
    """
    types: dict[str, str] = {}
    defaults: dict[str, Any] = {}
    for definition in operation.variable_definitions or ():
        if definition.directives:
            raise FallBackToGraphQLCore
        name = definition.variable.name.value
        types[name] = print_ast(definition.type)
        if definition.default_value is not None:
            if _has_slot(definition.default_value, slots):
                raise FallBackToGraphQLCore
            defaults[name] = convert_literal(definition.default_value)
    return VariableDefinitions(types, defaults)


def convert_literal(node: ValueNode) -> Any:
    """Convert a literal to a JSON value.

    Raises:
        FallBackToGraphQLCore: the literal is of a kind that no supported argument takes.
    """
    if isinstance(node, NullValueNode):
        return None
    if isinstance(node, StringValueNode | EnumValueNode):
        return node.value
    if isinstance(node, IntValueNode):
        return int(node.value)
    if isinstance(node, ListValueNode):
        return [convert_literal(item) for item in node.values]
    raise FallBackToGraphQLCore


def read_arguments(
    nodes: Sequence[FieldNode], allowed: Sequence[str], slots: LiteralSlots
) -> dict[str, ValueNode]:
    """Return the argument nodes of a field by argument name.

    Args:
        nodes: all field nodes that share a response key.
        allowed: names of the supported arguments.
        slots: the literal slots of the document.

    Raises:
        FallBackToGraphQLCore: an argument is not supported, or several nodes have literal slots.
    """
    arguments = {argument.name.value: argument.value for argument in nodes[0].arguments or ()}
    if not arguments.keys() <= set(allowed):
        raise FallBackToGraphQLCore
    # Validation made sure that the nodes' arguments are equal in this document only; in another
    # document of the template they may differ, which is an error.
    if len(nodes) > 1 and any(_has_slot(value, slots) for value in arguments.values()):
        raise FallBackToGraphQLCore
    return arguments


def compile_source(
    node: ValueNode | None,
    types: Sequence[str],
    definitions: VariableDefinitions,
    slots: LiteralSlots,
) -> ArgumentSource:
    """Compile the source of an argument's value.

    Args:
        node: the argument's value in the document; None when the argument is omitted.
        types: the types, as text, that a variable may have in this position.
        definitions: the variables of the operation.
        slots: the literal slots of the document; slots that the argument reads are added to
            ``slots.used``.

    Raises:
        FallBackToGraphQLCore: the value is of an unsupported kind.
    """
    if node is None:
        return lambda _variables, _slot_values: ABSENT
    if isinstance(node, VariableNode):
        return _compile_variable(node.name.value, types, definitions)
    if isinstance(node, StringValueNode) and _get_start(node) in slots.by_start:
        number = slots.by_start[_get_start(node)]
        slots.used.add(number)
        return lambda _variables, slot_values: slot_values[number]
    if isinstance(node, ListValueNode) and _has_slot(node, slots):
        items = [compile_source(item, (), definitions, slots) for item in node.values]
        return lambda variables, slot_values: [item(variables, slot_values) for item in items]
    value = convert_literal(node)
    return lambda _variables, _slot_values: value


def _compile_variable(
    name: str, types: Sequence[str], definitions: VariableDefinitions
) -> ArgumentSource:
    """Compile a variable; the source of a non-null variable rejects null and absent values."""
    variable_type = definitions.types.get(name)
    if variable_type is None or variable_type not in types:
        raise FallBackToGraphQLCore
    default = definitions.defaults.get(name, ABSENT)
    if not variable_type.endswith("!"):
        return lambda variables, _slot_values: variables.get(name, default)

    def get_required(variables: Variables, _slot_values: Sequence[str]) -> Any:
        value = variables.get(name, default)
        if value is None or value is ABSENT:
            raise FallBackToGraphQLCore
        return value

    return get_required


def _get_start(node: ValueNode) -> int:
    return -1 if node.loc is None else node.loc.start


def _has_slot(node: ValueNode, slots: LiteralSlots) -> bool:
    if isinstance(node, ListValueNode):
        return any(_has_slot(item, slots) for item in node.values)
    return isinstance(node, StringValueNode) and _get_start(node) in slots.by_start
