"""Compiles the selection on an account: the values that it needs, and the JSON object it becomes.

``operation_plan`` compiles one projection per root field. For each request ``response_builder``
evaluates the arguments of its balance fields, and calls ``build_json`` for each account without
cached JSON, with the values that ``missing_reads`` has read.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from graphql import FieldNode

from balance_gateway.api.fast_path.argument_coercion import (
    coerce_day,
    coerce_max_age,
    coerce_on_stale,
)
from balance_gateway.api.fast_path.argument_sources import (
    ArgumentSource,
    LiteralSlots,
    VariableDefinitions,
    Variables,
    compile_source,
    read_arguments,
)
from balance_gateway.api.fast_path.collect_fields import (
    FallBackToGraphQLCore,
    FragmentDefinitions,
    collect_fields,
)
from balance_gateway.api.fast_path.field_writers import (
    BALANCE,
    OPENING_BALANCE,
    FieldWriter,
    ObjectType,
    selects_freshness_field,
)
from balance_gateway.domain.accounts import Account
from balance_gateway.ports.reads import OnStale

#: Fields that are written from the account's configuration, without a read.
ACCOUNT_FIELDS: Mapping[str, Callable[[Account], Any]] = {
    "id": lambda account: account.id,
    "name": lambda account: account.name,
    "currency": lambda account: account.currency,
    "provider": lambda account: account.provider.name,
    "capabilities": lambda account: sorted(each.name for each in account.capabilities),
    "__typename": lambda _account: "BankAccount",
}


#: The field that is read from the provider when the account's configuration does not have it.
NORMAL_BALANCE = "normalBalance"

#: The object types of the fields that are read from providers.
READ_FIELDS: Mapping[str, ObjectType[Any]] = {
    "balance": BALANCE,
    "openingBalance": OPENING_BALANCE,
}

#: The supported arguments of the fields, with their types; other fields have none.
ARGUMENTS: Mapping[str, Mapping[str, str]] = {
    "balance": {"asOf": "Date", "maxAgeSeconds": "Int", "onStale": "OnStale"},
}


@dataclass(frozen=True, slots=True)
class BalanceArguments:
    """The arguments of one ``balance`` field in one request; ``as_of`` None means today."""

    as_of: date | None
    max_age_s: int | None
    on_stale: OnStale


@dataclass(frozen=True, slots=True)
class BalanceField:
    """A ``balance`` field.

    Attributes:
        nodes: its field nodes, for the locations of errors.
        as_of: source of ``asOf``.
        max_age: source of ``maxAgeSeconds``.
        on_stale: source of ``onStale``.
        write: writes the selection on the balance.
    """

    nodes: Sequence[FieldNode]
    as_of: ArgumentSource
    max_age: ArgumentSource
    on_stale: ArgumentSource
    write: FieldWriter[Any]

    def evaluate_arguments(
        self, variables: Variables, slot_values: Sequence[str]
    ) -> BalanceArguments:
        """Evaluate the arguments for one request.

        Raises:
            FallBackToGraphQLCore: an argument is invalid or unusual.
        """
        return BalanceArguments(
            as_of=coerce_day(self.as_of(variables, slot_values)),
            max_age_s=coerce_max_age(self.max_age(variables, slot_values)),
            on_stale=coerce_on_stale(self.on_stale(variables, slot_values)),
        )


@dataclass(frozen=True, slots=True)
class OpeningBalanceField:
    """An ``openingBalance`` field: its field nodes, and the writer of its selection."""

    nodes: Sequence[FieldNode]
    write: FieldWriter[Any]


@dataclass(frozen=True, slots=True)
class NormalBalanceField:
    """A ``normalBalance`` field: its field nodes."""

    nodes: Sequence[FieldNode]


#: A field that is read, and can fail by itself.
ReadField = BalanceField | OpeningBalanceField | NormalBalanceField

#: How a member of the account's JSON is written: from the account, or from a read.
MemberSource = Callable[[Account], Any] | ReadField


@dataclass(frozen=True, slots=True)
class AccountProjection:
    """A compiled selection on ``BankAccount``.

    Attributes:
        signature: a hash that is equal for selections with equal JSON, given equal arguments.
        members: key and source of each JSON member, in the order of the response.
        balance_fields: the balance fields among the members, in order.
        opening_balance_fields: the opening balance fields among the members, in order.
        needs_normal_balance: whether ``normalBalance`` is selected.
        shows_state: whether the JSON contains the freshness state of a value.
        shows_age: whether the JSON contains the age of a value in seconds.
    """

    signature: bytes
    members: Sequence[tuple[str, MemberSource]]
    balance_fields: list[BalanceField]
    opening_balance_fields: list[OpeningBalanceField]
    needs_normal_balance: bool
    shows_state: bool
    shows_age: bool

    def build_json(
        self,
        account: Account,
        values: Mapping[int, Any],
        now: datetime,
    ) -> dict[str, Any]:
        """Build the account's JSON object.

        Args:
            account: the account.
            values: the observed value of each balance and opening balance field, and the side of
                each normal balance field, by the ``id()`` of the field; None becomes null.
            now: the instant of the request.
        """
        built: dict[str, Any] = {}
        for key, source in self.members:
            if isinstance(source, BalanceField | OpeningBalanceField):
                observed = values[id(source)]
                built[key] = None if observed is None else source.write(observed, now)
            elif isinstance(source, NormalBalanceField):
                side = values[id(source)]
                built[key] = None if side is None else side.name
            else:
                built[key] = source(account)
        return built


def compile_projection(
    nodes: Sequence[FieldNode],
    fragments: FragmentDefinitions,
    definitions: VariableDefinitions,
    slots: LiteralSlots,
) -> AccountProjection:
    """Compile the selection on an account.

    Args:
        nodes: the field nodes of the root field.
        fragments: the fragment definitions of the document.
        definitions: the variables of the operation.
        slots: the literal slots of the document.

    Raises:
        FallBackToGraphQLCore: a field or an argument is not supported.
    """
    fields = collect_fields((node.selection_set for node in nodes), "BankAccount", fragments)
    members = [
        (key, _compile_member(field_nodes, fragments, definitions, slots))
        for key, field_nodes in fields.items()
    ]
    sources = [source for _, source in members]
    return AccountProjection(
        signature=_build_signature(nodes, "BankAccount", READ_FIELDS, fragments),
        members=members,
        balance_fields=[each for each in sources if isinstance(each, BalanceField)],
        opening_balance_fields=[each for each in sources if isinstance(each, OpeningBalanceField)],
        needs_normal_balance=any(isinstance(each, NormalBalanceField) for each in sources),
        shows_state=_selects_freshness_field(fields, fragments, "state"),
        shows_age=_selects_freshness_field(fields, fragments, "ageSeconds"),
    )


def _compile_member(
    nodes: Sequence[FieldNode],
    fragments: FragmentDefinitions,
    definitions: VariableDefinitions,
    slots: LiteralSlots,
) -> MemberSource:
    name = nodes[0].name.value
    types = ARGUMENTS.get(name, {})
    arguments = read_arguments(nodes, tuple(types), slots)
    if name in ACCOUNT_FIELDS:
        return ACCOUNT_FIELDS[name]
    if name == NORMAL_BALANCE:
        return NormalBalanceField(nodes)
    if name not in READ_FIELDS:
        raise FallBackToGraphQLCore
    write = READ_FIELDS[name].compile_writer(nodes, fragments)
    if name == "openingBalance":
        return OpeningBalanceField(nodes, write)

    def compile_argument(argument: str) -> ArgumentSource:
        allowed = (types[argument], f"{types[argument]}!")
        return compile_source(arguments.get(argument), allowed, definitions, slots)

    return BalanceField(
        nodes=nodes,
        as_of=compile_argument("asOf"),
        max_age=compile_argument("maxAgeSeconds"),
        on_stale=compile_argument("onStale"),
        write=write,
    )


def _selects_freshness_field(
    fields: Mapping[str, Sequence[FieldNode]], fragments: FragmentDefinitions, field: str
) -> bool:
    return any(
        selects_freshness_field(nodes, fragments, READ_FIELDS[nodes[0].name.value].name, field)
        for nodes in fields.values()
        if nodes[0].name.value in READ_FIELDS
    )


def _build_signature(
    nodes: Sequence[FieldNode],
    type_name: str,
    object_types: Mapping[str, ObjectType[Any]],
    fragments: FragmentDefinitions,
) -> bytes:
    """Hash the selection without its arguments; their values are a part of the projection key."""
    fields = collect_fields((node.selection_set for node in nodes), type_name, fragments)
    parts = []
    for key, field_nodes in fields.items():
        name = field_nodes[0].name.value
        inner = ""
        if name in object_types:
            type_ = object_types[name]
            below = {child: each.type for child, each in type_.objects.items()}
            inner = _build_signature(field_nodes, type_.name, below, fragments).hex()
        parts.append(f"{key}:{name}:{inner}")
    return hashlib.sha256(" ".join(parts).encode()).digest()
