"""Generates documents from the GraphQL schema: every type, field, argument and directive in it.

A field, an argument or an enum value that is added to the schema is in the documents without a
change here. A new input scalar needs values in ``schema_values``.
"""

import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

from graphql import (
    DirectiveLocation,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_composite_type,
    is_required_argument,
)
from hypothesis import strategies as st

from balance_gateway.api.schema.build import build_core_schema
from tests.api.compiled.schema_values import (
    DAYS,
    IDS,
    format_literal,
    get_scalar_values,
    is_served,
)


class DocumentWriter:
    """Chooses one document of a schema.

    Args:
        choices: one byte for each choice; when they are used up, every choice is the first option.
            Drawing them at once is far faster than a draw for each choice, and Hypothesis still
            makes a failing document smaller.
        schema: the schema.
        unsupported: whether to select fields that are not compiled.
        directives: whether to write directives.
    """

    def __init__(
        self, choices: bytes, schema: GraphQLSchema, *, unsupported: bool, directives: bool
    ) -> None:
        self._choices = iter(choices)
        self._schema = schema
        self._unsupported = unsupported
        self._directives = directives
        self._fragments: dict[str, tuple[GraphQLNamedType, str]] = {}
        self._fragment_count = 0
        self._variables: dict[str, Any] = {}

    def write(self) -> tuple[str, dict[str, Any]]:
        """Choose the document and its variables."""
        root = self._schema.query_type
        text = self._selection(root, 0, self._pick(range(1, 4)))
        definitions = [f"${name}: {self._definition(type_)}" for name, type_ in self._items()]
        head = f"query Q({', '.join(definitions)})" if definitions else "query Q"
        fragments = "".join(
            f" fragment {name} on {type_.name} {{ {inner} }}"
            for name, (type_, inner) in self._fragments.items()
        )
        return f"{head} {{ {text} }}{fragments}", self._values()

    def _items(self) -> list[tuple[str, Any]]:
        return list(self._variables.items())

    def _pick(self, options: Any) -> Any:
        return options[next(self._choices, 0) % len(options)]

    def _chance(self, of: int) -> bool:
        """Return True once in ``of`` times, and False when the choices are used up."""
        return next(self._choices, 0) % of == of - 1

    def _selection(self, type_: Any, nesting: int, count: int) -> str:
        """Choose a selection of ``count`` members, at most three nested fragments deep."""
        kinds = ("field",) * 7
        # The fast path does not serve Query.__typename.
        if self._unsupported or type_ is not self._schema.query_type:
            kinds += ("__typename",)
        if nesting < 3:
            kinds += ("inline", "named")
        if is_abstract_type(type_):
            kinds = ("narrow", "narrow", "field", "__typename") if nesting < 4 else kinds[:8]
        return " ".join(self._member(type_, self._pick(kinds), nesting) for _ in range(count))

    def _member(self, type_: Any, kind: str, nesting: int) -> str:
        if kind == "__typename":
            return kind
        if kind == "narrow":
            condition = self._pick(self._schema.get_possible_types(type_))
            return self._inline(condition, condition, nesting, DirectiveLocation.INLINE_FRAGMENT)
        if kind == "inline":
            condition = self._pick((None, *self._find_conditions(type_)))
            return self._inline(
                condition, condition or type_, nesting, DirectiveLocation.INLINE_FRAGMENT
            )
        if kind == "named":
            return self._spread(type_, nesting)
        return self._field(type_, nesting)

    def _find_conditions(self, type_: Any) -> list[Any]:
        return [type_, *getattr(type_, "interfaces", ())]

    def _inline(self, condition: Any, inner: Any, nesting: int, location: Any) -> str:
        on = "" if condition is None else f" on {condition.name}"
        selection = self._selection(inner, nesting + 1, self._pick((1, 2, 3)))
        return f"...{on}{self._directive(location)} {{ {selection} }}"

    def _spread(self, type_: Any, nesting: int) -> str:
        conditions = self._find_conditions(type_)
        names = [name for name, (on, _) in self._fragments.items() if on in conditions]
        name = self._pick((*names, None))
        if name is None:
            condition = self._pick(conditions)
            name = f"F{self._fragment_count}"
            self._fragment_count += 1
            # Stored afterwards, so that no fragment spreads itself.
            selection = self._selection(condition, nesting + 1, self._pick((1, 2, 3)))
            self._fragments[name] = condition, selection
        return f"...{name}{self._directive(DirectiveLocation.FRAGMENT_SPREAD)}"

    def _field(self, type_: Any, nesting: int) -> str:
        names = [
            name
            for name, field in type_.fields.items()
            if self._unsupported or is_served(type_, name)
            # Twice as often as leaves, as there is more below them.
            for _ in range(2 if is_composite_type(get_named_type(field.type)) else 1)
        ]
        name = self._pick(names)
        field = type_.fields[name]
        arguments = self._arguments(field.args)
        below = get_named_type(field.type)
        inner = ""
        if is_composite_type(below):
            inner = f" {{ {self._selection(below, nesting, self._pick((1, 2, 3, 4)))} }}"
        alias = self._alias(name, arguments)
        return f"{alias}{name}{arguments}{self._directive(DirectiveLocation.FIELD)}{inner}"

    def _alias(self, name: str, arguments: str) -> str:
        """Choose an alias that is equal for equal fields and arguments only, or none."""
        # Without an alias, fields that differ in arguments only are a conflict.
        if arguments and not self._chance(6):
            return f"{name}_{zlib.crc32(arguments.encode()) % 1000}: "
        return "" if arguments else self._pick(("", "", "", f"x{name}: "))

    def _arguments(self, arguments: Mapping[str, GraphQLArgument]) -> str:
        parts = [
            f"{name}: {self._argument(argument.type)}"
            for name, argument in arguments.items()
            if is_required_argument(argument) or self._chance(2)
        ]
        return f"({', '.join(parts)})" if parts else ""

    def _argument(self, type_: Any) -> str:
        kind = self._pick(("literal",) * 10 + ("variable",) * 9 + ("wrong",))
        if kind == "variable":
            return f"${self._variable(type_)}"
        if kind == "wrong":
            return format_literal(self._wrong(type_), type_)
        return format_literal(self._value(type_), type_)

    def _variable(self, type_: Any) -> str:
        """Return the name of a new variable, or of an earlier one with the same type."""
        same = [name for name, other in self._variables.items() if other == type_]
        name = self._pick((*same, None)) if len(same) < 2 else self._pick(same)
        if name is None:
            name = f"v{len(self._variables)}"
            self._variables[name] = type_
        return name

    def _definition(self, type_: Any) -> str:
        """Choose the definition of a variable for a position of this type; few are invalid."""
        base = get_nullable_type(type_)
        default = format_literal(self._value(GraphQLNonNull(base)), base)
        options = [f"{base}!", f"{base}!", f"{base}! = {default}", f"{base} = {default}"]
        if type_ is base:
            options += [f"{base}", f"{base}"]
        if self._chance(15):
            options = [f"{base}", "Boolean", f"[{base}]"]
        return self._pick(options)

    def _values(self) -> dict[str, Any]:
        """Choose the values of the variables; few are wrong, and some are absent."""
        values = {}
        for name, type_ in self._variables.items():
            kind = self._pick(("valid",) * 7 + ("absent", "null", "wrong"))
            if kind == "valid":
                values[name] = self._value(type_)
            elif kind != "absent":
                values[name] = self._wrong(type_) if kind == "wrong" else None
        return values

    def _value(self, type_: Any) -> Any:
        if type_ is get_nullable_type(type_) and self._chance(6):
            return None
        type_ = get_nullable_type(type_)
        if isinstance(type_, GraphQLList):
            return [self._value(type_.of_type) for _ in range(self._pick(range(5)))]
        if isinstance(type_, GraphQLEnumType):
            return self._pick(tuple(type_.values))
        if isinstance(type_, GraphQLInputObjectType):
            return {
                name: self._value(each.type)
                for name, each in type_.fields.items()
                if isinstance(each.type, GraphQLNonNull) or self._chance(3)
            }
        return self._pick(get_scalar_values(type_.name).valid)

    def _wrong(self, type_: Any) -> Any:
        """Choose a value that the type does not accept, or not in its usual form."""
        type_ = get_nullable_type(type_)
        if isinstance(type_, GraphQLList):
            # A single value is accepted as a list of one.
            return self._pick((self._value(type_.of_type), [None], [self._wrong(type_.of_type)]))
        if isinstance(type_, GraphQLEnumType):
            return self._pick(("NO", 1))
        if isinstance(type_, GraphQLInputObjectType):
            return {"no": 1}
        return self._pick(get_scalar_values(type_.name).wrong)

    def _directive(self, location: DirectiveLocation) -> str:
        if not self._directives or not self._chance(4):
            return ""
        directive = self._pick([d for d in self._schema.directives if location in d.locations])
        return f" @{directive.name}{self._arguments(directive.args)}"


@st.composite
def requests(
    draw: st.DrawFn, schema: GraphQLSchema | None = None, *, served: bool | None = None
) -> tuple[str, dict[str, Any]]:
    """A document of the schema and its variables.

    Args:
        draw: draws from a strategy.
        schema: the schema; None for the gateway's.
        served: whether all fields should be compiled; None for mostly.
    """
    size = draw(st.integers(5, 80))
    choices = draw(st.binary(min_size=size, max_size=size))
    usual = draw(st.sampled_from((True, True, True, False))) if served is None else served
    directives = not usual and draw(st.booleans())
    writer = DocumentWriter(
        choices,
        schema or build_core_schema(),
        unsupported=not usual and not directives,
        directives=directives,
    )
    return writer.write()


def replace_literals(query: str, choices: list[int]) -> str:
    """Replace ids and days in a document by others, for another document of its template."""
    count = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal count
        options = next((each for each in (IDS, DAYS) if match[1] in each), None)
        if options is None:
            return match[0]
        count += 1
        return json.dumps(options[choices[count % len(choices)] % len(options)])

    return re.sub(r'"([^"\\]*)"', replace, query)


@st.composite
def repeated_reads(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """The same selection on few accounts, sometimes with ``maxAgeSeconds: 0``.

    Once one of them shows a newer value, no other may show an older one.
    """
    account_id = json.dumps(draw(st.sampled_from(("a0", "a1"))))
    arguments_text = draw(st.sampled_from(("", "", "(maxAgeSeconds: 0)")))
    inner = "ledger { amount } freshness { observedAt }"
    return f"{{ bankAccount(id: {account_id}) {{ balance{arguments_text} {{ {inner} }} }} }}", {}


@st.composite
def literal_variants(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Documents of few templates that differ in their literals, valid and invalid."""
    ids = st.sampled_from((*IDS, "x" * 70))
    days = st.sampled_from(("2026-05-07", "2026-05-01", "2026-02-30", "0001-01-01", "today"))
    one, two, day = (json.dumps(draw(each)) for each in (ids, ids, days))
    documents = (
        f"{{ bankAccount(id: {one}) {{ id balance(asOf: {day}) {{ asOf }} }} }}",
        f"{{ nodes(ids: [{one}, {two}]) {{ id ... on BankAccount {{ name }} }} }}",
        f"{{ bankAccount(id: {one}) {{ id }} node(id: {two}) {{ id }} }}",
        f"{{ bankAccount(id: {one}) {{ id }} bankAccount(id: {two}) {{ name }} }}",
        f"{{ nodes(ids: [{one}]) {{ id }} nodes(ids: [{two}]) {{ __typename }} }}",
        f"{{ bankAccount(id: {one}) {{ id }} }} query Other {{ node(id: {two}) {{ id }} }}",
    )
    return draw(st.sampled_from(documents)), {}
