"""Defines the evidence of a figure: the call that read it, and the fields that it was made from."""

import enum
from dataclasses import dataclass
from datetime import date, datetime

from balance_gateway.domain.accounts import Side


class Figure(enum.Enum):
    """The figure that raw fields were converted to."""

    BANK = "bank"
    LEDGER = "ledger"
    OPENING_BALANCE = "opening_balance"


class RawUnit(enum.Enum):
    """The unit of a provider's field."""

    MINOR_UNITS = "minor_units"
    CENTS = "cents"
    MAJOR_UNITS = "major_units"


@dataclass(frozen=True, slots=True)
class SourceCall:
    """One call to the source of a figure.

    Attributes:
        operation: the operation as metrics and logs name it, such as "balance read".
        method: the HTTP method; None where the source is not reached by HTTP.
        endpoint: the path without the connector's address; or the tables or the file.
        parameters: the query parameters as sent, in order. No credential is among them.
        at: when the call was begun.
    """

    operation: str
    method: str | None
    endpoint: str
    parameters: tuple[tuple[str, str], ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class AsOfBound:
    """Until when a source was asked to count.

    Attributes:
        parameter: the name of the parameter.
        sent: its text.
        is_inclusive: whether the bound itself still counts.
        instant: the instant of the bound; None where a day is sent, which the source delimits.
    """

    parameter: str
    sent: str
    is_inclusive: bool
    instant: datetime | None


@dataclass(frozen=True, slots=True)
class RawField:
    """One field of a response.

    Attributes:
        name: its name at the source.
        text: its JSON text, exactly as received; None for null, and for a field that is not there.
    """

    name: str
    text: str | None


@dataclass(frozen=True, slots=True)
class RawFigure:
    """The fields that a figure was made from.

    Attributes:
        figure: the figure.
        fields: the fields.
        unit: the unit of the amounts among them.
        rule: how the fields became an amount from the holder's side.
        side: the normal side that was applied; None where the rule needs none.
    """

    figure: Figure
    fields: tuple[RawField, ...]
    unit: RawUnit
    rule: str
    side: Side | None = None


@dataclass(frozen=True, slots=True)
class RecordedWrite:
    """The applied write that an opening balance was taken from.

    Attributes:
        id: the id of the write; None if it is of another tenant.
        finished_at: when its outcome was recorded.
    """

    id: str | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where one value comes from.

    Attributes:
        calls: the calls in their order, also those that failed.
        bound: the bound of the day that was asked for; None where no day was.
        figures: the raw fields of each figure; empty if no call succeeded.
        derived_from_day: the day with the balance that was taken as the opening balance; None if it
            was not derived.
        recorded_write: the write of the journal; None if the value is not from there.
    """

    calls: tuple[SourceCall, ...] = ()
    bound: AsOfBound | None = None
    figures: tuple[RawFigure, ...] = ()
    derived_from_day: date | None = None
    recorded_write: RecordedWrite | None = None
