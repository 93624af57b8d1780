"""Compiles an operation: its root fields, their arguments, and what they select of accounts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    OperationDefinitionNode,
    OperationType,
)

from balance_gateway.api.fast_path.account_projection import AccountProjection, compile_projection
from balance_gateway.api.fast_path.argument_sources import (
    LiteralSlots,
    Source,
    VariableDefinitions,
    find_source,
    read_arguments,
    read_variable_definitions,
)
from balance_gateway.api.fast_path.collect_fields import (
    FallBackToGraphQLCore,
    FragmentDefinitions,
    collect_fields,
)

#: A string literal without escapes. Documents with others, or with comments, have no slots.
_STRING = re.compile(r'"([^"\\\n\r]*)"')

#: Fields are collected two to four times each; one that is written has three characters or more.
COLLECTED_PER_CHARACTER = 4
COLLECTED_MAX = 20_000

_ID_TYPES = ("ID!",)
_IDS_TYPES = ("[ID!]!",)


@dataclass(frozen=True, slots=True)
class Root:
    """A root field that asks for accounts.

    Attributes:
        key: its response key.
        is_list: ``nodes``; else ``node`` or ``bankAccount``.
        nodes: its field nodes, for the locations of errors.
        ids: where its id, or ids, come from.
        entity: what is selected of each account.
        label: of the argument, in errors.
    """

    key: str
    is_list: bool
    nodes: Sequence[FieldNode]
    ids: Source
    entity: AccountProjection
    label: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled operation; its root fields in the order of the answer."""

    roots: Sequence[Root]


def compile_plan(
    document: DocumentNode, operation: OperationDefinitionNode, literals: Mapping[int, int]
) -> Plan | None:
    """The plan of a valid operation; None when it is one for graphql-core.

    With literals it is the plan of all documents that differ in them alone: graphql-core would
    find all of them valid, and execute this operation in all of them.

    Args:
        document: it is in.
        operation: itself.
        literals: the number of the slot of each string literal, by where it starts; empty for a
            document that is one of a kind.
    """
    if operation.operation is not OperationType.QUERY or operation.directives:
        return None
    if literals and not _is_alone(document):
        return None
    slots = LiteralSlots(literals)
    definitions = {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    fragments = FragmentDefinitions(definitions, _fields_max(document))
    try:
        known = read_variable_definitions(operation, slots)
        fields = collect_fields([operation.selection_set], "Query", fragments)
        plan = Plan([_root(key, same, fragments, known, slots) for key, same in fields.items()])
    except FallBackToGraphQLCore:
        return None
    return plan if slots.all_used else None


def _fields_max(document: DocumentNode) -> int:
    assert document.loc is not None
    return min(COLLECTED_MAX, COLLECTED_PER_CHARACTER * len(document.loc.source.body))


def _is_alone(document: DocumentNode) -> bool:
    """Whether the document has one operation, which every request with it means."""
    kinds = [isinstance(each, OperationDefinitionNode) for each in document.definitions]
    return kinds.count(True) == 1


def _root(
    key: str,
    nodes: Sequence[FieldNode],
    fragments: FragmentDefinitions,
    known: VariableDefinitions,
    slots: LiteralSlots,
) -> Root:
    name = nodes[0].name.value
    if name not in ("nodes", "node", "bankAccount"):
        raise FallBackToGraphQLCore
    is_list = name == "nodes"
    label = "ids" if is_list else "id"
    given = read_arguments(nodes, (label,), slots)
    return Root(
        key=key,
        is_list=is_list,
        nodes=nodes,
        ids=find_source(given[label], _IDS_TYPES if is_list else _ID_TYPES, known, slots),
        entity=compile_projection(nodes, fragments, known, slots),
        label=label,
    )


def derive_template(query: str) -> tuple[str, list[str]] | None:
    """The document's text without its string literals, and those; None when it has none to take.

    Documents of one template differ in string literals alone.
    """
    if '"' not in query or "\\" in query or "#" in query or '"""' in query:
        return None
    pieces = _STRING.split(query)
    template = '""'.join(pieces[0::2])
    # A quote that is left over belongs to a string that no document can have.
    if template.count('"') != 2 * (len(pieces) // 2):
        return None
    return template, pieces[1::2]


def find_literals(query: str) -> dict[int, int]:
    """The number of each string literal, by where it starts."""
    return {match.start(): number for number, match in enumerate(_STRING.finditer(query))}
