"""How a connector is doing: its health, and what is left of its budget of calls."""

import enum
from dataclasses import dataclass
from datetime import datetime


class HealthState(enum.Enum):
    """What the last calls say of a provider."""

    UNKNOWN = "unknown"
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class ConnectorStatus:
    """Health and budget of a connector, as this process sees them.

    Attributes:
        state: up, degraded (some calls fail), down (calls fail fast), unknown (no call yet).
        last_success_at: None before the first success.
        last_failure_at: None before the first failure.
        last_failure_code: the stable code of the last failure; None before it.
        requests_per_minute: the budget; None where no limit is known.
        remaining: calls left now; None where no limit is known.
        refills_at: when the budget is whole again; None where no limit is known.
    """

    state: HealthState
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    last_failure_code: str | None = None
    requests_per_minute: int | None = None
    remaining: int | None = None
    refills_at: datetime | None = None
