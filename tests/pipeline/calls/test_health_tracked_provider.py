"""Health of a provider without HTTP: what it answers and how it fails is told as it happens."""

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
ACTS: dict[str, Callable[[HealthTrackedProvider], Awaitable[Any]]] = {
    "balances": lambda provider: provider.balances([BalanceQuery(account(), TODAY)]),
    "opening_balance": lambda provider: provider.opening_balance(account()),
    "set_opening_balance": lambda provider: provider.set_opening_balance(WRITE),
    "probe": lambda provider: provider.probe(),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
async def test_what_is_answered_and_what_fails_is_told(
    act: Callable[[HealthTrackedProvider], Awaitable[Any]],
) -> None:
    gate = ConnectorGate("main", CircuitBreaker(), RateLimiter(None, MemorySlidingWindow()), 8)
    watch = HealthTracker({"main": gate}, system_clock)
    provider = FakeProvider()
    watched = HealthTrackedProvider(provider, watch)
    told = []
    failures: list[GatewayError | None] = [BadInput("x"), None, ProviderUnavailable("x"), None]

    for failure in failures:
        provider.failing = failure
        if failure is None:
            await act(watched)
        else:
            with pytest.raises(type(failure)):
                await act(watched)
        told.append(watch.status("main").state)

    up = HealthState.UP
    assert told == [HealthState.UNKNOWN, up, HealthState.DEGRADED, up]
    assert watch.status("main").last_failure_code == "PROVIDER_UNAVAILABLE"


async def test_all_else_is_as_the_provider_has_it() -> None:
    provider = FakeProvider()
    gate = ConnectorGate("main", CircuitBreaker(), RateLimiter(None, MemorySlidingWindow()), 8)
    watched = HealthTrackedProvider(provider, HealthTracker({"main": gate}, system_clock))
    query = BalanceQuery(account(), TODAY)

    side = await watched.normal_balance(account())
    await watched.aclose()

    assert (watched.kind, watched.connector) == (provider.kind, provider.connector)
    assert watched.capabilities == provider.capabilities
    assert watched.balance_group(query) == provider.balance_group(query)
    assert side == await provider.normal_balance(account())
    assert provider.closed
