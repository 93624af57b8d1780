"""Collects the fields of a selection by response key, with GraphQL fragments expanded.

Used while a plan is compiled. Input: selection sets and the fragment definitions of the document.
Output: the field nodes of each response key, in the order that the GraphQL specification demands
of a response. The module also defines ``FallBackToGraphQLCore``, which every module of the fast
path raises for operations and values that it does not support.
"""

from collections.abc import Iterable, Mapping

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    SelectionSetNode,
)

#: The type conditions that an object type satisfies besides its own name.
_TYPE_CONDITIONS = {"BankAccount": {"BankAccount", "Node"}}


class FallBackToGraphQLCore(Exception):
    """The fast path does not support this operation or value; graphql-core executes it."""


class FragmentDefinitions:
    """The fragment definitions of a document, with a limit on the fields collected from them.

    A few fragments that spread each other can select far more fields than the document contains,
    and a plan holds every selected field. The limit keeps a plan in proportion to its document.

    Args:
        definitions: by name.
        fields_max: how many fields may be collected; a field counts each time it is collected.
    """

    def __init__(self, definitions: Mapping[str, FragmentDefinitionNode], fields_max: int) -> None:
        self._definitions = definitions
        self._fields_left = fields_max

    def __getitem__(self, name: str) -> FragmentDefinitionNode:
        return self._definitions[name]

    def count_field(self) -> None:
        """Count one collected field.

        Raises:
            FallBackToGraphQLCore: there are more than ``fields_max``.
        """
        self._fields_left -= 1
        if self._fields_left < 0:
            raise FallBackToGraphQLCore


def collect_fields(
    selection_sets: Iterable[SelectionSetNode | None],
    type_name: str,
    fragments: FragmentDefinitions,
) -> dict[str, list[FieldNode]]:
    """Collect the field nodes of each response key, in the order of the response.

    Args:
        selection_sets: the selection sets of all field nodes that share a response key.
        type_name: the object type on which they are selected.
        fragments: the fragment definitions of the document.

    Raises:
        FallBackToGraphQLCore: there is a directive, or there are too many fields.
    """
    fields: dict[str, list[FieldNode]] = {}
    visited: set[str] = set()
    for selection_set in selection_sets:
        if selection_set is not None:
            _collect(selection_set, type_name, fragments, fields, visited)
    return fields


def _collect(
    selection_set: SelectionSetNode,
    type_name: str,
    fragments: FragmentDefinitions,
    fields: dict[str, list[FieldNode]],
    visited: set[str],
) -> None:
    for node in selection_set.selections:
        if node.directives:
            raise FallBackToGraphQLCore
        if isinstance(node, FieldNode):
            fragments.count_field()
            key = node.alias.value if node.alias else node.name.value
            fields.setdefault(key, []).append(node)
            continue
        if isinstance(node, FragmentSpreadNode):
            name = node.name.value
            # The specification expands each named fragment once per selection.
            if name in visited:
                continue
            visited.add(name)
            fragment: FragmentDefinitionNode | InlineFragmentNode = fragments[name]
            if fragment.directives:
                raise FallBackToGraphQLCore
        elif isinstance(node, InlineFragmentNode):
            fragment = node
        else:
            raise FallBackToGraphQLCore
        condition = fragment.type_condition
        matching = _TYPE_CONDITIONS.get(type_name, {type_name})
        if condition is None or condition.name.value in matching:
            _collect(fragment.selection_set, type_name, fragments, fields, visited)
