"""Compiles the selections on balances, opening balances, money, tags and freshness into writers.

``account_projection`` uses it while a plan is compiled. Input: field nodes below an account.
Output: a ``FieldWriter``, a function that later turns an observed value into a JSON value. An
operation with a field that is not in these tables, or with an argument of one, falls back to
graphql-core; ``unsupported_fields`` gives the reason for each such field of the schema.

The writers write exactly what the scalars of ``api/schema/scalars.py`` write.
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
from balance_gateway.api.schema.json_output import serialize_json
from balance_gateway.api.schema.money import compute_age_seconds
from balance_gateway.domain.balances import BalanceFigures, MissingReason, OpeningBalance, Tag
from balance_gateway.domain.calendar_days import format_instant
from balance_gateway.domain.money import Money, decimal_text
from balance_gateway.ports.reads import Observed

T = TypeVar("T")

#: Maps an object and the instant of the request to a JSON value.
FieldWriter = Callable[[T, datetime], Any]


@dataclass(frozen=True, slots=True)
class ObjectField(Generic[T]):
    """A field that has a selection.

    Attributes:
        type: the type of its objects.
        get: returns its value from the parent object; None becomes null.
        is_list: whether the value is a sequence of objects.
    """

    type: "ObjectType[Any]"
    get: Callable[[T], Any]
    is_list: bool = False

    def compile_writer(
        self, nodes: Sequence[FieldNode], fragments: FragmentDefinitions
    ) -> FieldWriter[T]:
        """Compile the selection on the field; see ``ObjectType.compile_writer``."""
        get, write_object = self.get, self.type.compile_writer(nodes, fragments)
        if self.is_list:
            return lambda value, now: [write_object(each, now) for each in get(value)]

        def write(value: T, now: datetime) -> Any:
            found = get(value)
            return None if found is None else write_object(found, now)

        return write


@dataclass(frozen=True, slots=True)
class ObjectType(Generic[T]):
    """The supported fields of a GraphQL object type; none of them has arguments.

    Attributes:
        name: of the type.
        leaves: writers of the leaf fields, by field name.
        objects: the fields that have a selection, by field name.
    """

    name: str
    leaves: Mapping[str, FieldWriter[T]]
    objects: Mapping[str, ObjectField[T]]

    def compile_writer(
        self, nodes: Sequence[FieldNode], fragments: FragmentDefinitions
    ) -> FieldWriter[T]:
        """Compile the selection on an object of this type.

        Args:
            nodes: the field nodes that share a response key.
            fragments: the fragment definitions of the document.

        Returns:
            A function from an object to the JSON object with the selected fields.

        Raises:
            FallBackToGraphQLCore: a selected field or its argument is not supported.
        """
        fields = collect_fields((node.selection_set for node in nodes), self.name, fragments)
        members = [
            (key, self._compile_field(field_nodes, fragments))
            for key, field_nodes in fields.items()
        ]

        def write(value: T, now: datetime) -> dict[str, Any]:
            return {key: write_field(value, now) for key, write_field in members}

        return write

    def _compile_field(
        self, nodes: Sequence[FieldNode], fragments: FragmentDefinitions
    ) -> FieldWriter[T]:
        if nodes[0].arguments:
            raise FallBackToGraphQLCore
        name = nodes[0].name.value
        if name == "__typename":
            return lambda _value, _now: self.name
        if name in self.leaves:
            return self.leaves[name]
        if name in self.objects:
            return self.objects[name].compile_writer(nodes, fragments)
        raise FallBackToGraphQLCore


def _format_optional_instant(value: datetime | None) -> str | None:
    return None if value is None else format_instant(value)


def _write_reason(reason: MissingReason | None) -> str | None:
    return None if reason is None else reason.name


def _serialize_optional_json(value: object) -> object:
    return None if value is None else serialize_json(value)


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
        "observedAt": lambda observed, _: format_instant(observed.observed_at),
        "ageSeconds": lambda observed, now: compute_age_seconds(observed.observed_at, now),
        "staleReason": lambda observed, _: observed.stale_reason,
    },
    objects={},
)


BALANCE: ObjectType[Observed[BalanceFigures]] = ObjectType(
    "Balance",
    leaves={
        "asOf": lambda observed, _: observed.value.as_of.isoformat(),
        "bankMissing": lambda observed, _: _write_reason(observed.value.bank_missing),
        "ledgerMissing": lambda observed, _: _write_reason(observed.value.ledger_missing),
        "differenceMissing": lambda observed, _: _write_reason(observed.value.difference_missing),
    },
    objects={
        "bank": ObjectField(MONEY, lambda observed: observed.value.bank),
        "ledger": ObjectField(MONEY, lambda observed: observed.value.ledger),
        "difference": ObjectField(MONEY, lambda observed: observed.value.difference),
        "freshness": ObjectField(FRESHNESS, lambda observed: observed),
    },
)

TAG: ObjectType[Tag] = ObjectType(
    "Tag",
    leaves={
        "tagId": lambda tag, _: tag.id,
        "key": lambda tag, _: tag.key,
        "value": lambda tag, _: tag.value,
        "dimensionId": lambda tag, _: tag.dimension_id,
        "definitionId": lambda tag, _: tag.definition_id,
        "dimensionDisplayName": lambda tag, _: tag.dimension_display_name,
        "valueDisplayName": lambda tag, _: tag.value_display_name,
        "archivedAt": lambda tag, _: _format_optional_instant(tag.archived_at),
    },
    objects={},
)


OPENING_BALANCE: ObjectType[Observed[OpeningBalance]] = ObjectType(
    "OpeningBalance",
    leaves={
        "effectiveAt": lambda observed, _: _format_optional_instant(observed.value.effective_at),
        "source": lambda observed, _: observed.value.source.name,
        "createdAt": lambda observed, _: _format_optional_instant(observed.value.created_at),
        "updatedAt": lambda observed, _: _format_optional_instant(observed.value.updated_at),
        "memo": lambda observed, _: observed.value.memo,
        "referenceNumber": lambda observed, _: observed.value.reference_number,
        "metadata": lambda observed, _: _serialize_optional_json(observed.value.metadata),
    },
    objects={
        "amount": ObjectField(MONEY, lambda observed: observed.value.amount),
        "tags": ObjectField(TAG, lambda observed: observed.value.tags, is_list=True),
        "freshness": ObjectField(FRESHNESS, lambda observed: observed),
    },
)


def selects_freshness_field(
    nodes: Sequence[FieldNode], fragments: FragmentDefinitions, type_name: str, field: str
) -> bool:
    """Whether the selection contains a field of ``freshness``.

    Args:
        nodes: the field nodes of a balance or an opening balance.
        fragments: the fragment definitions of the document.
        type_name: the object type of these nodes.
        field: name of the field of ``Freshness``.
    """
    fields = collect_fields((node.selection_set for node in nodes), type_name, fragments)
    return any(
        inner_nodes[0].name.value == field
        for field_nodes in fields.values()
        if field_nodes[0].name.value == "freshness"
        for inner_nodes in collect_fields(
            (node.selection_set for node in field_nodes), "Freshness", fragments
        ).values()
    )
