"""Defines the health of a connector and the rest of its call budget."""

import enum
from dataclasses import dataclass
from datetime import datetime

from balance_gateway.domain.errors import ErrorCode


class HealthState(enum.Enum):
    """State of a provider according to the most recent calls."""

    UNKNOWN = "unknown"
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class ConnectorStatus:
    """Health and call budget of a connector, as observed by this process.

    Attributes:
        state: up, degraded (some calls fail), down (calls fail fast) or unknown (no call yet).
        last_success_at: None before the first success.
        last_failure_at: None before the first failure.
        last_failure_code: the stable code of the last failure; None before it.
        requests_per_minute: the call budget; None when no limit is known.
        remaining: calls left now; None when no limit is known.
        refills_at: when the whole budget is available again; None when no limit is known.
    """

    state: HealthState
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    last_failure_code: ErrorCode | None = None
    requests_per_minute: int | None = None
    remaining: int | None = None
    refills_at: datetime | None = None
