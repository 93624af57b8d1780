"""The gate of a connector, and the health tracker that observes its exchanges."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import CircuitOpen, ProviderRateLimited, ProviderUnavailable
from balance_gateway.domain.health import HealthState
from balance_gateway.pipeline.calls.call_gate import ConnectorGate
from balance_gateway.pipeline.calls.circuit_breaker import BreakerState, CircuitBreaker
from balance_gateway.pipeline.calls.health_tracker import HealthTracker
from balance_gateway.pipeline.calls.rate_limiter import RateLimiter
from balance_gateway.pipeline.calls.sliding_window import MemorySlidingWindow
from balance_gateway.ports.call_context import (
    Priority,
    PriorityBoost,
    breaker_generation,
    current_call,
    set_call_context,
)
from balance_gateway.ports.provider_call import ProviderCall
from tests.pipeline.fakes import run_pending_tasks
from tests.pipeline.virtual_time import VirtualTime


def make_gate(time: VirtualTime, per_minute: int | None = None, slots: int = 8) -> ConnectorGate:
    window = MemorySlidingWindow(time.monotonic)
    limiter = RateLimiter(per_minute, window, monotonic=time.monotonic, wall_s=time.wall_s)
    breaker = CircuitBreaker(monotonic=time.monotonic, jitter=lambda: 1.0)
    return ConnectorGate("main", breaker, limiter, slots)


def make_call(status: int | None = 200, outcome: str | None = None, **headers: str) -> ProviderCall:
    if outcome is None:
        outcome = "PROVIDER_UNAVAILABLE" if status is None else "ok"
        outcome = "refused" if status is not None and status >= 400 else outcome
    by_name = {name.replace("_", "-"): value for name, value in headers.items()}
    return ProviderCall("main", ProviderKind.LIGHT, "read", False, outcome, status, 0.1, by_name)


async def pass_through(gate: ConnectorGate, call: ProviderCall | None) -> None:
    async with gate.slot(write=False):
        if call is not None:
            gate.observe(call)


async def test_failures_open_the_breaker_and_no_call_is_sent(time: VirtualTime) -> None:
    gate = make_gate(time)
    for _ in range(5):
        await pass_through(gate, make_call(None))

    with pytest.raises(ProviderUnavailable):
        await pass_through(gate, make_call())

    assert gate.breaker.state is BreakerState.OPEN


@pytest.mark.parametrize(
    ("call", "opens"),
    [
        (make_call(500), True),
        (make_call(503), True),
        (make_call(None), True),
        (make_call(400), False),
        (make_call(401), False),
        (make_call(404), False),
        (make_call(429, retry_after="0"), False),
        (make_call(None, "cancelled"), False),
        (make_call(200, "cancelled"), False),
        (make_call(302, "redirected"), False),
        (None, False),
    ],
    ids=str,
)
async def test_only_outcomes_that_show_health_open_the_breaker(
    time: VirtualTime, call: ProviderCall | None, opens: bool
) -> None:
    gate = make_gate(time)

    for _ in range(5):
        await pass_through(gate, call)

    assert (gate.breaker.state is BreakerState.OPEN) is opens


async def test_breaker_changes_and_refused_calls_are_logged(
    time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "balance_gateway.pipeline.calls.call_gate")
    gate = await make_half_open_gate(time)
    with pytest.raises(ProviderUnavailable):
        async with gate.slot(write=False):
            await pass_through(gate, make_call())
    time.advance(1.0)
    await pass_through(gate, make_call(200))

    events = [(record.message, record.__dict__["connector"]) for record in caplog.records]
    assert events == [
        ("breaker.opened", "main"),
        ("provider.held_back", "main"),
        ("breaker.closed", "main"),
    ]
    assert caplog.records[1].__dict__["code"] == "PROVIDER_UNAVAILABLE"


async def make_half_open_gate(time: VirtualTime, **more: Any) -> ConnectorGate:
    gate = make_gate(time, **more)
    for _ in range(5):
        await pass_through(gate, make_call(500))
    time.advance(1.0)
    return gate


async def test_only_one_of_many_concurrent_calls_probes(time: VirtualTime) -> None:
    gate = await make_half_open_gate(time)
    sent = []

    async def call() -> None:
        async with gate.slot(write=False):
            sent.append(1)
            await asyncio.sleep(0.5)
            gate.observe(make_call(200))

    results = await asyncio.gather(*(call() for _ in range(20)), return_exceptions=True)

    assert len(sent) == 1
    assert sum(isinstance(result, ProviderUnavailable) for result in results) == 19
    assert gate.breaker.state is BreakerState.CLOSED


async def test_a_probe_without_an_exchange_lets_the_next_call_probe(
    time: VirtualTime,
) -> None:
    gate = await make_half_open_gate(time)
    gate.rate_limiter.observe(429, {"retry-after": "5"})
    set_call_context(max_wait_s=0.0)

    with pytest.raises(ProviderRateLimited):
        await pass_through(gate, make_call())
    with pytest.raises(ProviderRateLimited):
        await pass_through(gate, make_call())

    assert gate.breaker.state is BreakerState.HALF_OPEN


async def test_concurrent_calls_never_exceed_the_slots(time: VirtualTime) -> None:
    gate = make_gate(time, slots=4)
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


async def test_a_call_without_a_free_slot_in_time_is_refused_and_leaks_none(
    time: VirtualTime,
) -> None:
    gate = make_gate(time, slots=1)
    set_call_context(max_wait_s=5.0)
    may_end = asyncio.Event()

    async def hold() -> None:
        async with gate.slot(write=False):
            await may_end.wait()

    holder = asyncio.ensure_future(hold())
    await run_pending_tasks()
    started_s = time.monotonic()
    with pytest.raises(ProviderUnavailable):
        await pass_through(gate, make_call())
    waited_s = time.monotonic() - started_s
    may_end.set()
    await holder

    await pass_through(gate, make_call())
    assert waited_s == pytest.approx(5.0)


@pytest.mark.parametrize("priority", Priority)
async def test_a_call_cancelled_while_waiting_leaks_no_slot(
    time: VirtualTime, priority: Priority
) -> None:
    gate = make_gate(time, slots=1)
    may_end = asyncio.Event()

    async def hold() -> None:
        async with gate.slot(write=False):
            await may_end.wait()

    async def call() -> None:
        set_call_context(priority=priority)
        await pass_through(gate, make_call())

    holder = asyncio.ensure_future(hold())
    await run_pending_tasks()
    waiting = [asyncio.ensure_future(call()) for _ in range(3)]
    await run_pending_tasks()
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    may_end.set()
    await holder

    await asyncio.gather(call(), call(), call())
    assert gate.breaker.state is BreakerState.CLOSED


async def test_background_reads_hold_a_quarter_of_the_slots_and_writes_do_not_count(
    time: VirtualTime,
) -> None:
    gate = make_gate(time, slots=8)
    entered: list[str] = []

    async def call(name: str, priority: Priority, write: bool) -> None:
        set_call_context(priority=priority)
        async with gate.slot(write=write):
            entered.append(name)
            await asyncio.sleep(1)

    tasks = [call("refresh", Priority.BACKGROUND, False) for _ in range(8)]
    tasks += [call("write", Priority.BACKGROUND, True), call("read", Priority.FOREGROUND, False)]
    running = [asyncio.ensure_future(task) for task in tasks]
    await run_pending_tasks()
    at_once = sorted(entered)
    await asyncio.gather(*running)

    assert at_once == ["read", "refresh", "refresh", "write"]
    assert len(entered) == 10


async def test_the_rate_limiter_observes_every_exchange(time: VirtualTime) -> None:
    gate = make_gate(time, per_minute=10)

    await pass_through(gate, make_call(429, retry_after="90"))

    assert gate.rate_limiter.remaining() == 0
    assert gate.rate_limiter.refills_in_s() == 90


@pytest.mark.parametrize(
    "call",
    [
        make_call(200, x_ratelimit_remaining="0", x_ratelimit_reset="300"),
        make_call(429, retry_after="300"),
        make_call(503, retry_after="300"),
    ],
)
async def test_a_token_endpoint_s_limit_delays_no_other_call(
    time: VirtualTime, call: ProviderCall
) -> None:
    """A token response with nothing left once refused all balances for five minutes."""
    gate = make_gate(time, per_minute=10)
    changes = gate.rate_limiter.changes

    gate.observe(call._replace(is_token_request=True))

    assert gate.rate_limiter.remaining() == 10
    assert gate.rate_limiter.changes == changes


async def test_an_outcome_outside_a_slot_does_not_reach_the_breaker(time: VirtualTime) -> None:
    gate = make_gate(time)

    for _ in range(20):
        gate.observe(make_call(500))

    assert gate.breaker.state is BreakerState.CLOSED


def make_tracker(time: VirtualTime, gate: ConnectorGate) -> HealthTracker:
    return HealthTracker({"main": gate}, time.clock)


async def test_a_connector_without_calls_has_unknown_health(time: VirtualTime) -> None:
    tracker = make_tracker(time, make_gate(time, per_minute=60))

    status = tracker.status("main")

    assert status.state is HealthState.UNKNOWN
    assert (status.requests_per_minute, status.remaining, status.refills_at) == (60, 60, None)
    assert (status.last_success_at, status.last_failure_at) == (None, None)


@pytest.mark.parametrize(
    ("call", "state", "code"),
    [
        (make_call(200), HealthState.UP, None),
        (make_call(404), HealthState.UP, None),
        (make_call(422), HealthState.UP, None),
        (make_call(500), HealthState.DEGRADED, "PROVIDER_UNAVAILABLE"),
        (make_call(401), HealthState.DEGRADED, "PROVIDER_CREDENTIALS_REJECTED"),
        (make_call(403), HealthState.DEGRADED, "PROVIDER_CREDENTIALS_REJECTED"),
        (make_call(429), HealthState.DEGRADED, "PROVIDER_RATE_LIMITED"),
        (make_call(None, "PROVIDER_TIMEOUT"), HealthState.DEGRADED, "PROVIDER_TIMEOUT"),
        (make_call(200, "PROVIDER_BAD_RESPONSE"), HealthState.DEGRADED, "PROVIDER_BAD_RESPONSE"),
        (make_call(None, "cancelled"), HealthState.UNKNOWN, None),
        (make_call(302, "redirected"), HealthState.UNKNOWN, None),
    ],
    ids=str,
)
async def test_one_exchange_determines_the_health(
    time: VirtualTime, call: ProviderCall, state: HealthState, code: str | None
) -> None:
    tracker = make_tracker(time, make_gate(time))

    tracker.observe(call)

    status = tracker.status("main")
    assert (status.state, status.last_failure_code) == (state, code)


async def test_a_success_after_a_failure_is_up_and_both_times_are_kept(time: VirtualTime) -> None:
    tracker = make_tracker(time, make_gate(time))
    failed_at = time.clock()
    tracker.observe(make_call(503))
    time.advance(5)

    tracker.observe(make_call(200))

    status = tracker.status("main")
    assert status.state is HealthState.UP
    assert status.last_failure_at == failed_at
    assert status.last_success_at == failed_at + timedelta(seconds=5)


async def test_an_open_breaker_means_down_until_a_probe_succeeds(
    time: VirtualTime,
) -> None:
    gate = make_gate(time)
    tracker = make_tracker(time, gate)
    states = []
    for status in (500, 500, 500, 500, 500, 200):
        await pass_through(gate, make_call(status))
        tracker.observe(make_call(status))
        states.append(tracker.status("main").state)
        time.advance(1.0 if status == 500 and len(states) == 5 else 0.0)

    assert states == [HealthState.DEGRADED] * 4 + [HealthState.DOWN, HealthState.UP]


async def test_the_status_shows_when_the_reported_budget_refills(time: VirtualTime) -> None:
    gate = make_gate(time, per_minute=10)
    tracker = make_tracker(time, gate)

    gate.observe(make_call(200, x_ratelimit_remaining="4", x_ratelimit_reset="30"))

    status = tracker.status("main")
    assert status.remaining == 4
    assert status.refills_at == time.clock() + timedelta(seconds=30)


async def test_waiting_calls_are_refused_when_the_breaker_opens(
    time: VirtualTime,
) -> None:
    gate = make_gate(time, per_minute=100, slots=2)
    set_call_context(max_wait_s=30.0)
    sent = []

    async def call() -> None:
        async with gate.slot(write=False):
            sent.append(1)
            await asyncio.sleep(0.1)
            gate.observe(make_call(503))

    results = await asyncio.gather(*(call() for _ in range(50)), return_exceptions=True)

    assert 5 <= len(sent) <= 6
    assert sum(isinstance(result, CircuitOpen) for result in results) == 50 - len(sent)
    assert gate.rate_limiter.remaining() == 100 - len(sent), "an unsent call is not counted"


async def test_a_boosted_refresh_goes_before_other_refreshes(
    time: VirtualTime,
) -> None:
    gate = make_gate(time, slots=4)
    boosts = [PriorityBoost() for _ in range(10)]
    entered: list[int] = []

    async def refresh(number: int) -> None:
        set_call_context(priority=Priority.BACKGROUND)
        set_call_context(boost=boosts[number])
        async with gate.slot(write=False):
            entered.append(number)
            await asyncio.sleep(1)

    running = [asyncio.ensure_future(refresh(number)) for number in range(10)]
    await run_pending_tasks()
    boosts[8].request(max_wait_s=5.0)
    boosts[9].request(max_wait_s=5.0)
    await run_pending_tasks()
    at_once = list(entered)
    running[1].cancel()
    await asyncio.wait(running)

    assert at_once == [0, 8, 9]
    assert sorted(entered) == [0, *range(2, 10)]
    await asyncio.gather(*(pass_through(gate, make_call()) for _ in range(8)))


async def test_a_resend_counts_against_the_rate_limit(time: VirtualTime) -> None:
    gate = make_gate(time, per_minute=2)
    set_call_context(max_wait_s=0.0)

    async with gate.slot(write=False):
        await gate.count_resend()
        left = gate.rate_limiter.remaining()
        with pytest.raises(ProviderRateLimited):
            await gate.count_resend()

    assert left == 0


async def test_a_boost_inside_a_slot_survives_the_slot(time: VirtualTime) -> None:
    """Leaving a slot restores the breaker's generation only, not the caller's context."""
    gate = make_gate(time, slots=4)
    boost = PriorityBoost()
    set_call_context(priority=Priority.BACKGROUND, max_wait_s=0.0, boost=boost)

    async with gate.slot(write=False):
        outer = breaker_generation.get()
        async with make_gate(time).slot(write=False):
            boost.request(max_wait_s=5.0)
            boost.apply()
        nested, nested_generation = current_call(), breaker_generation.get()
    after = current_call()

    assert (nested.priority, nested.max_wait_s) == (Priority.FOREGROUND, 5.0)
    assert nested_generation == outer is not None
    assert (after, breaker_generation.get()) == (nested, None)


async def test_a_slot_that_needs_no_wait_is_one_of_each_kind(time: VirtualTime) -> None:
    """A read takes a slot of all calls as well, and gives both back when one is missing."""
    gate = make_gate(time, slots=4)
    taken = [gate.try_acquire(Priority.WRITE), gate.try_acquire(Priority.FOREGROUND)]
    taken += [gate.try_acquire(Priority.WRITE), gate.try_acquire(Priority.WRITE)]
    refused = [gate.try_acquire(Priority.FOREGROUND) for _ in range(5)]
    gate.release(Priority.WRITE)
    again = [gate.try_acquire(Priority.FOREGROUND), gate.try_acquire(Priority.FOREGROUND)]

    assert (taken, refused, again) == ([True] * 4, [False] * 5, [True, False])


async def test_changes_in_a_child_task_do_not_reach_its_parent() -> None:
    async def child() -> float:
        set_call_context(max_wait_s=1.0)
        return current_call().max_wait_s

    set_call_context(priority=Priority.BACKGROUND, max_wait_s=3.0)
    in_child = await asyncio.create_task(child())

    assert (in_child, current_call().max_wait_s) == (1.0, 3.0)


@pytest.mark.parametrize(
    "call", [make_call(500), make_call(503, retry_after="60"), make_call(None)]
)
async def test_failed_optional_calls_stop_no_other_calls(
    time: VirtualTime, call: ProviderCall
) -> None:
    """A listing of bank feeds that fails alone must not stop the reads of figures."""
    gate = make_gate(time, per_minute=300)

    async def call_optionally() -> None:
        set_call_context(is_optional=True)
        for _ in range(20):
            await pass_through(gate, call)

    await asyncio.create_task(call_optionally())
    await pass_through(gate, make_call())

    assert gate.breaker.state is BreakerState.CLOSED


async def test_an_exhausted_rate_limit_counts_also_from_optional_calls(time: VirtualTime) -> None:
    gate = make_gate(time, per_minute=300)

    async def call_optionally() -> None:
        set_call_context(is_optional=True)
        await pass_through(gate, make_call(429, retry_after="60"))

    await asyncio.create_task(call_optionally())

    assert gate.rate_limiter.remaining() == 0


async def test_a_call_that_waits_for_the_rate_limit_holds_no_slot(time: VirtualTime) -> None:
    """Readers that waited for the budget once held every slot, and no write was sent."""
    gate = make_gate(time, per_minute=2, slots=2)
    gate.rate_limiter.observe(429, {"retry-after": "30"})
    entered: list[str] = []

    async def read() -> None:
        set_call_context(max_wait_s=60.0)
        async with gate.slot(write=False):
            entered.append("read")

    waiting = [asyncio.ensure_future(read()) for _ in range(2)]
    await run_pending_tasks()
    is_free = not gate._slots.locked() and not gate._read_slots.locked()
    await asyncio.gather(*waiting)

    assert is_free
    assert entered == ["read", "read"]
    assert not gate._slots.locked()


@pytest.mark.parametrize("slots", [2, 8, 32])
async def test_reads_leave_slots_to_writes(time: VirtualTime, slots: int) -> None:
    gate = make_gate(time, slots=slots)
    may_end = asyncio.Event()

    async def read() -> None:
        async with gate.slot(write=False):
            await may_end.wait()

    reading = [asyncio.ensure_future(read()) for _ in range(slots * 2)]
    await run_pending_tasks()
    started_s = time.monotonic()
    async with gate.slot(write=True):
        waited_s = time.monotonic() - started_s
    may_end.set()
    await asyncio.gather(*reading)

    assert waited_s == 0.0


async def test_a_read_that_a_write_makes_has_the_slots_of_writes(time: VirtualTime) -> None:
    gate = make_gate(time, slots=2)
    may_end = asyncio.Event()
    entered: list[str] = []

    async def read(name: str, priority: Priority) -> None:
        set_call_context(priority=priority)
        async with gate.slot(write=False):
            entered.append(name)
            await may_end.wait()

    tasks = [read("read", Priority.FOREGROUND), read("read", Priority.FOREGROUND)]
    running = [asyncio.ensure_future(each) for each in (*tasks, read("check", Priority.WRITE))]
    await run_pending_tasks()
    at_once = list(entered)
    may_end.set()
    await asyncio.gather(*running)

    assert at_once == ["read", "check"]


async def test_one_slot_serves_reads_and_writes_in_turn(time: VirtualTime) -> None:
    gate = make_gate(time, slots=1)

    await pass_through(gate, make_call())
    async with gate.slot(write=True):
        is_taken = gate._slots.locked()
    await pass_through(gate, make_call())

    assert is_taken


async def test_a_resend_does_not_wait_for_the_rate_limit(time: VirtualTime) -> None:
    gate = make_gate(time, per_minute=1)
    set_call_context(max_wait_s=100.0)
    started_s = time.monotonic()

    async with gate.slot(write=False):
        with pytest.raises(ProviderRateLimited):
            await gate.count_resend()

    assert time.monotonic() == started_s
