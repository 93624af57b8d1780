"""Tracks the health of each connector's provider from the calls that this process makes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import ErrorCode
from balance_gateway.domain.health import ConnectorStatus, HealthState
from balance_gateway.pipeline.calls.call_gate import ConnectorGate
from balance_gateway.pipeline.calls.circuit_breaker import BreakerState
from balance_gateway.ports.provider_call import ProviderCall

#: Outcomes that show nothing about the provider's health.
_NEUTRAL_OUTCOMES = frozenset({"cancelled", "redirected"})

#: By so much, in seconds, a status ends early: instants since 1970 are rounded, and an early end
#: is harmless.
_EARLY_S = 0.001

_CODES_BY_STATUS = {
    401: ErrorCode.PROVIDER_CREDENTIALS_REJECTED,
    403: ErrorCode.PROVIDER_CREDENTIALS_REJECTED,
    429: ErrorCode.PROVIDER_RATE_LIMITED,
}


@dataclass(slots=True)
class _CallHistory:
    """The last outcomes of one connector's calls."""

    failures_in_row: int = 0
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    last_failure_code: ErrorCode | None = None
    changes: int = 0


class HealthTracker:
    """Keeps the health of every connector.

    Args:
        gates: The gate of each connector, by name; read for its call budget and breaker.
        clock: Returns the current time.
    """

    def __init__(self, gates: Mapping[str, ConnectorGate], clock: Clock) -> None:
        self._gates = gates
        self._histories = {connector: _CallHistory() for connector in gates}
        self._clock = clock

    @classmethod
    def join(cls, trackers: Iterable["HealthTracker"], clock: Clock) -> "HealthTracker":
        """Return a tracker of the connectors of all trackers, which shares their state."""
        joined = cls({}, clock)
        for tracker in trackers:
            joined._gates = {**joined._gates, **tracker._gates}
            joined._histories.update(tracker._histories)
        return joined

    def observe(self, call: ProviderCall) -> None:
        """Record the outcome of one finished exchange."""
        if call.outcome in _NEUTRAL_OUTCOMES:
            return
        # A refusal of the request's content (404, 422) shows a provider that works; rejected
        # credentials and a reached rate limit affect every call.
        is_impaired = call.status is None or call.status >= 500 or call.status in _CODES_BY_STATUS
        if call.outcome == "ok" or (call.outcome == "refused" and not is_impaired):
            self.record_success(call.connector)
        else:
            self.record_failure(call.connector, _failure_code(call))

    def record_success(self, connector: str) -> None:
        """Record that a call of the connector succeeded."""
        history = self._histories[connector]
        history.failures_in_row = 0
        history.last_success_at = self._clock()
        history.changes += 1

    def record_failure(self, connector: str, code: ErrorCode) -> None:
        """Record that a call of the connector failed with this error code."""
        history = self._histories[connector]
        history.failures_in_row += 1
        history.last_failure_at = self._clock()
        history.last_failure_code = code
        history.changes += 1

    def count_changes(self, connector: str) -> int:
        """Return a number that rises with every event that can change the connector's status.

        While it is the same and ``unchanged_until_s`` of a status lies ahead, the connector has
        that status. The number can also rise without a visible change.
        """
        gate = self._gates[connector]
        return self._histories[connector].changes + gate.breaker.changes + gate.rate_limiter.changes

    def status(self, connector: str) -> ConnectorStatus:
        """Return the connector's health and its call budget."""
        history, gate = self._histories[connector], self._gates[connector]
        # Read before the rest: what changes between two reads ends the status early, never late.
        now_s = self._clock().timestamp()
        unchanged_for_s = gate.rate_limiter.unchanged_for_s()
        return ConnectorStatus(
            state=_state(history, gate.breaker.state),
            last_success_at=history.last_success_at,
            last_failure_at=history.last_failure_at,
            last_failure_code=history.last_failure_code,
            requests_per_minute=gate.rate_limiter.per_minute,
            remaining=gate.rate_limiter.remaining(),
            refills_at=_to_instant(gate.rate_limiter.refills_at_s()),
            unchanged_until_s=now_s + unchanged_for_s - _EARLY_S,
            down_since=_to_instant(gate.breaker.down_since_s),
            retry_at=_to_instant(gate.breaker.retry_at_s),
        )


def _to_instant(since_1970_s: float | None) -> datetime | None:
    return None if since_1970_s is None else datetime.fromtimestamp(since_1970_s, UTC)


def _state(history: _CallHistory, breaker: BreakerState) -> HealthState:
    # Half open is down too, so the end of the breaker's pause changes nothing.
    if breaker is not BreakerState.CLOSED:
        return HealthState.DOWN
    if history.failures_in_row:
        return HealthState.DEGRADED
    return HealthState.UNKNOWN if history.last_success_at is None else HealthState.UP


def _failure_code(call: ProviderCall) -> ErrorCode:
    if call.outcome == "refused" and call.status is not None:
        return _CODES_BY_STATUS.get(call.status, ErrorCode.PROVIDER_UNAVAILABLE)
    return ErrorCode(call.outcome)
