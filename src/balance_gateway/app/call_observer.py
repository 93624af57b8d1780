"""Whom each exchange with a provider is told to: metrics, budget, breaker, health, and the log."""

import functools
import logging
from collections.abc import Mapping

from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.calls.call_gate import ConnectorGate
from balance_gateway.pipeline.calls.health_tracker import HealthTracker
from balance_gateway.ports.call_context import (
    Priority,
    current_call,
)
from balance_gateway.ports.provider_call import (
    OnCall,
    ProviderCall,
)

logger = logging.getLogger(__name__)


def make_call_observer(
    metrics: Metrics, gates: Mapping[str, ConnectorGate], watch: HealthTracker
) -> OnCall:
    """Tells everybody who wants to know of an exchange."""
    # Looking a child up by its labels costs more than counting does.
    counter = functools.cache(metrics.upstream_calls.labels)
    seconds = functools.cache(metrics.upstream_seconds.labels)

    def on_call(call: ProviderCall) -> None:
        counter(call.connector, call.operation, call.outcome).inc()
        seconds(call.connector).observe(call.duration_s)
        gates[call.connector].observe(call)
        watch.observe(call)
        if logger.isEnabledFor(logging.DEBUG):
            _log(call)

    return on_call


def _log(call: ProviderCall) -> None:
    facts = {
        "connector": call.connector,
        "operation": call.operation,
        "because": _cause(call),
        "outcome": call.outcome,
        "status": call.status,
        "duration_ms": round(call.duration_s * 1000, 1),
    }
    logger.debug("provider.called", extra=facts)


def _cause(call: ProviderCall) -> str:
    """Why the call was made: somebody writes, somebody waits, or a value in use is aging."""
    if call.write:
        return "write"
    return "refresh" if current_call().priority is Priority.BACKGROUND else "read"
