"""Compiles an operation into a plan; the engine calls it when it prepares a request.

Input: a parsed, valid document and the operation in it. Output: a ``Plan`` with the root fields,
the sources of their arguments and the projection of each account, or None when graphql-core has to
execute the operation. A plan is independent of variables and is reused by later requests.

The module also derives templates: documents that differ in string literals only share one plan.
"""

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
    ArgumentSource,
    LiteralSlots,
    VariableDefinitions,
    compile_source,
    read_arguments,
    read_variable_definitions,
)
from balance_gateway.api.fast_path.collect_fields import (
    FallBackToGraphQLCore,
    FragmentDefinitions,
    collect_fields,
)

#: A string literal without escapes. Documents with other strings or comments get no template.
_STRING_LITERAL = re.compile(r'"([^"\\\n\r]*)"')

#: Limits of the fields that compilation may collect. Each field is collected two to four times, and
#: a field takes at least three characters of the document.
COLLECTED_FIELDS_PER_CHARACTER = 4
COLLECTED_FIELDS_MAX = 20_000

#: The supported root fields: the name and the type of the only argument of each.
ROOT_FIELDS: Mapping[str, tuple[str, str]] = {
    "nodes": ("ids", "[ID!]!"),
    "node": ("id", "ID!"),
    "bankAccount": ("id", "ID!"),
}


@dataclass(frozen=True, slots=True)
class Root:
    """A root field that returns accounts.

    Attributes:
        key: its response key.
        is_list: True for ``nodes``; False for ``node`` and ``bankAccount``.
        ids: source of its ``ids`` or ``id`` argument.
        projection: the selection on each account.
    """

    key: str
    is_list: bool
    ids: ArgumentSource
    projection: AccountProjection


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled operation; its root fields are in the order of the response."""

    roots: Sequence[Root]


def compile_plan(
    document: DocumentNode, operation: OperationDefinitionNode, literals: Mapping[int, int]
) -> Plan | None:
    """Compile a valid operation.

    With ``literals``, the plan serves all documents that differ in these literals only:
    graphql-core would find each of them valid, and would execute this operation in each of them.

    Args:
        document: the document that contains the operation.
        operation: the operation to compile.
        literals: the slot number of each string literal by its start offset; empty to compile this
            document alone.

    Returns:
        The plan; None when graphql-core has to execute the operation.
    """
    if operation.operation is not OperationType.QUERY or operation.directives:
        return None
    if literals and not _has_single_operation(document):
        return None
    slots = LiteralSlots(literals)
    definitions = {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    fragments = FragmentDefinitions(definitions, _get_collected_fields_max(document))
    try:
        variables = read_variable_definitions(operation, slots)
        fields = collect_fields([operation.selection_set], "Query", fragments)
        plan = Plan(
            [
                _compile_root(key, nodes, fragments, variables, slots)
                for key, nodes in fields.items()
            ]
        )
    except FallBackToGraphQLCore:
        return None
    # A literal that no argument reads could change the result without changing the plan.
    return plan if slots.all_used else None


def _get_collected_fields_max(document: DocumentNode) -> int:
    assert document.loc is not None
    characters = len(document.loc.source.body)
    return min(COLLECTED_FIELDS_MAX, COLLECTED_FIELDS_PER_CHARACTER * characters)


def _has_single_operation(document: DocumentNode) -> bool:
    """Whether the document has one operation, so that every request with it executes that one."""
    kinds = [isinstance(each, OperationDefinitionNode) for each in document.definitions]
    return kinds.count(True) == 1


def _compile_root(
    key: str,
    nodes: Sequence[FieldNode],
    fragments: FragmentDefinitions,
    variables: VariableDefinitions,
    slots: LiteralSlots,
) -> Root:
    name = nodes[0].name.value
    if name not in ROOT_FIELDS:
        raise FallBackToGraphQLCore
    argument, type_ = ROOT_FIELDS[name]
    arguments = read_arguments(nodes, (argument,), slots)
    return Root(
        key=key,
        is_list=name == "nodes",
        ids=compile_source(arguments[argument], (type_,), variables, slots),
        projection=compile_projection(nodes, fragments, variables, slots),
    )


def derive_template(query: str) -> tuple[str, list[str]] | None:
    """Separate a document's text from its string literals.

    Documents with the same template differ in string literals only.

    Returns:
        The text with all string literals empty, and the literals in order; None when the document
        has no string literals, or has escapes, comments or block strings.
    """
    if '"' not in query or "\\" in query or "#" in query or '"""' in query:
        return None
    parts = _STRING_LITERAL.split(query)
    template = '""'.join(parts[0::2])
    # A remaining quote belongs to an unterminated string, which is invalid in every document.
    if template.count('"') != 2 * (len(parts) // 2):
        return None
    return template, parts[1::2]


def find_literals(query: str) -> dict[int, int]:
    """Return the number of each string literal by its start offset."""
    return {match.start(): number for number, match in enumerate(_STRING_LITERAL.finditer(query))}
