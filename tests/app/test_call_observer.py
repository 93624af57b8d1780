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
