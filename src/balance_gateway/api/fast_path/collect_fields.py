"""What a selection selects: fields by response key, fragments followed, as GraphQL does."""

from collections.abc import Iterable, Mapping

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    SelectionSetNode,
)

#: Which type conditions an object of a type meets.
_MEETS = {"BankAccount": {"BankAccount", "Node"}}


class FallBackToGraphQLCore(Exception):
    """The operation is left to graphql-core."""


class FragmentDefinitions:
    """The fragments of a document, and a bound to what it may unfold to.

    A few fragments that spread each other select many times what is written, and a plan has every
    field that is selected: it must not take more than its document, which is what is counted.

    Args:
        definitions: by name.
        fields_max: how many fields may be collected, each as often as it is.
    """

    def __init__(self, definitions: Mapping[str, FragmentDefinitionNode], fields_max: int) -> None:
        self._definitions = definitions
        self._left = fields_max

    def __getitem__(self, name: str) -> FragmentDefinitionNode:
        return self._definitions[name]

    def count_field(self) -> None:
        """Raises FallBackToGraphQLCore when there are too many."""
        self._left -= 1
        if self._left < 0:
            raise FallBackToGraphQLCore


def collect_fields(
    selection_sets: Iterable[SelectionSetNode | None],
    type_name: str,
    fragments: FragmentDefinitions,
) -> dict[str, list[FieldNode]]:
    """The field nodes of each response key, in the order of the answer.

    Args:
        selection_sets: of all field nodes that share a response key.
        type_name: of the object that they are selected on.
        fragments: of the document.

    Raises:
        NotCompiled: a directive is there.
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
        meets = _MEETS.get(type_name, {type_name})
        if condition is None or condition.name.value in meets:
            _collect(fragment.selection_set, type_name, fragments, fields, visited)
