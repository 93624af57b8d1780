"""The call observer: logs each provider call and its cause at DEBUG."""

import pytest

from balance_gateway.app.call_observer import make_call_observer
from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.calendar_days import system_clock
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.calls.call_gate import ConnectorGate
from balance_gateway.pipeline.calls.circuit_breaker import CircuitBreaker
from balance_gateway.pipeline.calls.health_tracker import HealthTracker
from balance_gateway.pipeline.calls.rate_limiter import RateLimiter
from balance_gateway.pipeline.calls.sliding_window import MemorySlidingWindow
from balance_gateway.ports.call_context import Priority, set_call_context
from balance_gateway.ports.provider_call import ProviderCall


@pytest.mark.parametrize(
    ("priority", "write", "because"),
    [
        (Priority.FOREGROUND, False, "read"),
        (Priority.BACKGROUND, False, "refresh"),
        (Priority.BACKGROUND, True, "write"),
    ],
)
async def test_every_call_is_logged_with_its_cause_and_outcome(
    caplog: pytest.LogCaptureFixture, priority: Priority, because: str, *, write: bool
) -> None:
    gates = {
        "main": ConnectorGate("main", CircuitBreaker(), RateLimiter(None, MemorySlidingWindow()), 8)
    }
    on_call = make_call_observer(Metrics(), gates, HealthTracker(gates, system_clock))
    call = ProviderCall("main", ProviderKind.LIGHT, "balance read", write, "ok", 200, 0.0417, {})
    set_call_context(priority=priority)

    on_call(call)
    caplog.set_level("DEBUG", "balance_gateway.app.call_observer")
    on_call(call)

    (record,) = caplog.records
    fields = {"connector", "operation", "because", "outcome", "status", "duration_ms"}
    assert record.message == "provider.called"
    assert {name: record.__dict__[name] for name in fields} == {
        "connector": "main",
        "operation": "balance read",
        "because": because,
        "outcome": "ok",
        "status": 200,
        "duration_ms": 41.7,
    }


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (401, "PROVIDER_CREDENTIALS_REJECTED"),
        (403, "PROVIDER_CREDENTIALS_REJECTED"),
        (404, "refused"),
        (500, "refused"),
    ],
)
def test_rejected_credentials_have_an_outcome_of_their_own(status: int, outcome: str) -> None:
    """They counted as refused, as a wrong id does, so that no alert could tell them apart."""
    gates = {
        "main": ConnectorGate("main", CircuitBreaker(), RateLimiter(None, MemorySlidingWindow()), 8)
    }
    metrics = Metrics()
    on_call = make_call_observer(metrics, gates, HealthTracker(gates, system_clock))

    on_call(ProviderCall("main", ProviderKind.LIGHT, "read", False, "refused", status, 0.1, {}))

    (counter,) = metrics.upstream_calls.collect()
    counted = [one.labels["outcome"] for one in counter.samples if one.name.endswith("_total")]
    assert counted == [outcome]
