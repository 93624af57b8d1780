"""A connector's status can be kept: its changes are counted, and its end by time is known."""

import asyncio
import inspect
import math
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import ErrorCode, GatewayError
from balance_gateway.domain.health import ConnectorStatus
from balance_gateway.pipeline.calls.call_gate import ConnectorGate
from balance_gateway.pipeline.calls.circuit_breaker import CircuitBreaker
from balance_gateway.pipeline.calls.health_tracker import HealthTracker
from balance_gateway.pipeline.calls.rate_limiter import RateLimiter
from balance_gateway.pipeline.calls.sliding_window import (
    WINDOW_S,
    MemorySlidingWindow,
    SharedSlidingWindow,
    SlidingWindow,
)
from balance_gateway.ports.call_context import Priority, set_call_context
from balance_gateway.ports.provider_call import ProviderCall

START_S = 1_778_155_200.1


class Clocks:
    """A monotonic and a wall clock that advance together, unless a test adjusts the latter."""

    def __init__(self) -> None:
        self.past_s = 0.0
        self.adjusted_s = 0.0

    def monotonic(self) -> float:
        return 1000.3 + self.past_s

    def wall_s(self) -> float:
        return START_S + self.past_s + self.adjusted_s

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.wall_s(), UTC)


class SlowWindow:
    """Keeps every call, and looks at all of them each time."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self.calls: list[float] = []
        self.changes = 0

    def counted(self) -> list[float]:
        return [one for one in self.calls if one + WINDOW_S > self.monotonic()]

    async def acquire(self, limit: int) -> float:
        counted = self.counted()
        if len(counted) >= limit:
            return counted[len(counted) - limit] + WINDOW_S - self.monotonic()
        self.calls.append(self.monotonic())
        return 0.0

    def block(self, seconds: float) -> None:
        pass

    def recount_late_call(self, age_s: float) -> None:
        if age_s < WINDOW_S:
            self.calls.remove(self.counted()[0])
        self.calls.append(self.monotonic())

    def count_used(self) -> int:
        return len(self.counted())

    def next_expiry_s(self) -> float:
        return self.monotonic()

    def empty_from_s(self) -> float:
        return max((one + WINDOW_S for one in self.counted()), default=0.0)


class Store:
    """A shared counter that always gives the same result."""

    def __init__(self, result: float | None) -> None:
        self.result = result

    async def acquire(self, _limit: int) -> float | None:
        return self.result

    async def block(self, seconds: float) -> None: ...

    async def recount_late_call(self, age_s: float) -> None: ...


class Connector:
    """A gate and a tracker on fake clocks, and the operations that reach them."""

    def __init__(self, per_minute: int | None, clocks: Clocks, window: Any = None) -> None:
        self.clocks = clocks
        self.window = window or MemorySlidingWindow(clocks.monotonic)
        self.limiter = RateLimiter(
            per_minute, self.window, monotonic=clocks.monotonic, wall_s=clocks.wall_s
        )
        self.breaker = CircuitBreaker(
            monotonic=clocks.monotonic, wall_s=clocks.wall_s, jitter=lambda: 1.0
        )
        self.gate = ConnectorGate("main", self.breaker, self.limiter, 64)
        self.tracker = HealthTracker({"main": self.gate}, clocks.now)
        self.started: list[Any] = []

    def status(self) -> ConnectorStatus:
        return self.tracker.status("main")

    def changes(self) -> int:
        return self.tracker.count_changes("main")

    async def start_call(self, priority: Priority) -> None:
        set_call_context(priority=priority, max_wait_s=0.0)
        slot = self.gate.slot(write=False)
        try:
            # Each call has a context of its own, as in a task of its own.
            context = copy_context()
            await asyncio.create_task(slot.__aenter__(), context=context)
        except GatewayError:
            return
        self.started.append((slot, context))
        if len(self.started) > 6:
            await self.end_call(200, {})

    async def end_call(self, status: int | None, headers: dict[str, str]) -> None:
        slot, context = self.started.pop(0) if self.started else (None, copy_context())
        context.run(self.observe, status, headers)
        if slot is not None:
            await asyncio.create_task(slot.__aexit__(None, None, None), context=context)

    def observe(self, status: int | None, headers: dict[str, str]) -> None:
        outcome = "PROVIDER_TIMEOUT" if status is None else "ok" if status == 200 else "refused"
        call = ProviderCall(
            "main", ProviderKind.LIGHT, "read", False, outcome, status, 0.1, headers
        )
        self.gate.observe(call)
        self.tracker.observe(call)


def make_shared(per_minute: int | None, clocks: Clocks, store_result: float | None) -> Connector:
    local = MemorySlidingWindow(clocks.monotonic)
    return Connector(per_minute, clocks, SharedSlidingWindow(Store(store_result), local))


REPORTS = st.builds(
    lambda left, limit, reset_s: {
        "x-ratelimit-remaining": str(left),
        "x-ratelimit-limit": str(limit),
        "x-ratelimit-reset": str(reset_s),
    },
    st.integers(0, 4),
    st.sampled_from([3, 100]),
    st.sampled_from([1, 2, 30, 61, 1_778_155_230]),
)
REFUSALS = st.sampled_from([{}, {"retry-after": "3"}, {"retry-after": "70"}])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.sampled_from(list(Priority))),
        st.tuples(st.just("end"), st.tuples(st.just(200), st.one_of(st.just({}), REPORTS))),
        st.tuples(st.just("end"), st.tuples(st.sampled_from([429, 503]), REFUSALS)),
        st.tuples(st.just("end"), st.tuples(st.sampled_from([500, 404, None]), st.just({}))),
        st.tuples(st.just("fail"), st.integers(1, 5)),
        st.tuples(st.just("pass"), st.floats(0.0, 70.0)),
        st.tuples(st.just("pass"), st.sampled_from([0.0, 1e-6, 0.5, 1.0, 2.0, 30.0, WINDOW_S])),
        # Shortly before the status can change by time, and at the change itself.
        st.tuples(st.just("pass until it changes"), st.sampled_from([-1e-6, 0.0, 0.001, 0.002])),
    ),
    max_size=40,
)


async def take(connector: Connector, kind: str, value: Any) -> None:
    if kind == "start":
        await connector.start_call(value)
    elif kind == "end":
        await connector.end_call(*value)
    elif kind == "fail":
        for _ in range(value):
            await connector.start_call(Priority.FOREGROUND)
            await connector.end_call(500, {})


@settings(max_examples=400, deadline=None)
@given(per_minute=st.sampled_from([None, 1, 3, 100]), steps=STEPS)
def test_a_status_stays_equal_until_its_end_without_an_event(
    per_minute: int | None, steps: list[tuple[str, Any]]
) -> None:
    clocks = Clocks()
    connector = Connector(per_minute, clocks)
    looks: list[tuple[int, ConnectorStatus]] = []

    async def run() -> None:
        for kind, value in steps:
            await take(connector, kind, value)
            if kind == "pass":
                clocks.past_s += value
            elif kind == "pass until it changes":
                until_s = connector.status().unchanged_until_s
                if math.isfinite(until_s):
                    clocks.past_s = max(clocks.past_s, until_s + value - START_S)
            changes, status = connector.changes(), connector.status()
            for earlier_changes, earlier in looks:
                if earlier_changes == changes and clocks.wall_s() < earlier.unchanged_until_s:
                    assert status == earlier
            looks.append((changes, status))

    asyncio.run(run())


@settings(max_examples=400, deadline=None)
@given(per_minute=st.sampled_from([None, 1, 3, 100]), steps=STEPS)
def test_a_status_is_that_of_the_slow_version(
    per_minute: int | None, steps: list[tuple[str, Any]]
) -> None:
    clocks = Clocks()
    fast = Connector(per_minute, clocks)
    slow = Connector(per_minute, clocks, SlowWindow(clocks.monotonic))

    async def run() -> None:
        for kind, value in steps:
            await take(fast, kind, value)
            await take(slow, kind, value)
            clocks.past_s += value if kind == "pass" else 0.0
            assert fast.status() == slow.status()
            left_s, at = fast.limiter.refills_in_s(), fast.status().refills_at
            assert (left_s is None) == (at is None)
            if left_s is not None and at is not None:
                assert abs(at - clocks.now() - timedelta(seconds=left_s)) < timedelta(seconds=1e-4)

    asyncio.run(run())


@pytest.mark.parametrize("is_late", [False, True])
async def test_the_refill_follows_an_adjusted_clock_at_the_next_event(is_late: bool) -> None:
    clocks = Clocks()
    connector = Connector(60, clocks)
    called_s = await connector.limiter.acquire()
    clocks.past_s += 5.0
    clocks.adjusted_s = 3600.0

    if is_late:
        connector.limiter.record_end(called_s)
    else:
        await connector.limiter.acquire()

    at = connector.status().refills_at
    assert at is not None
    assert abs(at - clocks.now() - timedelta(seconds=WINDOW_S)) < timedelta(seconds=1e-4)


async def test_the_refill_is_the_same_when_the_clocks_are_read_apart() -> None:
    """It differed by microseconds between two looks, although nothing had happened."""
    clocks = Clocks()
    connector = Connector(60, clocks)
    await connector.limiter.acquire()
    before = connector.status()

    clocks.adjusted_s = 0.00001

    assert connector.status() == before


async def test_a_connector_without_calls_keeps_its_status_for_ever() -> None:
    assert Connector(60, Clocks()).status().unchanged_until_s == math.inf


@pytest.mark.parametrize(
    ("status", "headers", "for_s"),
    [
        (429, {"retry-after": "20"}, 20),
        (503, {"retry-after": "20"}, 20),
        (200, {"x-ratelimit-remaining": "9", "x-ratelimit-reset": "20"}, 20),
        (200, {}, WINDOW_S - 10),
    ],
)
async def test_a_status_ends_when_a_limit_or_a_call_does(
    status: int, headers: dict[str, str], for_s: float
) -> None:
    clocks = Clocks()
    connector = Connector(60, clocks)
    await connector.start_call(Priority.FOREGROUND)
    clocks.past_s += 5
    await connector.start_call(Priority.FOREGROUND)
    clocks.past_s += 5

    connector.observe(status, headers)

    end_s = connector.status().unchanged_until_s
    assert end_s == pytest.approx(clocks.wall_s() + for_s, abs=0.01)


async def test_a_late_call_that_has_expired_replaces_no_other_call() -> None:
    """An expired late call was replaced by a younger one that still counted: one call too few."""
    clocks = Clocks()
    connector = Connector(60, clocks)
    late_s = await connector.limiter.acquire()
    clocks.past_s += 30
    await connector.limiter.acquire()
    clocks.past_s += 32
    looked = connector.status().remaining

    connector.limiter.record_end(late_s)

    assert (looked, connector.status().remaining) == (59, 58)


def list_state(value: object) -> Iterator[object]:
    """Yield the data of an object, and of the objects of the package that it holds."""
    if isinstance(value, dict):
        for one in value.values():
            yield from list_state(one)
    elif isinstance(value, deque):
        yield tuple(value)
    elif value is None or isinstance(value, bool | int | float | str | Enum | datetime):
        yield value
    elif type(value).__module__.startswith("balance_gateway.pipeline.calls"):
        names = [*getattr(value, "__slots__", ()), *getattr(value, "__dict__", ())]
        for name in names:
            if name not in {"changes", "_changes"}:
                yield name
                yield from list_state(getattr(value, name))


async def attempt(step: Callable[[], Any]) -> None:
    try:
        if inspect.isawaitable(result := step()):
            await result
    except GatewayError:
        pass


def list_window_operations(window: SlidingWindow) -> dict[str, Callable[[], Any]]:
    return {
        "acquire": lambda: window.acquire(4),
        "acquire_now": lambda: window.acquire_now(4),
        "block": lambda: window.block(3.0),
        "recount_late_call": lambda: window.recount_late_call(2.0),
        "count_used": window.count_used,
        "next_expiry_s": window.next_expiry_s,
        "empty_from_s": window.empty_from_s,
    }


def list_operations(connector: Connector) -> dict[str, dict[str, Callable[[], Any]]]:
    """Return what each public method is called with, by class."""
    limiter, breaker, tracker = connector.limiter, connector.breaker, connector.tracker
    report = {"x-ratelimit-remaining": "2", "x-ratelimit-reset": "20"}
    past_s = connector.clocks.monotonic() - 5
    generation = breaker._generation
    return {
        "SharedSlidingWindow": list_window_operations(connector.window),
        "MemorySlidingWindow": {
            **list_window_operations(connector.window._local),
            "wait_s": lambda: connector.window._local.wait_s(2),
        },
        "RateLimiter": {
            "copy_with_limit": lambda: limiter.copy_with_limit(5),
            "acquire": limiter.acquire,
            "try_acquire": limiter.try_acquire,
            "try_acquire_now": limiter.try_acquire_now,
            "wait": lambda: limiter.wait(0.0, math.inf),
            "compute_give_up_s": limiter.compute_give_up_s,
            "now_s": limiter.now_s,
            "record_end": lambda: limiter.record_end(past_s),
            "observe": lambda: limiter.observe(200, report),
            "observe a refusal": lambda: limiter.observe(429, {"retry-after": "3"}),
            "refills_in_s": limiter.refills_in_s,
            "refills_at_s": limiter.refills_at_s,
            "unchanged_for_s": limiter.unchanged_for_s,
            "remaining": limiter.remaining,
        },
        "CircuitBreaker": {
            "enter": breaker.enter,
            "recheck": lambda: breaker.recheck(generation),
            "record_outcome": lambda: breaker.record_outcome(generation, healthy=True),
            "record_outcome failed": lambda: breaker.record_outcome(generation, healthy=False),
            "record_outcome unknown": lambda: breaker.record_outcome(generation, healthy=None),
        },
        "HealthTracker": {
            "record_success": lambda: tracker.record_success("main"),
            "record_failure": lambda: tracker.record_failure("main", ErrorCode.PROVIDER_TIMEOUT),
            "observe": lambda: tracker.observe(
                ProviderCall("main", ProviderKind.LIGHT, "read", False, "ok", 200, 0.1, {})
            ),
            "status": lambda: tracker.status("main"),
            "count_changes": lambda: tracker.count_changes("main"),
        },
    }


CLASSES = [SharedSlidingWindow, MemorySlidingWindow, RateLimiter, CircuitBreaker, HealthTracker]
NAMES = [
    (kind, name)
    for kind, operations in list_operations(make_shared(3, Clocks(), 0.0)).items()
    for name in operations
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_public_method_is_among_the_tried_operations(kind: type) -> None:
    """A new method that changes the state would otherwise not be seen to raise the counter."""
    methods = {
        name for name, value in vars(kind).items() if callable(value) and not name.startswith("_")
    }

    assert methods == {name.split()[0] for owner, name in NAMES if owner == kind.__name__}


@settings(max_examples=400, deadline=None)
@given(
    per_minute=st.sampled_from([None, 3, 100]),
    store_result=st.sampled_from([0.0, 2.0, None]),
    failures=st.sampled_from([0, 5]),
    steps=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([0.0, 0.6, 3.0, 40.0]))),
)
def test_every_change_of_the_state_raises_the_count(
    per_minute: int | None,
    store_result: float | None,
    failures: int,
    steps: list[tuple[tuple[str, str], float]],
) -> None:
    clocks = Clocks()
    connector = make_shared(per_minute, clocks, store_result)

    def look() -> tuple[ConnectorStatus, list[object]]:
        # Calls that have expired are forgotten at a look.
        connector.window.count_used()
        return connector.status(), list(list_state(connector.tracker))

    async def run() -> None:
        set_call_context(max_wait_s=0.0)
        for _ in range(failures):
            connector.breaker.record_outcome(0, healthy=False)
        for (kind, name), passed_s in steps:
            clocks.past_s += passed_s
            before, changes = look(), connector.changes()
            await attempt(list_operations(connector)[kind][name])
            assert connector.changes() >= changes
            if connector.changes() == changes:
                assert look() == before, f"{kind}.{name} is not counted"

    asyncio.run(run())


async def test_the_state_that_is_compared_is_complete() -> None:
    """Otherwise a change could hide in an attribute of a type that is not compared."""
    connector = make_shared(3, Clocks(), 0.0)

    state = set(map(str, list_state(connector.tracker)))

    parts = [connector.limiter, connector.breaker, connector.window._local]
    attributes = {name for part in parts for name, one in vars(part).items() if not callable(one)}
    assert attributes - {"changes", "_changes"} <= state
    assert {"failures_in_row", "last_success_at", "last_failure_at", "last_failure_code"} <= state
