"""The circuit breaker: its state transitions and the outcomes that cause them."""

import pytest

from balance_gateway.domain.errors import ProviderUnavailable
from balance_gateway.pipeline.calls.circuit_breaker import BreakerState, CircuitBreaker

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


class ManualClock:
    """A monotonic clock that a test advances."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def breaker(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker(monotonic=clock, jitter=lambda: 1.0)


def call(breaker: CircuitBreaker, healthy: bool | None) -> None:
    breaker.record_outcome(breaker.enter(), healthy=healthy)


def fail(breaker: CircuitBreaker, times: int = 5) -> None:
    for _ in range(times):
        call(breaker, False)


def test_it_opens_after_five_failures_in_a_row(breaker: CircuitBreaker) -> None:
    fail(breaker, 4)
    before = breaker.state

    fail(breaker, 1)

    assert (before, breaker.state) == (CLOSED, OPEN)


def test_a_success_resets_the_failures_in_a_row(breaker: CircuitBreaker) -> None:
    fail(breaker, 4)

    call(breaker, True)
    fail(breaker, 4)

    assert breaker.state is CLOSED


def test_it_opens_when_half_of_the_last_twenty_calls_failed(breaker: CircuitBreaker) -> None:
    for _ in range(9):
        call(breaker, True)
        call(breaker, False)
    before = breaker.state

    call(breaker, True)
    call(breaker, False)

    assert (before, breaker.state) == (CLOSED, OPEN)


def test_old_failures_no_longer_count(breaker: CircuitBreaker) -> None:
    for _ in range(30):
        fail(breaker, 1)
        for _ in range(2):
            call(breaker, True)

    assert breaker.state is CLOSED


def test_it_says_since_when_it_is_open_and_when_it_retries() -> None:
    clock, wall = ManualClock(), ManualClock()
    wall.now_s += 1_800_000_000
    breaker = CircuitBreaker(monotonic=clock, wall_s=wall, jitter=lambda: 1.0)
    start_s = wall()
    seen = [(breaker.down_since_s, breaker.retry_at_s)]

    fail(breaker)
    seen.append((breaker.down_since_s, breaker.retry_at_s))
    clock.now_s += 3
    wall.now_s += 3
    call(breaker, False)
    seen.append((breaker.down_since_s, breaker.retry_at_s))
    clock.now_s += 3
    call(breaker, True)
    seen.append((breaker.down_since_s, breaker.retry_at_s))

    assert seen == [
        (None, None),
        (start_s, start_s + 1),
        (start_s, start_s + 5),  # the failed probe doubles the pause
        (None, None),
    ]


def test_neutral_outcomes_change_nothing(breaker: CircuitBreaker) -> None:
    fail(breaker, 4)

    for _ in range(30):
        call(breaker, None)
    still_closed = breaker.state
    fail(breaker, 1)

    assert (still_closed, breaker.state) == (CLOSED, OPEN)


def test_calls_to_an_open_breaker_fail_with_a_retry_time(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    fail(breaker)
    clock.now_s += 0.4

    with pytest.raises(ProviderUnavailable) as caught:
        breaker.enter()

    assert caught.value.retry_after_s == 1
    assert not caught.value.maybe_applied


def test_one_call_at_a_time_probes_after_the_pause(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    fail(breaker)
    clock.now_s += 1.0
    state = breaker.state

    breaker.enter()

    assert state is HALF_OPEN
    with pytest.raises(ProviderUnavailable):
        breaker.enter()


def test_a_successful_probe_closes_it_and_resets_the_count(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    fail(breaker)
    clock.now_s += 1.0

    call(breaker, True)
    state = breaker.state
    fail(breaker, 4)

    assert (state, breaker.state) == (CLOSED, CLOSED)


def test_failures_from_before_it_opened_do_not_count_again(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    for _ in range(10):
        call(breaker, True)
        call(breaker, False)
    clock.now_s += 1.0
    call(breaker, True)

    fail(breaker, 4)

    assert breaker.state is CLOSED


def test_a_failed_probe_doubles_the_pause(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker)
    states = []
    for pause_s in (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
        clock.now_s += pause_s - 0.001
        states.append(breaker.state)
        clock.now_s += 0.001
        states.append(breaker.state)
        call(breaker, False)

    assert states == [OPEN, HALF_OPEN] * 7


def test_the_first_pause_after_closing_is_short_again(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    fail(breaker)
    for pause_s in (1.0, 2.0, 4.0):
        clock.now_s += pause_s
        call(breaker, pause_s == 4.0)

    fail(breaker)
    clock.now_s += 1.0

    assert breaker.state is HALF_OPEN


def test_a_neutral_probe_lets_the_next_call_probe(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    fail(breaker)
    clock.now_s += 1.0

    call(breaker, None)
    state = breaker.state
    call(breaker, True)

    assert (state, breaker.state) == (HALF_OPEN, CLOSED)


def test_a_probe_without_an_outcome_is_replaced_after_a_while(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    fail(breaker)
    clock.now_s += 1.0
    breaker.enter()
    clock.now_s += 29.9
    with pytest.raises(ProviderUnavailable):
        breaker.enter()

    clock.now_s += 0.2
    call(breaker, True)

    assert breaker.state is CLOSED


@pytest.mark.parametrize("healthy", [True, False])
def test_outcomes_of_calls_from_before_the_last_change_have_no_effect(
    breaker: CircuitBreaker, clock: ManualClock, healthy: bool
) -> None:
    late = [breaker.enter() for _ in range(10)]
    fail(breaker)
    clock.now_s += 1.0
    probe = breaker.enter()

    for generation in late:
        breaker.record_outcome(generation, healthy=healthy)

    assert breaker.state is HALF_OPEN
    with pytest.raises(ProviderUnavailable):
        breaker.enter()
    breaker.record_outcome(probe, healthy=True)
    assert breaker.state is CLOSED


def test_late_failures_do_not_reopen_a_closed_breaker(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    late = [breaker.enter() for _ in range(10)]
    fail(breaker)
    clock.now_s += 1.0
    call(breaker, True)

    for generation in late:
        breaker.record_outcome(generation, healthy=False)

    assert breaker.state is CLOSED


def test_replicas_probe_at_different_times(clock: ManualClock) -> None:
    ends = []
    for _ in range(20):
        breaker = CircuitBreaker(monotonic=clock)
        fail(breaker)
        ends.append(breaker._open_until_s)

    assert len(set(ends)) > 10
    assert all(100.5 <= end <= 101.0 for end in ends if end is not None)
