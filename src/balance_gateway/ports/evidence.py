"""Collects the evidence of one read, for the explanation of a balance.

The collector travels with the task that reads, as ``call_context`` does, so that no signature on
the path of a read has it. Every other read has no collector, and pays a look-up per call.
"""

import json
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from balance_gateway.domain.accounts import Side
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.evidence import (
    AsOfBound,
    Evidence,
    Figure,
    RawField,
    RawFigure,
    RawUnit,
    RecordedWrite,
    SourceCall,
)


class NumberLiteral(Decimal):
    """A number of a JSON text that keeps its spelling, such as ``1.50e2``.

    Attributes:
        literal: the spelling.
    """

    literal: str

    def __new__(cls, literal: str) -> "NumberLiteral":
        """Convert the text of a number."""
        number = super().__new__(cls, literal)
        number.literal = literal
        return number


@dataclass(slots=True)
class EvidenceCollector:
    """Receives the evidence of one value while it is read.

    Attributes:
        clock: returns the current time.
    """

    clock: Clock
    _calls: list[SourceCall] = field(default_factory=list)
    _figures: dict[Figure, RawFigure] = field(default_factory=dict)
    _bound: AsOfBound | None = None
    _derived_from_day: date | None = None
    _recorded_write: RecordedWrite | None = None

    def add_call(
        self, operation: str, method: str | None, endpoint: str, parameters: Mapping[str, str]
    ) -> None:
        """Add a call that begins now; see ``SourceCall``."""
        sent = tuple(parameters.items())
        self._calls.append(SourceCall(operation, method, endpoint, sent, self.clock()))

    def set_bound(
        self, parameter: str, sent: str, *, is_inclusive: bool, instant: datetime | None = None
    ) -> None:
        """Set the bound of the day; see ``AsOfBound``."""
        self._bound = AsOfBound(parameter, sent, is_inclusive, instant)

    def set_figure(
        self,
        figure: Figure,
        record: Mapping[str, Any],
        names: Sequence[str],
        unit: RawUnit,
        rule: str,
        side: Side | None = None,
    ) -> None:
        """Set the raw fields of a figure; a repeated read replaces those of the one before.

        Args:
            figure: the figure.
            record: the object with the fields, as decoded JSON.
            names: the names of the fields.
            unit: see ``RawFigure``.
            rule: see ``RawFigure``.
            side: see ``RawFigure``.
        """
        fields = tuple(RawField(name, format_raw(record.get(name))) for name in names)
        self._figures[figure] = RawFigure(figure, fields, unit, rule, side)

    def set_derived_from(self, day: date) -> None:
        """Note that the opening balance is the balance of a day."""
        self._derived_from_day = day

    def set_recorded_write(self, write: RecordedWrite) -> None:
        """Note that the opening balance is from the journal."""
        self._recorded_write = write

    def build_evidence(self) -> Evidence:
        """Return what has been collected."""
        return Evidence(
            calls=tuple(self._calls),
            bound=self._bound,
            figures=tuple(self._figures[each] for each in Figure if each in self._figures),
            derived_from_day=self._derived_from_day,
            recorded_write=self._recorded_write,
        )


def format_raw(value: Any) -> str | None:
    """Return the JSON text of a decoded value; None for null."""
    if value is None:
        return None
    if isinstance(value, NumberLiteral):
        return value.literal
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


_current: ContextVar[EvidenceCollector | None] = ContextVar("evidence", default=None)


def current_evidence() -> EvidenceCollector | None:
    """Return the collector of the current task; None if nothing explains its read."""
    return _current.get()


def collect_evidence(collector: EvidenceCollector) -> None:
    """Collect the evidence of the current task's reads from now on."""
    _current.set(collector)
