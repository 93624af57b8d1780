"""The measured row of a workload."""

from collections import Counter
from dataclasses import dataclass, fields
from typing import Any, Literal

Goal = Literal[
    "none",
    "same",
    "after",
    "page",
    "alike",
    "totals",
    "series",
    "embedded",
    "refresh",
    "refresh-changed",
]


@dataclass(frozen=True, slots=True)
class Row:
    """The medians of a workload.

    Attributes:
        name: of the workload.
        title: its description.
        goal: the rule for its target.
        cpu_us: CPU time of the gateway per request; of all requests of a refresh.
        bare_us: CPU time of the bare server with a body of the same size; None if not measured.
        reference_us: CPU time of ``nodes`` of as many random accounts; None if not measured.
        answer_bytes: size of the response's body.
        units: accounts or points in a response.
        requests: measured requests to the gateway.
        fallbacks: of these by reason; None if the gateway does not count them.
    """

    name: str
    title: str
    goal: Goal
    cpu_us: float
    bare_us: float | None = None
    reference_us: float | None = None
    answer_bytes: int | None = None
    units: float = 1
    requests: int = 0
    fallbacks: Counter[str] | None = None

    def describe(self) -> dict[str, Any]:
        """Return the row for JSON."""
        # Not ``asdict``, which would count the items of a Counter instead of copying it.
        return {each.name: getattr(self, each.name) for each in fields(self)}
