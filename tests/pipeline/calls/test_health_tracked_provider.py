"""Health of a provider without HTTP: every outcome is reported to the tracker."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from balance_gateway.domain.balances import BalanceQuery, OpeningBalanceWrite
from balance_gateway.domain.calendar_days import system_clock
from balance_gateway.domain.errors import BadInput, GatewayError, ProviderUnavailable
from balance_gateway.domain.health import HealthState
from balance_gateway.domain.money import Money
from balance_gateway.pipeline.calls.call_gate import ConnectorGate
from balance_gateway.pipeline.calls.circuit_breaker import CircuitBreaker
from balance_gateway.pipeline.calls.health_tracked_provider import HealthTrackedProvider
from balance_gateway.pipeline.calls.health_tracker import HealthTracker
from balance_gateway.pipeline.calls.rate_limiter import RateLimiter
from balance_gateway.pipeline.calls.sliding_window import MemorySlidingWindow
from tests.pipeline.fakes import TODAY, FakeProvider, account

WRITE = OpeningBalanceWrite(account(), Money(1, "EUR"), None)
CALLS: dict[str, Callable[[HealthTrackedProvider], Awaitable[Any]]] = {
    "balances": lambda provider: provider.balances([BalanceQuery(account(), TODAY)]),
    "opening_balance": lambda provider: provider.opening_balance(account()),
    "set_opening_balance": lambda provider: provider.set_opening_balance(WRITE),
    "probe": lambda provider: provider.probe(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_success_and_unavailability_are_recorded(
    call: Callable[[HealthTrackedProvider], Awaitable[Any]],
) -> None:
    gate = ConnectorGate("main", CircuitBreaker(), RateLimiter(None, MemorySlidingWindow()), 8)
    tracker = HealthTracker({"main": gate}, system_clock)
    provider = FakeProvider()
    tracked = HealthTrackedProvider(provider, tracker)
    states = []
    failures: list[GatewayError | None] = [BadInput("x"), None, ProviderUnavailable("x"), None]

    for failure in failures:
        provider.failing = failure
        if failure is None:
            await call(tracked)
        else:
            with pytest.raises(type(failure)):
                await call(tracked)
        states.append(tracker.status("main").state)

    up = HealthState.UP
    assert states == [HealthState.UNKNOWN, up, HealthState.DEGRADED, up]
    assert tracker.status("main").last_failure_code == "PROVIDER_UNAVAILABLE"


async def test_everything_else_is_delegated() -> None:
    provider = FakeProvider()
    gate = ConnectorGate("main", CircuitBreaker(), RateLimiter(None, MemorySlidingWindow()), 8)
    tracked = HealthTrackedProvider(provider, HealthTracker({"main": gate}, system_clock))
    query = BalanceQuery(account(), TODAY)

    side = await tracked.normal_balance(account())
    await tracked.aclose()

    assert (tracked.kind, tracked.connector) == (provider.kind, provider.connector)
    assert tracked.capabilities == provider.capabilities
    assert tracked.balance_group(query) == provider.balance_group(query)
    assert side == await provider.normal_balance(account())
    assert provider.closed
