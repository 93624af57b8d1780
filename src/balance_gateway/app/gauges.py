"""Connect the metrics that show a state with the parts that have it."""

from collections.abc import Iterable
from functools import partial

from balance_gateway.app.connectors import OpenConnector
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.calls.call_gate import ConnectorGate
from balance_gateway.pipeline.calls.circuit_breaker import BreakerState


def register_gauges(metrics: Metrics, connectors: Iterable[OpenConnector]) -> None:
    """Let ``/metrics`` read the state of these connectors, and of no others."""
    metrics.forget_connectors(
        metrics.breaker_open,
        metrics.oldest_value_seconds,
        metrics.budget_remaining,
        metrics.budget_refills_seconds,
    )
    for connector in connectors:
        name, gate = connector.configured.name, connector.gate
        metrics.watch(metrics.breaker_open, partial(_is_open, gate), name)
        read_age_s = partial(metrics.ages.read_largest_s, name)
        metrics.watch(metrics.oldest_value_seconds, read_age_s, name)
        if gate.rate_limiter.per_minute is not None:
            metrics.watch(metrics.budget_remaining, partial(_remaining, gate), name)
            metrics.watch(metrics.budget_refills_seconds, partial(_refills_in_s, gate), name)


def _is_open(gate: ConnectorGate) -> float:
    return float(gate.breaker.state is not BreakerState.CLOSED)


def _refills_in_s(gate: ConnectorGate) -> float:
    return gate.rate_limiter.refills_in_s() or 0.0


def _remaining(gate: ConnectorGate) -> float:
    return float(gate.rate_limiter.remaining() or 0)
