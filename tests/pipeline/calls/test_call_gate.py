"""The gate and the watch: what each exchange passes, and what is learned from it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import (
    CircuitOpen,
    ProviderRateLimited,
    ProviderUnavailable,
)
from balance_gateway.domain.health import HealthState
from balance_gateway.pipeline.calls.call_gate import ConnectorGate
from balance_gateway.pipeline.calls.circuit_breaker import BreakerState, CircuitBreaker
from balance_gateway.pipeline.calls.health_tracker import HealthTracker
from balance_gateway.pipeline.calls.rate_limiter import RateLimiter
from balance_gateway.pipeline.calls.sliding_window import MemorySlidingWindow
from balance_gateway.ports.call_context import (
    Priority,
    PriorityBoost,
    set_call_context,
)
from balance_gateway.ports.provider_call import (
    ProviderCall,
)
from tests.pipeline.fakes import turns
from tests.pipeline.virtual_time import VirtualTime


def gate_of(time: VirtualTime, per_minute: int | None = None, places: int = 8) -> ConnectorGate:
    window = MemorySlidingWindow(time.monotonic)
    budget = RateLimiter(per_minute, window, monotonic=time.monotonic, wall_s=time.wall_s)
    breaker = CircuitBreaker(monotonic=time.monotonic, jitter=lambda: 1.0)
    return ConnectorGate("main", breaker, budget, places)


def exchange(status: int | None = 200, outcome: str | None = None, **headers: str) -> ProviderCall:
    if outcome is None:
        outcome = "PROVIDER_UNAVAILABLE" if status is None else "ok"
        outcome = "refused" if status is not None and status >= 400 else outcome
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ProviderCall("main", ProviderKind.LIGHT, "read", False, outcome, status, 0.1, named)


async def pass_through(gate: ConnectorGate, call: ProviderCall | None) -> None:
    async with gate.slot(write=False):
        if call is not None:
            gate.observe(call)


async def test_failures_open_the_breaker_and_then_nothing_is_sent(time: VirtualTime) -> None:
    gate = gate_of(time)
    for _ in range(5):
        await pass_through(gate, exchange(None))

    with pytest.raises(ProviderUnavailable):
        await pass_through(gate, exchange())

    assert gate.breaker.state is BreakerState.OPEN


@pytest.mark.parametrize(
    ("call", "opens"),
    [
        (exchange(500), True),
        (exchange(503), True),
        (exchange(None), True),
        (exchange(400), False),
        (exchange(401), False),
        (exchange(404), False),
        (exchange(429, retry_after="0"), False),
        (exchange(None, "cancelled"), False),
        (exchange(200, "cancelled"), False),
        (exchange(302, "redirected"), False),
        (None, False),
    ],
    ids=str,
)
async def test_only_what_says_something_about_health_opens_the_breaker(
    time: VirtualTime, call: ProviderCall | None, opens: bool
) -> None:
    gate = gate_of(time)

    for _ in range(5):
        await pass_through(gate, call)

    assert (gate.breaker.state is BreakerState.OPEN) is opens


async def test_the_log_tells_of_breakers_and_of_calls_that_were_not_made(
    time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "balance_gateway.pipeline.calls.call_gate")
    gate = await opened(time)
    with pytest.raises(ProviderUnavailable):
        async with gate.slot(write=False):
            await pass_through(gate, exchange())
    time.advance(1.0)
    await pass_through(gate, exchange(200))

    told = [(record.message, record.__dict__["connector"]) for record in caplog.records]
    assert told == [
        ("breaker.opened", "main"),
        ("provider.held_back", "main"),
        ("breaker.closed", "main"),
    ]
    assert caplog.records[1].__dict__["code"] == "PROVIDER_UNAVAILABLE"


async def opened(time: VirtualTime, **more: Any) -> ConnectorGate:
    gate = gate_of(time, **more)
    for _ in range(5):
        await pass_through(gate, exchange(500))
    time.advance(1.0)
    return gate


async def test_of_many_at_once_one_probes(time: VirtualTime) -> None:
    gate = await opened(time)
    sent = []

    async def call() -> None:
        async with gate.slot(write=False):
            sent.append(1)
            await asyncio.sleep(0.5)
            gate.observe(exchange(200))

    results = await asyncio.gather(*(call() for _ in range(20)), return_exceptions=True)

    assert len(sent) == 1
    assert sum(isinstance(one, ProviderUnavailable) for one in results) == 19
    assert gate.breaker.state is BreakerState.CLOSED


async def test_a_probe_that_goes_away_or_finds_no_budget_lets_the_next_one_try(
    time: VirtualTime,
) -> None:
    gate = await opened(time)
    gate.budget.observe(429, {"retry-after": "5"})
    set_call_context(max_wait_s=0.0)

    with pytest.raises(ProviderRateLimited):
        await pass_through(gate, exchange())
    with pytest.raises(ProviderRateLimited):
        await pass_through(gate, exchange())

    assert gate.breaker.state is BreakerState.HALF_OPEN


async def test_never_more_calls_at_once_than_places(time: VirtualTime) -> None:
    gate = gate_of(time, places=3)
    now, most = 0, 0

    async def call() -> None:
        nonlocal now, most
        async with gate.slot(write=False):
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.1)
            now -= 1

    await asyncio.gather(*(call() for _ in range(20)))

    assert most == 3


async def test_who_finds_no_place_in_time_is_refused_and_takes_none_away(
    time: VirtualTime,
) -> None:
    gate = gate_of(time, places=1)
    set_call_context(max_wait_s=5.0)
    may_end = asyncio.Event()

    async def hold() -> None:
        async with gate.slot(write=False):
            await may_end.wait()

    holder = asyncio.ensure_future(hold())
    await turns()
    started_s = time.monotonic()
    with pytest.raises(ProviderUnavailable):
        await pass_through(gate, exchange())
    waited_s = time.monotonic() - started_s
    may_end.set()
    await holder

    await pass_through(gate, exchange())
    assert waited_s == pytest.approx(5.0)


@pytest.mark.parametrize("urgent", Priority)
async def test_who_goes_away_while_waiting_takes_no_place_away(
    time: VirtualTime, urgent: Priority
) -> None:
    gate = gate_of(time, places=1)
    may_end = asyncio.Event()

    async def hold() -> None:
        async with gate.slot(write=False):
            await may_end.wait()

    async def call() -> None:
        set_call_context(priority=urgent)
        await pass_through(gate, exchange())

    holder = asyncio.ensure_future(hold())
    await turns()
    waiting = [asyncio.ensure_future(call()) for _ in range(3)]
    await turns()
    for one in waiting:
        one.cancel()
    await asyncio.wait(waiting)
    may_end.set()
    await holder

    await asyncio.gather(call(), call(), call())
    assert gate.breaker.state is BreakerState.CLOSED


async def test_refreshes_hold_a_quarter_of_the_places_and_writes_are_not_among_them(
    time: VirtualTime,
) -> None:
    gate = gate_of(time, places=8)
    entered: list[str] = []

    async def call(name: str, urgent: Priority, write: bool) -> None:
        set_call_context(priority=urgent)
        async with gate.slot(write=write):
            entered.append(name)
            await asyncio.sleep(1)

    tasks = [call("refresh", Priority.BACKGROUND, False) for _ in range(8)]
    tasks += [call("write", Priority.BACKGROUND, True), call("read", Priority.FOREGROUND, False)]
    running = [asyncio.ensure_future(task) for task in tasks]
    await turns()
    at_once = sorted(entered)
    await asyncio.gather(*running)

    assert at_once == ["read", "refresh", "refresh", "write"]
    assert len(entered) == 10


async def test_the_budget_learns_from_every_exchange(time: VirtualTime) -> None:
    gate = gate_of(time, per_minute=10)

    await pass_through(gate, exchange(429, retry_after="90"))

    assert gate.budget.remaining() == 0
    assert gate.budget.refills_in_s() == 90


async def test_an_outcome_heard_outside_a_slot_changes_no_breaker(time: VirtualTime) -> None:
    gate = gate_of(time)

    for _ in range(20):
        gate.observe(exchange(500))

    assert gate.breaker.state is BreakerState.CLOSED


def watch_of(time: VirtualTime, gate: ConnectorGate) -> HealthTracker:
    return HealthTracker({"main": gate}, time.clock)


async def test_a_connector_without_calls_is_unknown(time: VirtualTime) -> None:
    watch = watch_of(time, gate_of(time, per_minute=60))

    status = watch.status("main")

    assert status.state is HealthState.UNKNOWN
    assert (status.requests_per_minute, status.remaining, status.refills_at) == (60, 60, None)
    assert (status.last_success_at, status.last_failure_at) == (None, None)


@pytest.mark.parametrize(
    ("call", "state", "code"),
    [
        (exchange(200), HealthState.UP, None),
        (exchange(404), HealthState.UP, None),
        (exchange(422), HealthState.UP, None),
        (exchange(500), HealthState.DEGRADED, "PROVIDER_UNAVAILABLE"),
        (exchange(401), HealthState.DEGRADED, "PROVIDER_CREDENTIALS_REJECTED"),
        (exchange(403), HealthState.DEGRADED, "PROVIDER_CREDENTIALS_REJECTED"),
        (exchange(429), HealthState.DEGRADED, "PROVIDER_RATE_LIMITED"),
        (exchange(None, "PROVIDER_TIMEOUT"), HealthState.DEGRADED, "PROVIDER_TIMEOUT"),
        (exchange(200, "PROVIDER_BAD_RESPONSE"), HealthState.DEGRADED, "PROVIDER_BAD_RESPONSE"),
        (exchange(None, "cancelled"), HealthState.UNKNOWN, None),
        (exchange(302, "redirected"), HealthState.UNKNOWN, None),
    ],
    ids=str,
)
async def test_one_exchange_tells_how_a_connector_is_doing(
    time: VirtualTime, call: ProviderCall, state: HealthState, code: str | None
) -> None:
    watch = watch_of(time, gate_of(time))

    watch.observe(call)

    status = watch.status("main")
    assert (status.state, status.last_failure_code) == (state, code)


async def test_a_success_after_a_failure_is_up_and_both_are_remembered(time: VirtualTime) -> None:
    watch = watch_of(time, gate_of(time))
    failed_at = time.clock()
    watch.observe(exchange(503))
    time.advance(5)

    watch.observe(exchange(200))

    status = watch.status("main")
    assert status.state is HealthState.UP
    assert status.last_failure_at == failed_at
    assert status.last_success_at == failed_at + timedelta(seconds=5)


async def test_a_connector_whose_breaker_is_open_is_down_until_a_probe_succeeds(
    time: VirtualTime,
) -> None:
    gate = gate_of(time)
    watch = watch_of(time, gate)
    states = []
    for status in (500, 500, 500, 500, 500, 200):
        await pass_through(gate, exchange(status))
        watch.observe(exchange(status))
        states.append(watch.status("main").state)
        time.advance(1.0 if status == 500 and len(states) == 5 else 0.0)

    assert states == [HealthState.DEGRADED] * 4 + [HealthState.DOWN, HealthState.UP]


async def test_a_spent_budget_tells_when_it_is_whole_again(time: VirtualTime) -> None:
    gate = gate_of(time, per_minute=10)
    watch = watch_of(time, gate)

    gate.observe(exchange(200, x_ratelimit_remaining="4", x_ratelimit_reset="30"))

    status = watch.status("main")
    assert status.remaining == 4
    assert status.refills_at == time.clock() + timedelta(seconds=30)


async def test_calls_that_were_let_through_and_wait_are_stopped_when_the_breaker_opens(
    time: VirtualTime,
) -> None:
    gate = gate_of(time, per_minute=100, places=2)
    set_call_context(max_wait_s=30.0)
    sent = []

    async def call() -> None:
        async with gate.slot(write=False):
            sent.append(1)
            await asyncio.sleep(0.1)
            gate.observe(exchange(503))

    results = await asyncio.gather(*(call() for _ in range(50)), return_exceptions=True)

    assert 5 <= len(sent) <= 6
    assert sum(isinstance(one, CircuitOpen) for one in results) == 50 - len(sent)
    assert gate.budget.remaining() == 100 - len(sent), "what is not sent costs nothing"


async def test_a_refresh_that_somebody_comes_to_wait_for_goes_before_other_refreshes(
    time: VirtualTime,
) -> None:
    gate = gate_of(time, places=4)
    hurries = [PriorityBoost() for _ in range(10)]
    entered: list[int] = []

    async def refresh(number: int) -> None:
        set_call_context(priority=Priority.BACKGROUND)
        set_call_context(boost=hurries[number])
        async with gate.slot(write=False):
            entered.append(number)
            await asyncio.sleep(1)

    running = [asyncio.ensure_future(refresh(number)) for number in range(10)]
    await turns()
    hurries[8].request(max_wait_s=5.0)
    hurries[9].request(max_wait_s=5.0)
    await turns()
    at_once = list(entered)
    running[1].cancel()
    await asyncio.wait(running)

    assert at_once == [0, 8, 9]
    assert sorted(entered) == [0, *range(2, 10)]
    await asyncio.gather(*(pass_through(gate, exchange()) for _ in range(8)))


async def test_a_second_sending_is_counted(time: VirtualTime) -> None:
    gate = gate_of(time, per_minute=2)
    set_call_context(max_wait_s=0.0)

    async with gate.slot(write=False):
        await gate.count_resend()
        left = gate.budget.remaining()
        with pytest.raises(ProviderRateLimited):
            await gate.count_resend()

    assert left == 0
