"""Chooses documents of the whole schema from a seed, queries and mutations.

They add to ``documents`` values that depend on the argument, variables inside of lists and input
objects, aliases of equal fields, fragments on every type of an interface, and both kinds of fields
in one document, those with a directive and those that are not compiled.
"""

import json
import random
import zlib
from collections.abc import Mapping
from typing import Any

from graphql import (
    DirectiveLocation,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLUnionType,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_required_argument,
)

from balance_gateway.api.schema.build import build_core_schema
from balance_gateway.api.schema.connection import encode_cursor
from tests.api.compiled.documents import DocumentWriter
from tests.api.compiled.schema_values import format_literal, get_scalar_values

SCHEMA = build_core_schema()

_ACCOUNT_IDS = tuple(f"a{number}" for number in range(16))
_OTHER_IDS = ("connector:main", "connector:books", "connector:none", "unknown", "x" * 70, "write-1")

#: Values by the name of the argument or of the input field; most are accepted where they are sent.
VALUES: Mapping[str, tuple[Any, ...]] = {
    "id": _ACCOUNT_IDS * 2 + _OTHER_IDS + ("write-2", 5),
    "ids": _ACCOUNT_IDS * 2 + _OTHER_IDS,
    "accountIds": _ACCOUNT_IDS,
    "connectors": ("main", "connector:books", "layer", "none"),
    "first": (2, 3, 1, 5, 20, 100, 0, 4, 1000, 1001, -1),
    "after": (encode_cursor("a3"), encode_cursor("a13"), encode_cursor("none"), "YTE6YTE", "no"),
    "asOf": ("2026-05-07", "2026-05-08", "2026-05-01", "2026-04-02", "2026-05-09", "0001-01-01"),
    "from": ("2026-05-05", "2026-05-01", "2026-05-07", "2026-04-30", "0001-01-02"),
    "to": ("2026-05-08", "2026-05-07", "2026-05-09", "2026-04-01", "9999-12-31"),
    "maxAgeSeconds": (5, 20, 1000, 0, -1),
    "nameContains": ("account", "ACCOUNT 1", "", "x" * 201),
    "currencies": ("EUR", "JPY", "KWD"),
    "since": ("2026-05-07T10:00:00Z", "2026-05-09T00:00:00+02:00"),
}


class WholeSchemaWriter(DocumentWriter):
    """Chooses one document of the gateway's schema.

    Args:
        generator: makes the choices.
        wrong: one of this many values is wrong, or not in its usual form.
    """

    def __init__(self, generator: random.Random, *, wrong: int = 60) -> None:
        choices = bytes(generator.choices(range(256), k=generator.randint(40, 300)))
        super().__init__(choices, SCHEMA, unsupported=True, directives=True)
        self._wrong_of = wrong
        self._place = ""
        self._places: dict[str, str] = {}
        self._defined: set[str] = set()

    def write_mutation(self, field: str, arguments: str) -> str:
        """Choose what a mutation selects.

        Args:
            field: the field of the mutation.
            arguments: its arguments.
        """
        type_ = get_named_type(SCHEMA.mutation_type.fields[field].type)
        inner = self._selection(type_, 0, 3)
        names = [f"${name}: {self._definition(each)}" for name, each in self._items()]
        head = f"mutation Q({', '.join(names)})" if names else "mutation Q"
        fragments = "".join(
            f" fragment {name} on {on.name} {{ {text} }}"
            for name, (on, text) in self._fragments.items()
        )
        return f"{head} {{ {field}({arguments}) {{ {inner} }} }}{fragments}"

    def choose_values(self) -> dict[str, Any]:
        """Choose the values of the variables."""
        return self._values()

    def _selection(self, type_: Any, nesting: int, count: int) -> str:
        if not is_abstract_type(type_):
            return super()._selection(type_, nesting, count)
        kinds = ("narrow", "narrow", "__typename")
        if not isinstance(type_, GraphQLUnionType):
            kinds += ("field",)
        if nesting < 3:
            kinds += ("inline", "named")
        elif nesting > 4:
            kinds = ("__typename",)
        return " ".join(self._member(type_, self._pick(kinds), nesting) for _ in range(count))

    def _find_conditions(self, type_: Any) -> list[Any]:
        found = super()._find_conditions(type_)
        if not is_abstract_type(type_):
            return found
        possible = self._schema.get_possible_types(type_)
        others = [each for one in possible for each in one.interfaces if each is not type_]
        return list(dict.fromkeys([*found, *possible, *others]))

    def _alias(self, name: str, arguments: str) -> str:
        # Two aliases, so that some documents have a field twice with equal arguments.
        if arguments and not self._chance(10):
            prefix = self._pick(("", "again_"))
            return f"{prefix}{name}_{zlib.crc32(arguments.encode()) % 10_000}: "
        return "" if arguments else self._pick(("", "", "", f"x{name}: "))

    def _arguments(self, arguments: Mapping[str, GraphQLArgument]) -> str:
        parts = []
        for name, argument in arguments.items():
            if is_required_argument(argument) or self._chance(2):
                self._place = name
                parts.append(f"{name}: {self._write_value(argument.type, name)}")
        return f"({', '.join(parts)})" if parts else ""

    def _write_value(self, type_: Any, place: str) -> str:
        """Write a literal or a variable; variables are also in lists and input objects."""
        self._place = place
        if self._chance(self._wrong_of):
            return format_literal(self._wrong(type_), type_)
        if self._chance(3):
            return f"${self._variable(type_)}"
        base = get_nullable_type(type_)
        if base is type_ and self._chance(8):
            return "null"
        if isinstance(base, GraphQLList):
            if self._chance(8):
                return self._write_value(base.of_type, place)  # accepted as a list of one
            items = (self._write_value(base.of_type, place) for _ in range(self._pick(range(4))))
            return f"[{', '.join(items)}]"
        if isinstance(base, GraphQLInputObjectType):
            fields = [
                f"{name}: {self._write_value(each.type, name)}"
                for name, each in base.fields.items()
                if isinstance(each.type, GraphQLNonNull) or self._chance(4)
            ]
            return f"{{{', '.join(fields)}}}"
        return format_literal(self._value(type_), type_)

    def _variable(self, type_: Any) -> str:
        place = self._place
        same = [
            name
            for name, other in self._variables.items()
            if other == type_ and self._places[name] == place
        ]
        name = self._pick((*same, None))
        if name is None:
            name = f"v{len(self._variables)}"
            self._variables[name] = type_
            self._places[name] = place
        return name

    def _definition(self, type_: Any) -> str:
        name = next(
            name
            for name, other in self._variables.items()
            if other is type_ and name not in self._defined
        )
        self._defined.add(name)
        self._place = self._places[name]
        base = get_nullable_type(type_)
        default = format_literal(self._value(GraphQLNonNull(base)), base)
        options = [f"{base}!", f"{base}! = {default}", f"{base} = {default}"]
        if type_ is base:
            options += [f"{base}", f"{base}", f"{base} = null"]
        return str(self._pick(options))

    def _values(self) -> dict[str, Any]:
        values = {}
        for name, type_ in self._variables.items():
            self._place = self._places[name]
            is_nullable = type_ is get_nullable_type(type_)
            kinds = ("valid",) * 8 + (("absent", "null") if is_nullable else ("valid",))
            kind = "wrong" if self._chance(self._wrong_of) else self._pick(kinds)
            if kind == "valid":
                values[name] = self._value(type_)
            elif kind != "absent":
                values[name] = self._wrong(type_) if kind == "wrong" else None
        return values

    def _value(self, type_: Any) -> Any:
        if type_ is get_nullable_type(type_) and self._chance(8):
            return None
        base = get_nullable_type(type_)
        if isinstance(base, GraphQLList):
            return [self._value(base.of_type) for _ in range(self._pick(range(4)))]
        if isinstance(base, GraphQLEnumType):
            return self._pick(tuple(base.values))
        if not isinstance(base, GraphQLInputObjectType):
            known = VALUES.get(self._place)
            return self._pick(get_scalar_values(base.name).valid if known is None else known)
        outer, chosen = self._place, {}
        for name, each in base.fields.items():
            if isinstance(each.type, GraphQLNonNull) or self._chance(4):
                self._place = name
                chosen[name] = self._value(each.type)
        self._place = outer
        return chosen

    def _directive(self, location: DirectiveLocation) -> str:
        return super()._directive(location) if self._chance(2) else ""


def write_document(generator: random.Random, *, wrong: int = 60) -> tuple[str, dict[str, Any]]:
    """Return a random query and its variables."""
    return WholeSchemaWriter(generator, wrong=wrong).write()


def write_upsert(
    generator: random.Random, account_id: str, minor_units: int, currency: str
) -> tuple[str, dict[str, Any]]:
    """Return a mutation that sets an opening balance, and its variables."""
    writer = WholeSchemaWriter(generator)
    one = (
        f'{{accountId: {json.dumps(account_id)}, amount: {{minorUnits: "{minor_units}", currency:'
        f" {json.dumps(currency)}}}}}"
    )
    is_list = generator.random() < 0.3
    field, arguments = "upsertOpeningBalance", f"input: {one}"
    if is_list:
        field, arguments = "upsertOpeningBalances", f"inputs: [{one}]"
    query = writer.write_mutation(field, arguments)
    return query, writer.choose_values()


def write_settlement(
    generator: random.Random, write_id: str, applied: str
) -> tuple[str, dict[str, Any]]:
    """Return a mutation that settles a write, and its variables.

    Args:
        generator: makes the choices.
        write_id: the id of the write.
        applied: APPLIED or NOT_APPLIED.
    """
    writer = WholeSchemaWriter(generator)
    arguments = f'writeId: "{write_id}", as: {applied}, note: "seen at the provider"'
    query = writer.write_mutation("settleOpeningBalanceWrite", arguments)
    return query, writer.choose_values()
