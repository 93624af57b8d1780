"""The circuit breaker: each transition of its drawing, and who may change its state."""

import pytest

from balance_gateway.domain.errors import ProviderUnavailable
from balance_gateway.pipeline.calls.circuit_breaker import BreakerState, CircuitBreaker

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


class Seconds:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def breaker(seconds: Seconds) -> CircuitBreaker:
    return CircuitBreaker(monotonic=seconds, jitter=lambda: 1.0)


def call(breaker: CircuitBreaker, healthy: bool | None) -> None:
    breaker.leave(breaker.enter(), healthy=healthy)


def fail(breaker: CircuitBreaker, times: int = 5) -> None:
    for _ in range(times):
        call(breaker, False)


def test_it_opens_after_five_failures_in_a_row(breaker: CircuitBreaker) -> None:
    fail(breaker, 4)
    before = breaker.state

    fail(breaker, 1)

    assert (before, breaker.state) == (CLOSED, OPEN)


def test_a_success_begins_the_row_anew(breaker: CircuitBreaker) -> None:
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


def test_failures_of_long_ago_no_longer_count(breaker: CircuitBreaker) -> None:
    for _ in range(30):
        fail(breaker, 1)
        for _ in range(2):
            call(breaker, True)

    assert breaker.state is CLOSED


def test_what_says_nothing_about_health_changes_nothing(breaker: CircuitBreaker) -> None:
    fail(breaker, 4)

    for _ in range(30):
        call(breaker, None)
    still_closed = breaker.state
    fail(breaker, 1)

    assert (still_closed, breaker.state) == (CLOSED, OPEN)


def test_while_open_calls_fail_at_once_and_are_told_when_to_come_back(
    breaker: CircuitBreaker, seconds: Seconds
) -> None:
    fail(breaker)
    seconds.now_s += 0.4

    with pytest.raises(ProviderUnavailable) as caught:
        breaker.enter()

    assert caught.value.retry_after_s == 1
    assert not caught.value.maybe_applied


def test_after_the_pause_one_call_probes_at_a_time(
    breaker: CircuitBreaker, seconds: Seconds
) -> None:
    fail(breaker)
    seconds.now_s += 1.0
    state = breaker.state

    breaker.enter()

    assert state is HALF_OPEN
    with pytest.raises(ProviderUnavailable):
        breaker.enter()


def test_a_probe_that_succeeds_closes_it_and_forgets(
    breaker: CircuitBreaker, seconds: Seconds
) -> None:
    fail(breaker)
    seconds.now_s += 1.0

    call(breaker, True)
    state = breaker.state
    fail(breaker, 4)

    assert (state, breaker.state) == (CLOSED, CLOSED)


def test_failures_from_before_it_opened_do_not_count_again(
    breaker: CircuitBreaker, seconds: Seconds
) -> None:
    for _ in range(10):
        call(breaker, True)
        call(breaker, False)
    seconds.now_s += 1.0
    call(breaker, True)

    fail(breaker, 4)

    assert breaker.state is CLOSED


def test_a_probe_that_fails_opens_it_for_twice_as_long(
    breaker: CircuitBreaker, seconds: Seconds
) -> None:
    fail(breaker)
    states = []
    for pause_s in (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
        seconds.now_s += pause_s - 0.001
        states.append(breaker.state)
        seconds.now_s += 0.001
        states.append(breaker.state)
        call(breaker, False)

    assert states == [OPEN, HALF_OPEN] * 7


def test_after_it_closed_the_first_pause_is_short_again(
    breaker: CircuitBreaker, seconds: Seconds
) -> None:
    fail(breaker)
    for pause_s in (1.0, 2.0, 4.0):
        seconds.now_s += pause_s
        call(breaker, pause_s == 4.0)

    fail(breaker)
    seconds.now_s += 1.0

    assert breaker.state is HALF_OPEN


def test_a_probe_that_says_nothing_lets_the_next_one_try(
    breaker: CircuitBreaker, seconds: Seconds
) -> None:
    fail(breaker)
    seconds.now_s += 1.0

    call(breaker, None)
    state = breaker.state
    call(breaker, True)

    assert (state, breaker.state) == (HALF_OPEN, CLOSED)


def test_a_probe_that_is_never_heard_of_is_replaced_after_a_while(
    breaker: CircuitBreaker, seconds: Seconds
) -> None:
    fail(breaker)
    seconds.now_s += 1.0
    breaker.enter()
    seconds.now_s += 29.9
    with pytest.raises(ProviderUnavailable):
        breaker.enter()

    seconds.now_s += 0.2
    call(breaker, True)

    assert breaker.state is CLOSED


@pytest.mark.parametrize("healthy", [True, False])
def test_answers_to_calls_from_before_the_last_change_change_nothing(
    breaker: CircuitBreaker, seconds: Seconds, healthy: bool
) -> None:
    late = [breaker.enter() for _ in range(10)]
    fail(breaker)
    seconds.now_s += 1.0
    probe = breaker.enter()

    for generation in late:
        breaker.leave(generation, healthy=healthy)

    assert breaker.state is HALF_OPEN
    with pytest.raises(ProviderUnavailable):
        breaker.enter()
    breaker.leave(probe, healthy=True)
    assert breaker.state is CLOSED


def test_late_failures_do_not_open_what_a_probe_has_closed(
    breaker: CircuitBreaker, seconds: Seconds
) -> None:
    late = [breaker.enter() for _ in range(10)]
    fail(breaker)
    seconds.now_s += 1.0
    call(breaker, True)

    for generation in late:
        breaker.leave(generation, healthy=False)

    assert breaker.state is CLOSED


def test_replicas_do_not_probe_all_at_once(seconds: Seconds) -> None:
    ends = []
    for _ in range(20):
        breaker = CircuitBreaker(monotonic=seconds)
        fail(breaker)
        ends.append(breaker._open_until_s)

    assert len(set(ends)) > 10
    assert all(100.5 <= end <= 101.0 for end in ends if end is not None)
