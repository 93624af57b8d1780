"""Compiles where the value of an argument comes from: a constant, a variable or a literal slot.

Used while a plan is compiled. Input: the argument nodes of a field. Output: an ``ArgumentSource``
per argument, a function that later returns the argument's coerced value for the variables and
literals of one request.

A *literal slot* is the position of a string literal in a template. Dashboards that write ids into
the query text send a new document each time; all of them are one operation with literal slots.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    BooleanValueNode,
    EnumValueNode,
    FieldNode,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    StringValueNode,
    ValueNode,
    VariableNode,
    print_ast,
)

from balance_gateway.api.compiled.argument_coercion import (
    ABSENT,
    FILTER_FIELDS,
    Coercer,
    build_filter,
    get_coercer,
)
from balance_gateway.api.compiled.selections import FallBackToGraphQLCore

#: The coerced variables of a request by name; ABSENT for one that is left out.
Variables = Mapping[str, Any]
#: Maps a request's variables and slot values to an argument's coerced value, or ABSENT.
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
class VariableDefinition:
    """A variable that an operation declares.

    Attributes:
        type: its type as text.
        coerce: coerces its value.
        default: its default as JSON; ABSENT without one.
    """

    type: str
    coerce: Coercer
    default: Any


class VariableDefinitions:
    """The variables that an operation declares.

    Args:
        operation: the operation.
        slots: the literal slots of its document.

    Raises:
        FallBackToGraphQLCore: a variable has a directive, an unsupported type, or a default with a
            literal slot or of an unsupported kind.
    """

    def __init__(self, operation: OperationDefinitionNode, slots: LiteralSlots) -> None:
        self._definitions: dict[str, VariableDefinition] = {}
        for node in operation.variable_definitions or ():
            default: Any = ABSENT
            if node.default_value is not None:
                if _has_slot_or_variable(node.default_value, slots):
                    raise FallBackToGraphQLCore("variable")
                default = convert_literal(node.default_value)
            if node.directives:
                raise FallBackToGraphQLCore("directive")
            type_ = print_ast(node.type)
            definition = VariableDefinition(type_, get_coercer(type_), default)
            self._definitions[node.variable.name.value] = definition

    def __getitem__(self, name: str) -> VariableDefinition:
        if name not in self._definitions:
            raise FallBackToGraphQLCore("variable")
        return self._definitions[name]

    def coerce(self, given: Mapping[str, Any]) -> Variables:
        """Coerce the variables of a request, also those that no selected field uses.

        Raises:
            FallBackToGraphQLCore: a value is invalid or unusual.
        """
        return {
            name: each.coerce(given.get(name, each.default))
            for name, each in self._definitions.items()
        }


def convert_literal(node: ValueNode) -> Any:
    """Convert a literal without variables to a JSON value.

    Raises:
        FallBackToGraphQLCore: the literal is of a kind that no supported argument takes.
    """
    if isinstance(node, NullValueNode):
        return None
    if isinstance(node, StringValueNode | EnumValueNode | BooleanValueNode):
        return node.value
    if isinstance(node, IntValueNode):
        return int(node.value)
    if isinstance(node, ListValueNode):
        return [convert_literal(item) for item in node.values]
    if isinstance(node, ObjectValueNode):
        return {each.name.value: convert_literal(each.value) for each in node.fields}
    raise FallBackToGraphQLCore("argument")


def read_arguments(nodes: Sequence[FieldNode], slots: LiteralSlots) -> dict[str, ValueNode]:
    """Return the argument nodes of a field by argument name.

    Args:
        nodes: all field nodes that share a response key.
        slots: the literal slots of the document.

    Raises:
        FallBackToGraphQLCore: several nodes have literal slots.
    """
    arguments = {argument.name.value: argument.value for argument in nodes[0].arguments or ()}
    # Validation made sure that the nodes' arguments are equal in this document only; in another
    # document of the template they may differ, which is an error.
    if len(nodes) > 1 and any(_has_slot(value, slots) for value in arguments.values()):
        raise FallBackToGraphQLCore("argument")
    return arguments


def compile_source(
    node: ValueNode | None, type_: str, definitions: VariableDefinitions, slots: LiteralSlots
) -> ArgumentSource:
    """Compile the source of an argument's value.

    Args:
        node: the argument's value in the document; None when the argument is left out.
        type_: the argument's type, as text.
        definitions: the variables of the operation.
        slots: the literal slots of the document; slots that the argument reads are added to
            ``slots.used``.

    Raises:
        FallBackToGraphQLCore: the value is of an unsupported kind.
    """
    if node is None:
        return lambda _variables, _slot_values: ABSENT
    if isinstance(node, VariableNode):
        return _compile_variable(node.name.value, type_, definitions)
    coerce = get_coercer(type_)
    if isinstance(node, StringValueNode) and _get_start(node) in slots.by_start:
        number = slots.by_start[_get_start(node)]
        slots.used.add(number)
        return lambda _variables, slot_values: coerce(slot_values[number])
    if _has_slot_or_variable(node, slots):
        return _compile_parts(node, type_.rstrip("!"), definitions, slots)
    value = coerce(convert_literal(node))
    return lambda _variables, _slot_values: value


def _compile_parts(
    node: ValueNode, type_: str, definitions: VariableDefinitions, slots: LiteralSlots
) -> ArgumentSource:
    """Compile a list or a filter with literal slots or variables in it."""
    if isinstance(node, ListValueNode) and type_.startswith("["):
        items = [compile_source(each, type_[1:-1], definitions, slots) for each in node.values]
        return lambda variables, slot_values: [each(variables, slot_values) for each in items]
    if isinstance(node, ObjectValueNode) and type_ == "BankAccountFilter":
        fields = {
            each.name.value: compile_source(
                each.value, FILTER_FIELDS[each.name.value], definitions, slots
            )
            for each in node.fields
        }
        return lambda variables, slot_values: build_filter(
            {name: source(variables, slot_values) for name, source in fields.items()}
        )
    raise FallBackToGraphQLCore("argument")


def _compile_variable(name: str, type_: str, definitions: VariableDefinitions) -> ArgumentSource:
    """Compile a variable; it must have the position's type, or the same type but not null."""
    if definitions[name].type.rstrip("!") != type_.rstrip("!"):
        raise FallBackToGraphQLCore("variable")
    if not type_.endswith("!"):
        return lambda variables, _slot_values: variables[name]

    def get_required(variables: Variables, _slot_values: Sequence[str]) -> Any:
        value = variables[name]
        if value is None or value is ABSENT:
            raise FallBackToGraphQLCore("argument")
        return value

    return get_required


def _get_start(node: ValueNode) -> int:
    return -1 if node.loc is None else node.loc.start


def _has_slot(node: ValueNode, slots: LiteralSlots) -> bool:
    return (isinstance(node, StringValueNode) and _get_start(node) in slots.by_start) or any(
        _has_slot(each, slots) for each in _list_parts(node)
    )


def _has_slot_or_variable(node: ValueNode, slots: LiteralSlots) -> bool:
    return (
        isinstance(node, VariableNode)
        or _has_slot(node, slots)
        or any(_has_slot_or_variable(each, slots) for each in _list_parts(node))
    )


def _list_parts(node: ValueNode) -> Sequence[ValueNode]:
    if isinstance(node, ListValueNode):
        return node.values
    return [each.value for each in node.fields] if isinstance(node, ObjectValueNode) else ()
