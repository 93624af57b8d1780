"""Watches the calls of each connector: how its provider is doing, as this process has seen it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.health import ConnectorStatus, HealthState
from balance_gateway.pipeline.calls.call_gate import ConnectorGate
from balance_gateway.pipeline.calls.circuit_breaker import BreakerState
from balance_gateway.ports.provider_call import (
    ProviderCall,
)

#: Outcomes that say nothing about the provider's health.
_NEUTRAL = frozenset({"cancelled", "redirected"})


@dataclass(slots=True)
class _Seen:
    """What has been seen of one connector."""

    failures_in_row: int = 0
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    last_failure_code: str | None = None


class HealthTracker:
    """Keeps the state of every connector.

    Args:
        gates: by connector; they know the budgets, and whether calls are let through.
        clock: tells the time.
    """

    def __init__(self, gates: Mapping[str, ConnectorGate], clock: Clock) -> None:
        self._gates = gates
        self._seen = {connector: _Seen() for connector in gates}
        self._clock = clock

    def observe(self, call: ProviderCall) -> None:
        """Takes note of one exchange that has ended."""
        if call.outcome in _NEUTRAL:
            return
        # A refusal of what was asked for shows a provider that works; these do not.
        unwell = call.status is None or call.status >= 500 or call.status in (401, 403, 429)
        if call.outcome == "ok" or (call.outcome == "refused" and not unwell):
            self.record_success(call.connector)
        else:
            self.record_failure(call.connector, _code(call))

    def record_success(self, connector: str) -> None:
        """Takes note that the provider works."""
        seen = self._seen[connector]
        seen.failures_in_row = 0
        seen.last_success_at = self._clock()

    def record_failure(self, connector: str, code: str) -> None:
        """Takes note that the provider does not, and with which code."""
        seen = self._seen[connector]
        seen.failures_in_row += 1
        seen.last_failure_at = self._clock()
        seen.last_failure_code = code

    def status(self, connector: str) -> ConnectorStatus:
        """How the connector is doing."""
        seen, gate = self._seen[connector], self._gates[connector]
        refills_in_s = gate.budget.refills_in_s()
        return ConnectorStatus(
            state=_state(seen, gate.breaker.state),
            last_success_at=seen.last_success_at,
            last_failure_at=seen.last_failure_at,
            last_failure_code=seen.last_failure_code,
            requests_per_minute=gate.budget.per_minute,
            remaining=gate.budget.remaining(),
            refills_at=None
            if refills_in_s is None
            else self._clock() + timedelta(seconds=refills_in_s),
        )


def _state(seen: _Seen, breaker: BreakerState) -> HealthState:
    if breaker is not BreakerState.CLOSED:
        return HealthState.DOWN
    if seen.failures_in_row:
        return HealthState.DEGRADED
    return HealthState.UNKNOWN if seen.last_success_at is None else HealthState.UP


def _code(call: ProviderCall) -> str:
    by_status = {
        401: "PROVIDER_CREDENTIALS_REJECTED",
        403: "PROVIDER_CREDENTIALS_REJECTED",
        429: "PROVIDER_RATE_LIMITED",
    }
    if call.outcome == "refused" and call.status is not None:
        return by_status.get(call.status, "PROVIDER_UNAVAILABLE")
    return call.outcome
