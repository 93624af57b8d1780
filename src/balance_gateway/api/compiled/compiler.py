"""Compiles selections into writers, with the tables of fields that other modules define.

A *writer* is a function that writes the JSON of one value to an ``Output``. The tables
(``balance_fields``, ``account_fields``, ``connector_fields``, ``total_fields``, ``root_fields``)
have a *field compiler* for each supported field: it compiles the selection below the field, and
returns the writer of the field.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from graphql import FieldNode

from balance_gateway.api.compiled.argument_sources import (
    LiteralSlots,
    VariableDefinitions,
    Variables,
    compile_source,
    read_arguments,
)
from balance_gateway.api.compiled.field_errors import KeyPath
from balance_gateway.api.compiled.output import Output
from balance_gateway.api.compiled.selections import FallBackToGraphQLCore, Selections
from balance_gateway.api.request.limits import Limits

#: Writes a value of the field's parent type.
Write = Callable[[Any, Output], None]

#: Evaluates the arguments of a field for one request. A ``GatewayError`` that it returns is the
#: error of the field wherever it is selected.
EvaluateArguments = Callable[[Variables, Sequence[str], Limits], Any]


@dataclass(frozen=True, slots=True)
class SelectedField:
    """A field of a selection.

    Attributes:
        name: of the field.
        nodes: all field nodes that share its response key.
        path: its path below the root of the output.
    """

    name: str
    nodes: Sequence[FieldNode]
    path: KeyPath

    @property
    def item_path(self) -> KeyPath:
        """The path of the items of a list."""
        return (*self.path, None)


FieldCompiler = Callable[["Compiler", SelectedField], Write]


@dataclass(frozen=True, slots=True)
class ObjectType:
    """The supported fields of a GraphQL object type.

    Attributes:
        name: of the type.
        fields: the compiler of each field, by name.
        arguments: the types of the arguments of the fields that have any, by field and argument.
    """

    name: str
    fields: Mapping[str, FieldCompiler]
    arguments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class Compiler:
    """Compiles the selections of one operation.

    Args:
        selections: the selections of the operation.
        variables: the variables that it declares.
        slots: the literal slots of its document.

    Attributes:
        arguments: evaluates the arguments of each field that has any; writers know the position.
        error_nodes: the field nodes of each field that can fail, by path, for error locations.
        uses_status: whether the state of a connector is selected.
    """

    def __init__(
        self, selections: Selections, variables: VariableDefinitions, slots: LiteralSlots
    ) -> None:
        self._selections = selections
        self._variables = variables
        self._slots = slots
        self._site: KeyPath = ()
        self._tokens: list[str] = []
        self.arguments: list[EvaluateArguments] = []
        self.error_nodes: dict[KeyPath, Sequence[FieldNode]] = {}
        self.uses_status = False

    def for_part(self, path: KeyPath) -> "Compiler":
        """Return a compiler for a part that is an output of its own.

        Args:
            path: the path of the part below the root of this compiler's output.
        """
        part = Compiler(self._selections, self._variables, self._slots)
        part.arguments, part.error_nodes = self.arguments, self.error_nodes
        part._site = self._site + path
        return part

    def compile_object(self, type_: ObjectType, nodes: Sequence[FieldNode], path: KeyPath) -> Write:
        """Compile the selection on an object.

        Args:
            type_: the type of the object.
            nodes: the field nodes with its selections.
            path: the path of the object.

        Raises:
            FallBackToGraphQLCore: a field or an argument is not supported.
        """
        selected = self._selections.collect((node.selection_set for node in nodes), type_.name)
        if not selected:
            return _write_empty_object
        members: list[tuple[bytes, Write]] = []
        self._tokens.append(f"{type_.name}{{")
        for key, field_nodes in selected.items():
            name = field_nodes[0].name.value
            self._tokens.append(f"{key}:{name}")
            prefix = (b"," if members else b"{") + orjson.dumps(key) + b":"
            selected_field = SelectedField(name, field_nodes, (*path, key))
            members.append((prefix, self._compile_field(type_, selected_field)))
        self._tokens.append("}")
        return _build_object_writer(members)

    def _compile_field(self, type_: ObjectType, field: SelectedField) -> Write:
        if field.name == "__typename":
            return _build_constant_writer(orjson.dumps(type_.name))
        if field.name not in type_.fields:
            raise FallBackToGraphQLCore("field")
        if field.nodes[0].arguments and field.name not in type_.arguments:
            raise FallBackToGraphQLCore("argument")
        return type_.fields[field.name](self, field)

    def compile_arguments(
        self, field: SelectedField, types: Mapping[str, str], build: Callable[..., Any]
    ) -> int:
        """Compile the arguments of a field.

        Args:
            field: the field.
            types: the types of its arguments, as text by name.
            build: builds the value for the writers from the limits and the coerced arguments, in
                the order of ``types``.

        Returns:
            The position of the value in ``RequestState.arguments``.
        """
        given = read_arguments(field.nodes, self._slots)
        sources = [
            compile_source(given.get(name), type_, self._variables, self._slots)
            for name, type_ in types.items()
        ]

        def evaluate(variables: Variables, slot_values: Sequence[str], limits: Limits) -> Any:
            return build(limits, *[source(variables, slot_values) for source in sources])

        self.arguments.append(evaluate)
        return len(self.arguments) - 1

    def allow_error(self, nodes: Sequence[FieldNode], path: KeyPath) -> None:
        """Note that a field, or the items of a list, can fail."""
        self.error_nodes[self._site + path] = nodes

    def build_signature(self) -> bytes:
        """Return a hash that is equal for selections with equal JSON, given equal arguments."""
        return hashlib.sha256(" ".join(self._tokens).encode()).digest()


def _write_empty_object(_value: Any, out: Output) -> None:
    out.parts.append(b"{}")


def _build_constant_writer(text: bytes) -> Write:
    return lambda _value, out: out.parts.append(text)


def _build_object_writer(members: Sequence[tuple[bytes, Write]]) -> Write:
    def write(value: Any, out: Output) -> None:
        append = out.parts.append
        for prefix, write_member in members:
            append(prefix)
            write_member(value, out)
        append(b"}")

    return write


def write_list(items: Sequence[Any], write_item: Write, out: Output) -> None:
    """Write a list."""
    append, indexes = out.parts.append, out.indexes
    indexes.append(0)
    append(b"[")
    for index, item in enumerate(items):
        if index:
            append(b",")
            indexes[-1] = index
        write_item(item, out)
    append(b"]")
    indexes.pop()


def leaf(encode: Callable[[Any], bytes]) -> FieldCompiler:
    """Return the compiler of a field without a selection.

    Args:
        encode: returns the JSON of the field from a value of the parent type.
    """

    def write(value: Any, out: Output) -> None:
        out.parts.append(encode(value))

    return lambda _compiler, _field: write


def nested(type_: ObjectType, get: Callable[[Any], Any]) -> FieldCompiler:
    """Return the compiler of a field with a selection.

    Args:
        type_: the type of the field.
        get: returns the field's value from one of the parent type; None is written as null.
    """

    def compile_field(compiler: Compiler, field: SelectedField) -> Write:
        write_object = compiler.compile_object(type_, field.nodes, field.path)

        def write(value: Any, out: Output) -> None:
            found = get(value)
            if found is None:
                out.parts.append(b"null")
            else:
                write_object(found, out)

        return write

    return compile_field


def nested_list(type_: ObjectType, get: Callable[[Any], Sequence[Any]]) -> FieldCompiler:
    """Return the compiler of a field that is a list of objects; see ``nested``."""

    def compile_field(compiler: Compiler, field: SelectedField) -> Write:
        write_object = compiler.compile_object(type_, field.nodes, field.item_path)
        return lambda value, out: write_list(get(value), write_object, out)

    return compile_field
