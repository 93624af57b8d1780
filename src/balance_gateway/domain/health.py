"""Defines the health of a connector and the rest of its call budget."""

import enum
from dataclasses import dataclass, field
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
        down_since: when calls began to fail at once; None unless the state is down.
        retry_at: when the next call is let through; None unless the state is down. It can lie in
            the past: then the next read calls.
        requests_per_minute: the call budget; None when no limit is known.
        remaining: calls left of ``requests_per_minute``, or of the provider's own count when that
            has fewer; a provider's limit per second counts only while it is exhausted (0). None
            when no limit is known.
        refills_at: when the whole budget is available again; None when it is, or when no limit is
            known. It is the same in every status while nothing happens.
        unchanged_until_s: the status stays equal until this time, in seconds since 1970, unless an
            event changes it; never too late, inf when time alone changes nothing. Not compared.
    """

    state: HealthState
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    last_failure_code: ErrorCode | None = None
    requests_per_minute: int | None = None
    remaining: int | None = None
    refills_at: datetime | None = None
    unchanged_until_s: float = field(default=0.0, compare=False)
    down_since: datetime | None = None
    retry_at: datetime | None = None
