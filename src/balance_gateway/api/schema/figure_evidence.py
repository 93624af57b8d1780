"""The GraphQL types that show where a value comes from: calls, bound, raw fields, cache."""

from datetime import date, datetime
from enum import Enum
from typing import Any

import strawberry

from balance_gateway.api.schema.bank_account import BalanceSide
from balance_gateway.api.schema.list_sizes import TYPICAL_SIZE, list_size
from balance_gateway.domain import evidence as domain
from balance_gateway.ports.explanations import Explained


@strawberry.enum(description="The figure that raw fields were converted to.")
class FigureKind(Enum):
    """The figure that raw fields were converted to."""

    BANK = strawberry.enum_value(domain.Figure.BANK, description="The bank balance.")
    LEDGER = strawberry.enum_value(domain.Figure.LEDGER, description="The ledger balance.")
    OPENING_BALANCE = strawberry.enum_value(
        domain.Figure.OPENING_BALANCE, description="The opening balance."
    )


@strawberry.enum(description="The unit of a raw amount.")
class RawUnit(Enum):
    """The unit of a raw amount."""

    MINOR_UNITS = strawberry.enum_value(
        domain.RawUnit.MINOR_UNITS, description="The currency's smallest unit, an integer."
    )
    CENTS = strawberry.enum_value(
        domain.RawUnit.CENTS,
        description="What the provider calls cents: the currency's smallest unit, an integer.",
    )
    MAJOR_UNITS = strawberry.enum_value(
        domain.RawUnit.MAJOR_UNITS, description="The currency's main unit, a decimal number."
    )


@strawberry.type(description="A query parameter of a call.")
class SourceParameter:
    """A query parameter of a call."""

    name: str = strawberry.field(description="The name of the parameter.")
    value: str = strawberry.field(description="The value as sent.")


@strawberry.type(description="A call to the source of a value, also one that failed.")
class SourceCall:
    """A call to the source of a value."""

    operation: str = strawberry.field(
        description="The operation as metrics and logs name it, such as balance read."
    )
    method: str | None = strawberry.field(
        description="The HTTP method; null if the source is not reached by HTTP."
    )
    endpoint: str = strawberry.field(
        description="The path below the connector's base_url; or the tables or the file."
    )
    parameters: list[SourceParameter] = strawberry.field(
        metadata=list_size(TYPICAL_SIZE),
        description="The query parameters in their order. No credential is among them.",
    )
    at: datetime = strawberry.field(description="When the call was begun.")


@strawberry.type(description="Until when the source was asked to count.")
class AsOfBound:
    """Until when the source was asked to count."""

    parameter: str = strawberry.field(description="The name of the parameter.")
    sent: str = strawberry.field(description="Its text as sent.")
    inclusive: bool = strawberry.field(description="Whether the bound itself still counts.")
    instant: datetime | None = strawberry.field(
        description="The instant of the bound; null if a day is sent, which the source delimits by "
        "its own rules."
    )


@strawberry.type(description="A field of the source, exactly as received.")
class RawField:
    """A field of the source."""

    name: str = strawberry.field(description="The name of the field at the source.")
    text: str | None = strawberry.field(
        description="Its JSON text; null for null and for a field that is not there."
    )


@strawberry.type(description="The fields that a figure was made from, and the rule.")
class RawFigure:
    """The fields that a figure was made from."""

    figure: FigureKind = strawberry.field(description="The figure.")
    fields: list[RawField] = strawberry.field(
        metadata=list_size(TYPICAL_SIZE), description="The fields."
    )
    unit: RawUnit = strawberry.field(description="The unit of the amounts among the fields.")
    rule: str = strawberry.field(
        description="How the fields became an amount from the holder's side."
    )
    side: BalanceSide | None = strawberry.field(
        description="The normal side that was applied; null if the rule needs none."
    )


@strawberry.type(description="A value in the cache.")
class KeptValue:
    """A value in the cache."""

    observed_at: datetime = strawberry.field(
        description="When the call that read the value was begun."
    )
    fresh_until: datetime = strawberry.field(
        description="Until when the value is returned without a further call."
    )
    stale_until: datetime = strawberry.field(
        description="Until when the value may be returned while its source fails."
    )


@strawberry.type(
    description="Where a value comes from. The source was read once more for this, because the "
    "fields of a response are not kept with its value."
)
class FigureEvidence:
    """Where a value comes from."""

    kept: KeptValue | None = strawberry.field(
        description="The value in the cache; null if none is kept."
    )
    calls: list[SourceCall] = strawberry.field(
        metadata=list_size(TYPICAL_SIZE),
        description="The calls of the read for this explanation, in their order; empty if a value "
        "of the journal needed none.",
    )
    bound: AsOfBound | None = strawberry.field(
        description="Until when the source was asked to count; null if it was not asked for a day."
    )
    figures: list[RawFigure] = strawberry.field(
        metadata=list_size(TYPICAL_SIZE),
        description="The raw fields of each figure; empty if the read failed.",
    )
    derived_from_day: date | None = strawberry.field(
        description="The day with the balance that counts as the opening balance; null if it was "
        "not derived."
    )
    recorded_write_id: strawberry.ID | None = strawberry.field(
        description="The applied write that the opening balance was taken from; null if it was "
        "not, or the write is of another company."
    )
    recorded_at: datetime | None = strawberry.field(
        description="When that write was recorded as applied; null if it was not taken from one."
    )
    difference: str | None = strawberry.field(
        description="How the value read for this explanation differs from the one that the gateway "
        "returns; null if they are equal or one of them is missing."
    )


def build_figure_evidence(explained: Explained[Any], difference: str | None) -> FigureEvidence:
    """Build the GraphQL object of the evidence of a value."""
    evidence, kept, bound = explained.evidence, explained.kept, explained.evidence.bound
    write = evidence.recorded_write
    return FigureEvidence(
        kept=None
        if kept is None
        else KeptValue(
            observed_at=kept.observed_at,
            fresh_until=kept.fresh_until,
            stale_until=kept.stale_until,
        ),
        calls=[_build_call(call) for call in evidence.calls],
        bound=None
        if bound is None
        else AsOfBound(
            parameter=bound.parameter,
            sent=bound.sent,
            inclusive=bound.is_inclusive,
            instant=bound.instant,
        ),
        figures=[_build_raw_figure(figure) for figure in evidence.figures],
        derived_from_day=evidence.derived_from_day,
        recorded_write_id=None if write is None or write.id is None else strawberry.ID(write.id),
        recorded_at=None if write is None else write.finished_at,
        difference=difference,
    )


def _build_call(call: domain.SourceCall) -> SourceCall:
    return SourceCall(
        operation=call.operation,
        method=call.method,
        endpoint=call.endpoint,
        parameters=[SourceParameter(name=name, value=value) for name, value in call.parameters],
        at=call.at,
    )


def _build_raw_figure(raw: domain.RawFigure) -> RawFigure:
    return RawFigure(
        figure=FigureKind(raw.figure),
        fields=[RawField(name=field.name, text=field.text) for field in raw.fields],
        unit=RawUnit(raw.unit),
        rule=raw.rule,
        side=None if raw.side is None else BalanceSide(raw.side),
    )
