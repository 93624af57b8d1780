"""Measures a document in one pass, linear in its size, and refuses one beyond the limits.

Every fragment is measured once and remembered; where it is spread its measures are added. So a
document whose fragments spread the next one twice, thirty levels deep, takes no longer than its
length, whatever size it would unfold to.
"""

from collections import Counter
from dataclasses import dataclass, field

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    TokenKind,
)

from balance_gateway.api.execution.query_cost import Cost
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.errors import RequestRefused, build_refusal

_INTROSPECTION = frozenset({"__schema", "__type"})


@dataclass(slots=True, eq=False)
class _Measured:
    """Measures of a selection set: of the level itself, and of all that lies below."""

    depth: int = 0
    cost: Cost = field(default_factory=Cost)
    names: Counter[str] = field(default_factory=Counter)
    spreads: set[str] = field(default_factory=set)
    root_fields: int = 0
    introspection_fields: int = 0


class DocumentMeasure:
    """Measures every operation of a document.

    Attributes:
        costs: the cost of each operation, by the operation's node id.

    Raises:
        RequestRefused: on construction; the error names the limit and the next step.
    """

    def __init__(self, document: DocumentNode, limits: Limits) -> None:
        self._limits = limits
        self._fields = self._aliases = self._spreads = self._pairs = 0
        definitions = document.definitions
        operations = [each for each in definitions if isinstance(each, OperationDefinitionNode)]
        fragments = [each for each in definitions if isinstance(each, FragmentDefinitionNode)]
        _refuse_over(len(operations), limits.operations, "operations")
        _refuse_over(len(fragments), limits.fragments, "fragments")
        _refuse_over(_directives(document), limits.directives, "directives")
        self._definitions = {each.name.value: each for each in fragments}
        self._measured: dict[str, _Measured] = {}
        self._under_way: set[str] = set()
        self._reached: dict[str, frozenset[str]] = {}
        self.costs = {id(each): self._operation(each) for each in operations}
        for name in self._definitions:
            self._fragment(name, 0, limits.introspection_depth)

    def _operation(self, operation: OperationDefinitionNode) -> Cost:
        limits = self._limits
        _refuse_over(len(operation.variable_definitions or ()), limits.variables, "variables")
        measured = self._selection(operation.selection_set, 0, limits.depth)
        if operation.operation is OperationType.MUTATION:
            allowed, what = limits.mutation_root_fields, "root fields of a mutation"
        else:
            allowed, what = limits.root_fields, "root fields"
        _refuse_over(measured.root_fields, allowed, what)
        found = measured.introspection_fields
        _refuse_over(found, limits.introspection_fields, "introspection fields")
        return measured.cost

    def _selection(self, selection_set: SelectionSetNode, level: int, depth: int) -> _Measured:
        """Measures a selection set; ``level`` fields are around it, ``depth`` are allowed."""
        measured = _Measured()
        self._collect(selection_set, measured, level, depth)
        names = Counter(measured.names)
        for name in {reached for spread in measured.spreads for reached in self._reach(spread)}:
            names.update(self._measured[name].names)
        self._pairs += sum(count * (count - 1) // 2 for count in names.values() if count > 1)
        _refuse_over(self._pairs, self._limits.repeated_pairs, "pairs of fields with one name")
        return measured

    def _collect(self, node: SelectionSetNode, into: _Measured, level: int, depth: int) -> None:
        for selection in node.selections:
            if isinstance(selection, FieldNode):
                self._add_field(selection, into, level, depth)
            elif isinstance(selection, InlineFragmentNode):
                self._collect(selection.selection_set, into, level, depth)
            elif isinstance(selection, FragmentSpreadNode):
                self._add_spread(selection.name.value, into, level, depth)

    def _add_field(self, node: FieldNode, into: _Measured, level: int, depth: int) -> None:
        limits = self._limits
        name = node.name.value
        self._fields += 1
        self._aliases += node.alias is not None
        _refuse_over(self._fields, limits.fields, "fields")
        _refuse_over(self._aliases, limits.aliases, "aliases")
        _refuse_over(level + 1, depth, "levels")
        into.root_fields += 1
        into.names[node.alias.value if node.alias else name] += 1
        below = None
        if name in _INTROSPECTION:
            into.introspection_fields += 1
            depth = level + 1 + limits.introspection_depth
        if node.selection_set is not None:
            below = self._selection(node.selection_set, level + 1, depth)
        if name in _INTROSPECTION:
            # graphql-core's own rule bounds what introspection unfolds to.
            into.depth = max(into.depth, 1)
            into.cost.fixed += 1
            return
        into.depth = max(into.depth, 1 + (below.depth if below else 0))
        into.cost.add_field(node, below.cost if below else None, limits)

    def _add_spread(self, name: str, into: _Measured, level: int, depth: int) -> None:
        self._spreads += 1
        _refuse_over(self._spreads, self._limits.fragment_spreads, "fragment spreads")
        fragment = self._fragment(name, level, depth)
        if fragment is None:
            return
        _refuse_over(level + fragment.depth, depth, "levels")
        into.depth = max(into.depth, fragment.depth)
        into.cost.add(fragment.cost)
        into.spreads.add(name)
        into.root_fields += fragment.root_fields
        into.introspection_fields += fragment.introspection_fields

    def _fragment(self, name: str, level: int, depth: int) -> _Measured | None:
        """A fragment's measures; None for one that is unknown or spreads itself: invalid both."""
        if name in self._under_way or name not in self._definitions:
            return None
        if name not in self._measured:
            self._under_way.add(name)
            selection_set = self._definitions[name].selection_set
            self._measured[name] = self._selection(selection_set, level, depth)
            self._under_way.discard(name)
        return self._measured[name]

    def _reach(self, name: str) -> frozenset[str]:
        """The fragments whose fields stand on one level with a fragment's own, itself included."""
        reached = self._reached.get(name)
        if reached is None:
            found = {name}
            for spread in self._measured[name].spreads:
                found |= self._reach(spread)
            reached = self._reached[name] = frozenset(found)
        return reached


def _directives(document: DocumentNode) -> int:
    """How many directives there are, counted as @ among the tokens."""
    assert document.loc is not None
    count, token = 0, document.loc.start_token.next
    while token is not None:
        count += token.kind is TokenKind.AT
        token = token.next
    return count


def _refuse_over(count: int, allowed: int, what: str) -> None:
    if count > allowed:
        raise limit_exceeded(allowed, what)


def limit_exceeded(allowed: int, what: str) -> RequestRefused:
    """The build_refusal of a document that has more of something than is allowed."""
    message = f"The document has more than the {allowed} {what} it may have. Split the request."
    return build_refusal(message, "QUERY_TOO_EXPENSIVE")
