"""The budget of calls: against a slow and obvious version, and what providers say of theirs."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balance_gateway.domain.errors import CircuitOpen, ProviderRateLimited
from balance_gateway.pipeline.calls.rate_limiter import RateLimiter
from balance_gateway.pipeline.calls.sliding_window import WINDOW_S, MemorySlidingWindow
from balance_gateway.ports.call_context import (
    Priority,
    set_call_context,
)
from tests.pipeline.virtual_time import VirtualTime


def budget_of(time: VirtualTime, per_minute: int | None) -> RateLimiter:
    window = MemorySlidingWindow(time.monotonic)
    return RateLimiter(per_minute, window, monotonic=time.monotonic, wall_s=time.wall_s)


async def takes(budget: RateLimiter) -> int:
    """How many calls are let through at once."""
    set_call_context(max_wait_s=0.0)
    count = 0
    while True:
        try:
            await budget.take()
        except ProviderRateLimited:
            return count
        count += 1
        assert count < 1000


async def refused(budget: RateLimiter) -> float | None:
    set_call_context(max_wait_s=0.0)
    with pytest.raises(ProviderRateLimited) as caught:
        await budget.take()
    return caught.value.retry_after_s


class SlowWindow:
    """Every call ever made, counted again each time."""

    def __init__(self) -> None:
        self.calls: list[float] = []

    def fits(self, now_s: float, limit: int) -> bool:
        return sum(now_s - WINDOW_S < call_s for call_s in self.calls) < limit

    def take(self, now_s: float, limit: int) -> float:
        if self.fits(now_s, limit):
            self.calls.append(now_s)
            return 0.0
        later = sorted(call_s + WINDOW_S for call_s in self.calls if call_s + WINDOW_S > now_s)
        return next(at_s for at_s in later if self.fits(at_s, limit)) - now_s


@settings(max_examples=200, deadline=None)
@given(
    limit=st.integers(1, 6),
    steps=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3)), max_size=60),
)
def test_the_window_counts_like_one_that_counts_everything(
    limit: int, steps: list[tuple[int, int]]
) -> None:
    now = [1000.0]
    window, slow = MemorySlidingWindow(lambda: now[0]), SlowWindow()

    async def compare() -> None:
        for tenths, less in steps:
            now[0] += tenths / 8
            of = max(1, limit - less)
            assert await window.take(of) == slow.take(now[0], of)
            assert window.used() == sum(now[0] - WINDOW_S < at_s for at_s in slow.calls)

    asyncio.run(compare())


async def test_never_more_than_the_budget_in_any_minute(time: VirtualTime) -> None:
    budget = budget_of(time, 10)
    set_call_context(max_wait_s=1000.0)
    made: list[float] = []

    async def caller() -> None:
        for _ in range(5):
            await budget.take()
            made.append(time.monotonic())

    await asyncio.gather(*(caller() for _ in range(8)))

    assert len(made) == 40
    assert all(sum(start <= at_s <= start + 60.0 for at_s in made) <= 10 for start in made)
    assert max(made) - min(made) == pytest.approx(3 * WINDOW_S)


async def test_the_whole_budget_can_be_spent_at_once(time: VirtualTime) -> None:
    budget = budget_of(time, 50)

    assert await takes(budget) == 50
    assert budget.remaining() == 0


async def test_whoever_has_patience_waits_and_others_are_told_how_long(time: VirtualTime) -> None:
    budget = budget_of(time, 1)
    await budget.take()
    time.advance(20.5)
    told = await refused(budget)
    started_s = time.monotonic()

    set_call_context(max_wait_s=41.0)
    await budget.take()

    assert told == 41
    assert time.monotonic() - started_s == pytest.approx(40.5)


async def test_patience_is_for_all_the_waiting_together(time: VirtualTime) -> None:
    budget = budget_of(time, 1)
    await budget.take()
    set_call_context(max_wait_s=WINDOW_S + 1)
    started_s = time.monotonic()

    results = await asyncio.gather(*(budget.take() for _ in range(3)), return_exceptions=True)

    assert [isinstance(one, ProviderRateLimited) for one in results].count(True) == 2
    assert time.monotonic() - started_s == pytest.approx(WINDOW_S)


async def test_a_refresh_ahead_leaves_a_reserve_to_whoever_waits(time: VirtualTime) -> None:
    budget = budget_of(time, 10)
    set_call_context(priority=Priority.BACKGROUND)
    in_background = await takes(budget)

    set_call_context(priority=Priority.FOREGROUND)
    then = await takes(budget)

    assert (in_background, then) == (7, 3)


async def test_a_provider_without_a_known_limit_is_not_limited(time: VirtualTime) -> None:
    budget = budget_of(time, None)

    for _ in range(500):
        await budget.take()

    assert budget.remaining() is None
    assert budget.refills_in_s() is None


@pytest.mark.parametrize(
    ("headers", "blocked_s"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "7", "x-ratelimit-reset": "30"}, 7.0),
        ({"x-ratelimit-reset": "30"}, 30.0),
        ({"x-ratelimit-reset": "1778155245"}, 45.0),
        ({"x-ratelimit-reset": "1778155100"}, 0.0),
        ({}, 1.0),
        ({"retry-after": "soon"}, 1.0),
        ({"retry-after": "Thu, 07 May 2026 12:00:20 GMT"}, 20.0),
        ({"retry-after": "Thu, 07 May 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "-5"}, 1.0),
        ({"retry-after": "nan"}, 1.0),
        ({"retry-after": "٧"}, 1.0),
        ({"retry-after": "9" * 19}, 3600.0),
        ({"retry-after": "9" * 400}, 3600.0),
        ({"x-ratelimit-reset": "9" * 19}, 3600.0),
    ],
)
async def test_a_refusal_is_obeyed_to_the_second_and_believed_for_an_hour_at_most(
    time: VirtualTime, headers: dict[str, str], blocked_s: float
) -> None:
    """A ``Retry-After`` of a thousand years once shut a connector until the next start."""
    assert time.wall_s() == 1778155200
    budget = budget_of(time, 100)
    set_call_context(max_wait_s=10_000.0)
    started_s = time.monotonic()

    budget.observe(429, headers)
    left = budget.remaining()
    await budget.take()

    assert time.monotonic() - started_s == pytest.approx(blocked_s)
    assert left == (0 if blocked_s else 100)


async def test_a_shorter_refusal_does_not_lift_a_longer_one(time: VirtualTime) -> None:
    budget = budget_of(time, None)
    budget.observe(429, {"retry-after": "60"})

    budget.observe(429, {"retry-after": "1"})
    budget.observe(200, {})

    assert await refused(budget) == 60
    assert budget.refills_in_s() == 60


async def test_what_the_provider_says_is_left_is_all_that_is_left(time: VirtualTime) -> None:
    budget = budget_of(time, 100)

    budget.observe(200, {"x-ratelimit-remaining": "3", "x-ratelimit-reset": "30"})
    left = budget.remaining()
    taken = await takes(budget)
    told = await refused(budget)
    time.advance(30)
    again = await takes(budget)

    assert (left, taken, told, again) == (3, 3, 30, 97)


async def test_within_a_window_the_providers_count_only_falls(time: VirtualTime) -> None:
    """Answers overtake each other: an older one must not give calls back."""
    budget = budget_of(time, None)
    budget.observe(200, {"x-ratelimit-remaining": "2", "x-ratelimit-reset": "30"})

    budget.observe(200, {"x-ratelimit-remaining": "9", "x-ratelimit-reset": "30.5"})
    in_the_same = budget.remaining()
    budget.observe(200, {"x-ratelimit-remaining": "9", "x-ratelimit-reset": "60"})

    assert (in_the_same, budget.remaining()) == (2, 9)


async def test_the_reserve_is_kept_of_the_providers_count_too(time: VirtualTime) -> None:
    budget = budget_of(time, 10)
    budget.observe(200, {"x-ratelimit-remaining": "5", "x-ratelimit-reset": "30"})

    set_call_context(priority=Priority.BACKGROUND)
    in_background = await takes(budget)
    set_call_context(priority=Priority.FOREGROUND)
    then = await takes(budget)

    assert (in_background, then) == (2, 3)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ratelimit-remaining": "0"},
        {"x-ratelimit-reset": "30"},
        {"x-ratelimit-remaining": "none", "x-ratelimit-reset": "30"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "0"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1778155100"},
        {"x-ratelimit-remaining": "-1", "x-ratelimit-reset": "30"},
    ],
)
async def test_headers_that_say_half_or_nothing_change_nothing(
    time: VirtualTime, headers: dict[str, str]
) -> None:
    budget = budget_of(time, 5)

    budget.observe(200, headers)

    assert await takes(budget) == 5


async def test_windows_of_a_second_do_not_add_up_to_none(time: VirtualTime) -> None:
    """Layer refills every second: what was left in one window says nothing of the next."""
    budget = budget_of(time, 6000)
    began_s = time.monotonic()
    headers = {"x-ratelimit-limit": "100", "x-ratelimit-reset": "1"}
    for _ in range(200):
        for left in ("99", "98"):
            await budget.take()
            budget.observe(200, {**headers, "x-ratelimit-remaining": left})
        time.advance(1.0)

    assert time.monotonic() - began_s == pytest.approx(200.0)


async def test_a_refresh_leaves_a_part_of_the_providers_own_window(time: VirtualTime) -> None:
    budget = budget_of(time, 6000)
    headers = {"x-ratelimit-limit": "100", "x-ratelimit-reset": "1"}
    budget.observe(200, {**headers, "x-ratelimit-remaining": "40"})
    set_call_context(priority=Priority.BACKGROUND)

    assert await takes(budget) == 10


@settings(max_examples=500, deadline=None)
@given(start_s=st.floats(1000.0, 1e7))
async def test_who_waits_to_the_very_end_is_counted_however_floats_are_rounded(
    start_s: float,
) -> None:
    now_s = start_s
    window = MemorySlidingWindow(lambda: now_s)
    await window.take(1)
    now_s = start_s + WINDOW_S

    for _ in range(3):
        while (wait_s := await window.take(1)) > 0:
            now_s += wait_s
        assert await window.take(1) > 0, "a second call at the same time is one too many"


async def test_a_provider_that_says_how_long_it_is_down_is_left_alone_and_not_waited_for(
    time: VirtualTime,
) -> None:
    budget = budget_of(time, 100)
    budget.observe(503, {"retry-after": "20", "x-ratelimit-reset": "50"})
    set_call_context(max_wait_s=30.0)

    with pytest.raises(CircuitOpen) as refused:
        await budget.take()
    time.advance(20)
    await budget.take()

    assert refused.value.retry_after_s == 20


async def test_a_provider_that_is_down_and_does_not_say_how_long_is_for_the_breaker(
    time: VirtualTime,
) -> None:
    budget = budget_of(time, 100)

    budget.observe(503, {"x-ratelimit-reset": "50"})

    assert await takes(budget) == 100


async def test_a_budget_that_is_spent_here_says_when_it_is_whole_again(time: VirtualTime) -> None:
    budget = budget_of(time, 3)
    whole = budget.refills_in_s()
    await takes(budget)
    time.advance(20)
    left_s = budget.refills_in_s()
    time.advance(WINDOW_S - 20)

    assert (whole, left_s, budget.refills_in_s()) == (None, WINDOW_S - 20, None)


async def test_a_call_that_may_have_arrived_late_counts_from_its_answer(time: VirtualTime) -> None:
    budget = budget_of(time, 2)
    quick_s, slow_s = await budget.take(), await budget.take()
    time.advance(0.5)
    budget.ended(quick_s)
    time.advance(9.5)
    budget.ended(slow_s)

    time.advance(WINDOW_S - 10)
    after_the_quick_one = await takes(budget)
    time.advance(10)

    assert after_the_quick_one == 1
    assert await takes(budget) == 1
