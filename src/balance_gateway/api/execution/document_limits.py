"""Measures a document in one pass, linear in its size, and refuses it beyond the limits.

Each fragment is measured once, and its measurement is added at each spread. So the time is linear
even for a document in which each fragment spreads the next one twice, thirty levels deep.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    NamedTypeNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    TokenKind,
    get_named_type,
)

from balance_gateway.api.execution.query_cost import Cost
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.errors import RequestRefused, build_refusal
from balance_gateway.domain.errors import ErrorCode

#: The type on which a selection is made; None if it is unknown, which validation reports.
_Parent = GraphQLNamedType | None

_INTROSPECTION = frozenset({"__schema", "__type"})


@dataclass(slots=True, eq=False)
class _Measurement:
    """The measurement of a selection set: its own level and everything below it."""

    depth: int = 0
    cost: Cost = field(default_factory=Cost)
    names: Counter[str] = field(default_factory=Counter)
    spreads: set[str] = field(default_factory=set)
    root_fields: int = 0
    introspection_fields: int = 0


class DocumentMeasurement:
    """The measurement of every operation of a document.

    Args:
        document: the parsed document.
        schema: the schema, for the sizes of lists.
        limits: the limits to check.

    Attributes:
        costs: the cost of each operation, by ``id()`` of the operation's node.

    Raises:
        RequestRefused: on construction, if the document exceeds a limit; the error names the limit
            and the next step.
    """

    def __init__(self, document: DocumentNode, schema: GraphQLSchema, limits: Limits) -> None:
        self._schema = schema
        self._limits = limits
        self._fields = self._aliases = self._spreads = self._pairs = 0
        definitions = document.definitions
        operations = [each for each in definitions if isinstance(each, OperationDefinitionNode)]
        fragments = [each for each in definitions if isinstance(each, FragmentDefinitionNode)]
        _refuse_over(len(operations), limits.operations, "operations")
        _refuse_over(len(fragments), limits.fragments, "fragments")
        _refuse_over(_count_directives(document), limits.directives, "directives")
        self._definitions = {each.name.value: each for each in fragments}
        self._measured: dict[str, _Measurement] = {}
        self._in_progress: set[str] = set()
        self._reachable: dict[str, frozenset[str]] = {}
        self.costs = {id(each): self._measure_operation(each) for each in operations}
        # Fragments that no operation spreads are validated too.
        for name in self._definitions:
            self._measure_fragment(name, 0, limits.introspection_depth)

    def _measure_operation(self, operation: OperationDefinitionNode) -> Cost:
        limits = self._limits
        _refuse_over(len(operation.variable_definitions or ()), limits.variables, "variables")
        root = self._schema.get_root_type(operation.operation)
        measured = self._measure_selection(operation.selection_set, root, 0, limits.depth)
        if operation.operation is OperationType.MUTATION:
            allowed, what = limits.mutation_root_fields, "root fields of a mutation"
        else:
            allowed, what = limits.root_fields, "root fields"
        _refuse_over(measured.root_fields, allowed, what)
        found = measured.introspection_fields
        _refuse_over(found, limits.introspection_fields, "introspection fields")
        return measured.cost

    def _measure_selection(
        self, selection_set: SelectionSetNode, parent: _Parent, level: int, depth: int
    ) -> _Measurement:
        """Measure a selection set ``level`` fields deep; ``depth`` levels are allowed."""
        measured = _Measurement()
        self._collect(selection_set, parent, measured, level, depth)
        # Validation compares every two fields with the same response name, in fragments as well.
        names = Counter(measured.names)
        for name in {name for spread in measured.spreads for name in self._find_reachable(spread)}:
            names.update(self._measured[name].names)
        self._pairs += sum(count * (count - 1) // 2 for count in names.values() if count > 1)
        _refuse_over(self._pairs, self._limits.repeated_pairs, "pairs of fields with the same name")
        return measured

    def _collect(
        self,
        node: SelectionSetNode,
        parent: _Parent,
        into: _Measurement,
        level: int,
        depth: int,
    ) -> None:
        for selection in node.selections:
            if isinstance(selection, FieldNode):
                self._add_field(selection, parent, into, level, depth)
            elif isinstance(selection, InlineFragmentNode):
                inner = self._find_type(selection.type_condition, parent)
                self._collect(selection.selection_set, inner, into, level, depth)
            elif isinstance(selection, FragmentSpreadNode):
                self._add_spread(selection.name.value, into, level, depth)

    def _add_field(
        self, node: FieldNode, parent: _Parent, into: _Measurement, level: int, depth: int
    ) -> None:
        limits = self._limits
        name = node.name.value
        self._fields += 1
        self._aliases += node.alias is not None
        _refuse_over(self._fields, limits.fields, "fields")
        _refuse_over(self._aliases, limits.aliases, "aliases")
        _refuse_over(level + 1, depth, "levels")
        into.root_fields += 1
        into.names[node.alias.value if node.alias else name] += 1
        definition = _find_field(parent, name)
        below = None
        if name in _INTROSPECTION:
            into.introspection_fields += 1
            depth = level + 1 + limits.introspection_depth
        if node.selection_set is not None:
            inner = None if definition is None else get_named_type(definition.type)
            below = self._measure_selection(node.selection_set, inner, level + 1, depth)
        if name in _INTROSPECTION:
            # graphql-core has its own rule for the size of an introspection result.
            into.depth = max(into.depth, 1)
            into.cost.fixed += 1
            return
        into.depth = max(into.depth, 1 + (below.depth if below else 0))
        into.cost.add_field(node, definition, below.cost if below else None, limits)

    def _add_spread(self, name: str, into: _Measurement, level: int, depth: int) -> None:
        self._spreads += 1
        _refuse_over(self._spreads, self._limits.fragment_spreads, "fragment spreads")
        fragment = self._measure_fragment(name, level, depth)
        if fragment is None:
            return
        _refuse_over(level + fragment.depth, depth, "levels")
        into.depth = max(into.depth, fragment.depth)
        into.cost.add(fragment.cost)
        into.spreads.add(name)
        into.root_fields += fragment.root_fields
        into.introspection_fields += fragment.introspection_fields

    def _measure_fragment(self, name: str, level: int, depth: int) -> _Measurement | None:
        """Measure a fragment; None if it is unknown or spreads itself, which validation reports."""
        if name in self._in_progress or name not in self._definitions:
            return None
        if name not in self._measured:
            self._in_progress.add(name)
            fragment = self._definitions[name]
            parent = self._find_type(fragment.type_condition, None)
            selection_set = fragment.selection_set
            self._measured[name] = self._measure_selection(selection_set, parent, level, depth)
            self._in_progress.discard(name)
        return self._measured[name]

    def _find_type(self, condition: NamedTypeNode | None, parent: _Parent) -> _Parent:
        """Return the type of a fragment: its condition, or without one the type around it."""
        return parent if condition is None else self._schema.get_type(condition.name.value)

    def _find_reachable(self, name: str) -> frozenset[str]:
        """Return the fragments that add fields on the level of a fragment, itself included."""
        reachable = self._reachable.get(name)
        if reachable is None:
            found = {name}
            for spread in self._measured[name].spreads:
                found |= self._find_reachable(spread)
            reachable = self._reachable[name] = frozenset(found)
        return reachable


def _find_field(parent: _Parent, name: str) -> GraphQLField | None:
    """Return the definition of a field; None if the type has no such field."""
    if not isinstance(parent, GraphQLObjectType | GraphQLInterfaceType):
        return None
    fields: Mapping[str, GraphQLField] = parent.fields
    return fields.get(name)


def _count_directives(document: DocumentNode) -> int:
    """Count the directives of a document."""
    assert document.loc is not None
    # Every directive, and nothing else, has an @ token; walking the tokens needs no recursion.
    count, token = 0, document.loc.start_token.next
    while token is not None:
        count += token.kind is TokenKind.AT
        token = token.next
    return count


def _refuse_over(count: int, allowed: int, what: str) -> None:
    if count > allowed:
        raise build_limit_refusal(allowed, what)


def build_limit_refusal(allowed: int, what: str) -> RequestRefused:
    """Build the refusal of a document that exceeds a limit.

    Args:
        allowed: the limit.
        what: the counted items, in the plural.
    """
    message = f"The document must have at most {allowed} {what}. Split the request."
    return build_refusal(message, ErrorCode.QUERY_TOO_EXPENSIVE)
