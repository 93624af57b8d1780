"""Collects the fields of a selection by response key, with fragments and conditions resolved.

Used while a plan is compiled. Input: selection sets, the fragment definitions of the document, and
the values of the variables in ``@skip`` and ``@include``. Output: the field nodes of each response
key, in the order that the GraphQL specification demands of a response. The module also defines
``FallBackToGraphQLCore``, which every module of this package raises for what it does not support.
"""

from collections.abc import Iterable, Iterator, Mapping

from graphql import (
    BooleanValueNode,
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
)

#: The interface that an object type implements, if any.
_INTERFACES = {"BankAccount": "Node", "Connector": "Node"}


class FallBackToGraphQLCore(Exception):
    """This package does not support the operation or a value; graphql-core executes it.

    Attributes:
        reason: one word for the metric of fallbacks.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Selections:
    """The selections of one operation, with a limit on the fields collected from them.

    A few fragments that spread each other can select far more fields than the document contains,
    and a plan holds every selected field. The limit keeps a plan in proportion to its document.

    Args:
        fragments: the fragment definitions of the document, by name.
        conditions: the values of the variables in ``@skip`` and ``@include``.
        fields_max: how many fields may be collected; a field counts each time it is collected.
    """

    def __init__(
        self,
        fragments: Mapping[str, FragmentDefinitionNode],
        conditions: Mapping[str, bool],
        fields_max: int,
    ) -> None:
        self._fragments = fragments
        self._conditions = conditions
        self._fields_left = fields_max

    def collect(
        self, selection_sets: Iterable[SelectionSetNode | None], type_name: str
    ) -> dict[str, list[FieldNode]]:
        """Collect the field nodes of each response key, in the order of the response.

        Args:
            selection_sets: the selection sets of all field nodes that share a response key.
            type_name: the object type on which they are selected.

        Raises:
            FallBackToGraphQLCore: there is an unknown directive, or there are too many fields.
        """
        fields: dict[str, list[FieldNode]] = {}
        visited: set[str] = set()
        for selection_set in selection_sets:
            if selection_set is not None:
                self._collect(selection_set, type_name, fields, visited)
        return fields

    def _collect(
        self,
        selection_set: SelectionSetNode,
        type_name: str,
        fields: dict[str, list[FieldNode]],
        visited: set[str],
    ) -> None:
        for node in selection_set.selections:
            if node.directives and not self._is_included(node):
                continue
            if isinstance(node, FieldNode):
                self._count_field()
                key = node.alias.value if node.alias else node.name.value
                fields.setdefault(key, []).append(node)
                continue
            if isinstance(node, FragmentSpreadNode):
                name = node.name.value
                # The specification expands each named fragment once per selection.
                if name in visited:
                    continue
                visited.add(name)
                fragment: FragmentDefinitionNode | InlineFragmentNode = self._fragments[name]
                if fragment.directives:
                    raise FallBackToGraphQLCore("directive")
            elif isinstance(node, InlineFragmentNode):
                fragment = node
            else:
                raise FallBackToGraphQLCore("field")
            condition = fragment.type_condition
            if condition is None or _applies(condition.name.value, type_name):
                self._collect(fragment.selection_set, type_name, fields, visited)

    def _is_included(self, node: SelectionNode) -> bool:
        included = True
        for directive in node.directives or ():
            if directive.name.value not in ("skip", "include"):
                raise FallBackToGraphQLCore("directive")
            included &= self._get_condition(directive) is (directive.name.value == "include")
        return included

    def _get_condition(self, directive: DirectiveNode) -> bool:
        value = _find_condition(directive)
        if isinstance(value, VariableNode):
            return self._conditions[value.name.value]
        if isinstance(value, BooleanValueNode):
            return value.value
        raise FallBackToGraphQLCore("directive")

    def _count_field(self) -> None:
        self._fields_left -= 1
        if self._fields_left < 0:
            raise FallBackToGraphQLCore("size")


def find_condition_variables(
    operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> tuple[str, ...]:
    """Return the names of the variables in ``@skip`` and ``@include``, sorted."""
    names: set[str] = set()
    for selection_set in (operation.selection_set, *(f.selection_set for f in fragments.values())):
        for node in _walk(selection_set):
            for directive in node.directives or ():
                value = _find_condition(directive)
                if isinstance(value, VariableNode):
                    names.add(value.name.value)
    return tuple(sorted(names))


def _walk(selection_set: SelectionSetNode) -> Iterator[SelectionNode]:
    for node in selection_set.selections:
        yield node
        below = getattr(node, "selection_set", None)
        if below is not None:
            yield from _walk(below)


def _find_condition(directive: DirectiveNode) -> ValueNode | None:
    return directive.arguments[0].value if directive.arguments else None


def _applies(condition: str, type_name: str) -> bool:
    return condition in (type_name, _INTERFACES.get(type_name))
