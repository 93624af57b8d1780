"""What can be selected of an account, compiled: each field a function from values to JSON values.

A field that is not here leaves its operation to graphql-core. Leaves are written exactly as the
scalars of ``api/schema/scalars.py`` write them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from graphql import FieldNode

from balance_gateway.api.fast_path.collect_fields import (
    FallBackToGraphQLCore,
    FragmentDefinitions,
    collect_fields,
)
from balance_gateway.api.schema.scalars import instant_text, json_value
from balance_gateway.domain.balances import (
    BalanceFigures,
    OpeningBalance,
    Tag,
)
from balance_gateway.domain.money import Money, decimal_text
from balance_gateway.ports.reads import (
    Observed,
)

T = TypeVar("T")

#: From an object, and the request's "now", to a JSON value.
Leaf = Callable[[T, datetime], Any]
Compile = Callable[[Sequence[FieldNode], FragmentDefinitions], Leaf[T]]


@dataclass(frozen=True, slots=True)
class ObjectType(Generic[T]):
    """What can be selected of a GraphQL object.

    Attributes:
        name: of the type.
        leaves: by field name.
        objects: fields with selections of their own, by name.
    """

    name: str
    leaves: Mapping[str, Leaf[T]]
    objects: Mapping[str, Compile[T]]

    def compiled(self, nodes: Sequence[FieldNode], fragments: FragmentDefinitions) -> Leaf[T]:
        """A function from an object to the JSON object that these nodes select of it.

        Raises:
            NotCompiled: a field is not known here.
        """
        fields = collect_fields((node.selection_set for node in nodes), self.name, fragments)
        members = [(key, self._member(same, fragments)) for key, same in fields.items()]

        def select(value: T, now: datetime) -> dict[str, Any]:
            return {key: member(value, now) for key, member in members}

        return select

    def _member(self, nodes: Sequence[FieldNode], fragments: FragmentDefinitions) -> Leaf[T]:
        name = nodes[0].name.value
        if name == "__typename":
            return lambda _value, _now: self.name
        if name in self.leaves:
            return self.leaves[name]
        if name in self.objects:
            return self.objects[name](nodes, fragments)
        raise FallBackToGraphQLCore


def _optional_instant(value: datetime | None) -> str | None:
    return None if value is None else instant_text(value)


MONEY: ObjectType[Money] = ObjectType(
    "Money",
    leaves={
        "minorUnits": lambda money, _: str(money.minor_units),
        "amount": lambda money, _: decimal_text(money.minor_units, money.exponent),
        "currency": lambda money, _: money.currency,
        "exponent": lambda money, _: money.exponent,
    },
    objects={},
)

FRESHNESS: ObjectType[Observed[Any]] = ObjectType(
    "Freshness",
    leaves={
        "state": lambda observed, _: observed.state.name,
        "observedAt": lambda observed, _: instant_text(observed.observed_at),
        "ageSeconds": lambda observed, now: max(
            0, int((now - observed.observed_at).total_seconds())
        ),
        "staleReason": lambda observed, _: observed.stale_reason,
    },
    objects={},
)


def _money_of(get: Callable[[T], Money | None]) -> Compile[T]:
    def compile_money(nodes: Sequence[FieldNode], fragments: FragmentDefinitions) -> Leaf[T]:
        select = MONEY.compiled(nodes, fragments)

        def money(value: T, now: datetime) -> Any:
            amount = get(value)
            return None if amount is None else select(amount, now)

        return money

    return compile_money


BALANCE: ObjectType[Observed[BalanceFigures]] = ObjectType(
    "Balance",
    leaves={"asOf": lambda observed, _: observed.value.as_of.isoformat()},
    objects={
        "bank": _money_of(lambda observed: observed.value.bank),
        "ledger": _money_of(lambda observed: observed.value.ledger),
        "difference": _money_of(lambda observed: observed.value.difference),
        "freshness": FRESHNESS.compiled,
    },
)

TAG: ObjectType[Tag] = ObjectType(
    "Tag",
    leaves={
        "id": lambda tag, _: tag.id,
        "key": lambda tag, _: tag.key,
        "value": lambda tag, _: tag.value,
        "dimensionId": lambda tag, _: tag.dimension_id,
        "definitionId": lambda tag, _: tag.definition_id,
        "dimensionDisplayName": lambda tag, _: tag.dimension_display_name,
        "valueDisplayName": lambda tag, _: tag.value_display_name,
        "archivedAt": lambda tag, _: _optional_instant(tag.archived_at),
    },
    objects={},
)


def _tags(
    nodes: Sequence[FieldNode], fragments: FragmentDefinitions
) -> Leaf[Observed[OpeningBalance]]:
    select = TAG.compiled(nodes, fragments)
    return lambda observed, now: [select(tag, now) for tag in observed.value.tags]


OPENING_BALANCE: ObjectType[Observed[OpeningBalance]] = ObjectType(
    "OpeningBalance",
    leaves={
        "effectiveAt": lambda observed, _: _optional_instant(observed.value.effective_at),
        "source": lambda observed, _: observed.value.source.name,
        "createdAt": lambda observed, _: _optional_instant(observed.value.created_at),
        "updatedAt": lambda observed, _: _optional_instant(observed.value.updated_at),
        "memo": lambda observed, _: observed.value.memo,
        "referenceNumber": lambda observed, _: observed.value.reference_number,
        "metadata": lambda observed, _: json_value(observed.value.metadata),
    },
    objects={
        "amount": _money_of(lambda observed: observed.value.amount),
        "tags": _tags,
        "freshness": FRESHNESS.compiled,
    },
)


def shows(
    nodes: Sequence[FieldNode], fragments: FragmentDefinitions, type_name: str, field: str
) -> bool:
    """Whether a field of ``freshness`` below these nodes is selected."""
    fields = collect_fields((node.selection_set for node in nodes), type_name, fragments)
    return any(
        inner[0].name.value == field
        for same in fields.values()
        if same[0].name.value == "freshness"
        for inner in collect_fields(
            (node.selection_set for node in same), "Freshness", fragments
        ).values()
    )
