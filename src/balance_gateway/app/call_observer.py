"""Report each provider call to the metrics, the call gate, the health tracker and the log."""

import functools
import logging
from collections.abc import Mapping

from balance_gateway.domain.errors import ErrorCode
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.calls.call_gate import ConnectorGate
from balance_gateway.pipeline.calls.health_tracker import HealthTracker
from balance_gateway.ports.call_context import Priority, current_call
from balance_gateway.ports.provider_call import OnCall, ProviderCall

logger = logging.getLogger(__name__)


def make_call_observer(
    metrics: Metrics, gates: Mapping[str, ConnectorGate], tracker: HealthTracker
) -> OnCall:
    """Build the function that is called after every HTTP exchange with a provider.

    Args:
        metrics: count and time the call.
        gates: the call gates by connector; they update rate limiter and circuit breaker.
        tracker: tracks the connectors' health.
    """
    # Cached, since looking up a metric by its labels costs more than incrementing it.
    call_counter = functools.cache(metrics.upstream_calls.labels)
    call_seconds = functools.cache(metrics.upstream_seconds.labels)

    def on_call(call: ProviderCall) -> None:
        call_counter(call.connector, call.operation, _name_outcome(call)).inc()
        call_seconds(call.connector).observe(call.duration_s)
        gates[call.connector].observe(call)
        tracker.observe(call)
        if logger.isEnabledFor(logging.DEBUG):
            _log_call(call)

    return on_call


def _name_outcome(call: ProviderCall) -> str:
    """Return the outcome for the metric: rejected credentials differ from other refusals."""
    if call.outcome == "refused" and call.status in {401, 403}:
        return ErrorCode.PROVIDER_CREDENTIALS_REJECTED
    return call.outcome


def _log_call(call: ProviderCall) -> None:
    fields = {
        "connector": call.connector,
        "operation": call.operation,
        "because": _name_cause(call),
        "outcome": call.outcome,
        "status": call.status,
        "duration_ms": round(call.duration_s * 1000, 1),
    }
    logger.debug("provider.called", extra=fields)


def _name_cause(call: ProviderCall) -> str:
    """Return why the call was made: for a write, a waiting read, or a background refresh."""
    if call.write:
        return "write"
    return "refresh" if current_call().priority is Priority.BACKGROUND else "read"
