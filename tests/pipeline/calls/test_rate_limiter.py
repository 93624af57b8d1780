"""The rate limiter: against a simple reference window, and with providers' rate limit headers."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balance_gateway.domain.errors import CircuitOpen, ProviderRateLimited
from balance_gateway.pipeline.calls.rate_limiter import RateLimiter
from balance_gateway.pipeline.calls.sliding_window import WINDOW_S, MemorySlidingWindow
from balance_gateway.ports.call_context import Priority, set_call_context
from tests.pipeline.virtual_time import VirtualTime


def make_limiter(time: VirtualTime, per_minute: int | None) -> RateLimiter:
    window = MemorySlidingWindow(time.monotonic)
    return RateLimiter(per_minute, window, monotonic=time.monotonic, wall_s=time.wall_s)


async def acquire_all(limiter: RateLimiter) -> int:
    """Return how many calls are let through without waiting."""
    set_call_context(max_wait_s=0.0)
    count = 0
    while True:
        try:
            await limiter.acquire()
        except ProviderRateLimited:
            return count
        count += 1
        assert count < 1000


async def refused_retry_after_s(limiter: RateLimiter) -> float | None:
    set_call_context(max_wait_s=0.0)
    with pytest.raises(ProviderRateLimited) as caught:
        await limiter.acquire()
    return caught.value.retry_after_s


class ReferenceWindow:
    """Keeps every call and counts all of them each time."""

    def __init__(self) -> None:
        self.calls: list[float] = []

    def fits(self, now_s: float, limit: int) -> bool:
        return sum(now_s - WINDOW_S < call_s for call_s in self.calls) < limit

    def acquire(self, now_s: float, limit: int) -> float:
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
def test_the_window_agrees_with_the_reference_window(
    limit: int, steps: list[tuple[int, int]]
) -> None:
    now = [1000.0]
    window, reference = MemorySlidingWindow(lambda: now[0]), ReferenceWindow()

    async def compare() -> None:
        for eighths, less in steps:
            now[0] += eighths / 8
            step_limit = max(1, limit - less)
            assert await window.acquire(step_limit) == reference.acquire(now[0], step_limit)
            assert window.count_used() == sum(now[0] - WINDOW_S < at_s for at_s in reference.calls)

    asyncio.run(compare())


async def test_calls_in_any_minute_never_exceed_the_budget(time: VirtualTime) -> None:
    limiter = make_limiter(time, 10)
    set_call_context(max_wait_s=1000.0)
    made: list[float] = []

    async def caller() -> None:
        for _ in range(5):
            await limiter.acquire()
            made.append(time.monotonic())

    await asyncio.gather(*(caller() for _ in range(8)))

    assert len(made) == 40
    assert all(sum(start <= at_s <= start + 60.0 for at_s in made) <= 10 for start in made)
    assert max(made) - min(made) == pytest.approx(3 * WINDOW_S)


async def test_the_whole_budget_can_be_spent_at_once(time: VirtualTime) -> None:
    limiter = make_limiter(time, 50)

    assert await acquire_all(limiter) == 50
    assert limiter.remaining() == 0


async def test_a_caller_with_time_waits_and_others_get_the_retry_time(time: VirtualTime) -> None:
    limiter = make_limiter(time, 1)
    await limiter.acquire()
    time.advance(20.5)
    retry_after_s = await refused_retry_after_s(limiter)
    started_s = time.monotonic()

    set_call_context(max_wait_s=41.0)
    await limiter.acquire()

    assert retry_after_s == 41
    assert time.monotonic() - started_s == pytest.approx(40.5)


async def test_the_maximum_wait_covers_all_waits_together(time: VirtualTime) -> None:
    limiter = make_limiter(time, 1)
    await limiter.acquire()
    set_call_context(max_wait_s=WINDOW_S + 1)
    started_s = time.monotonic()

    results = await asyncio.gather(*(limiter.acquire() for _ in range(3)), return_exceptions=True)

    assert [isinstance(result, ProviderRateLimited) for result in results].count(True) == 2
    assert time.monotonic() - started_s == pytest.approx(WINDOW_S)


async def test_background_calls_leave_a_reserve_to_foreground_calls(time: VirtualTime) -> None:
    limiter = make_limiter(time, 10)
    set_call_context(priority=Priority.BACKGROUND)
    in_background = await acquire_all(limiter)

    set_call_context(priority=Priority.FOREGROUND)
    in_foreground = await acquire_all(limiter)

    assert (in_background, in_foreground) == (7, 3)


async def test_a_provider_without_a_known_limit_is_not_limited(time: VirtualTime) -> None:
    limiter = make_limiter(time, None)

    for _ in range(500):
        await limiter.acquire()

    assert limiter.remaining() is None
    assert limiter.refills_in_s() is None


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
        ({"retry-after": "3601"}, 3600.0),
        ({"retry-after": "86400"}, 3600.0),
        ({"retry-after": "86401"}, 1.0),
        ({"retry-after": "9" * 19}, 1.0),
        ({"retry-after": "9" * 400}, 1.0),
        ({"retry-after": "1778155245"}, 45.0),
        ({"retry-after": "1778155245000"}, 45.0),
        ({"retry-after": "Thu, 07 May 2029 12:00:20 GMT"}, 1.0),
        ({"x-ratelimit-reset": "9" * 19}, 1.0),
        ({"x-ratelimit-reset": "3600"}, 3600.0),
        ({"x-ratelimit-reset": "60000"}, 1.0),
        ({"x-ratelimit-reset": "1778155245000"}, 45.0),
        ({"x-ratelimit-reset": "1778155245250"}, 45.25),
        ({"x-ratelimit-reset": "1778155245000000"}, 45.0),
        ({"x-ratelimit-reset": "1778155100000"}, 0.0),
        ({"x-ratelimit-reset": "1778220000"}, 3600.0),
        ({"x-ratelimit-reset": "1878155245"}, 1.0),
        ({"x-ratelimit-reset": "1878155245000"}, 1.0),
        (
            {"x-ratelimit-reset": "1778158845", "date": "Thu, 07 May 2026 13:00:00 GMT"},
            45.0,
        ),
        (
            {"x-ratelimit-reset": "1778155245", "date": "Thu, 01 Jan 1970 00:00:00 GMT"},
            45.0,
        ),
    ],
)
async def test_a_429_blocks_for_its_retry_after_up_to_an_hour(
    time: VirtualTime, headers: dict[str, str], blocked_s: float
) -> None:
    """A header in milliseconds, or of a thousand years, once shut a connector for an hour."""
    assert time.wall_s() == 1778155200
    limiter = make_limiter(time, 100)
    set_call_context(max_wait_s=10_000.0)
    started_s = time.monotonic()

    limiter.observe(429, headers)
    left = limiter.remaining()
    await limiter.acquire()

    assert time.monotonic() - started_s == pytest.approx(blocked_s)
    assert left == (0 if blocked_s else 100)


async def test_a_shorter_retry_after_does_not_shorten_a_longer_one(time: VirtualTime) -> None:
    limiter = make_limiter(time, None)
    limiter.observe(429, {"retry-after": "60"})

    limiter.observe(429, {"retry-after": "1"})
    limiter.observe(200, {})

    assert await refused_retry_after_s(limiter) == 60
    assert limiter.refills_in_s() == 60


async def test_the_reported_remainder_limits_calls_until_its_reset(time: VirtualTime) -> None:
    limiter = make_limiter(time, 100)

    limiter.observe(200, {"x-ratelimit-remaining": "3", "x-ratelimit-reset": "30"})
    left = limiter.remaining()
    taken = await acquire_all(limiter)
    retry_after_s = await refused_retry_after_s(limiter)
    time.advance(30)
    again = await acquire_all(limiter)

    assert (left, taken, retry_after_s, again) == (3, 3, 30, 97)


@pytest.mark.parametrize("reset", ["30", "1778155230", "1778155230000", "1778155230000000"])
async def test_a_reset_in_any_usual_unit_ends_the_reported_window(
    time: VirtualTime, reset: str
) -> None:
    """A reset in milliseconds once shut a connector for an hour."""
    limiter = make_limiter(time, 100)

    limiter.observe(200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset})
    retry_after_s = await refused_retry_after_s(limiter)
    time.advance(30)

    assert (retry_after_s, await acquire_all(limiter)) == (30, 100)


async def test_a_limit_below_its_remainder_reserves_nothing(time: VirtualTime) -> None:
    limiter = make_limiter(time, None)
    headers = {"x-ratelimit-limit": "3", "x-ratelimit-reset": "30"}
    limiter.observe(200, {**headers, "x-ratelimit-remaining": "10"})

    set_call_context(priority=Priority.BACKGROUND)

    assert await acquire_all(limiter) == 10


async def test_the_reported_count_only_decreases_within_a_window(time: VirtualTime) -> None:
    """Responses can arrive out of order: an older one must not give calls back."""
    limiter = make_limiter(time, None)
    limiter.observe(200, {"x-ratelimit-remaining": "2", "x-ratelimit-reset": "30"})

    limiter.observe(200, {"x-ratelimit-remaining": "9", "x-ratelimit-reset": "30.5"})
    same_window = limiter.remaining()
    limiter.observe(200, {"x-ratelimit-remaining": "9", "x-ratelimit-reset": "60"})

    assert (same_window, limiter.remaining()) == (2, 9)


async def test_the_reserve_applies_to_the_reported_count_too(time: VirtualTime) -> None:
    limiter = make_limiter(time, 10)
    limiter.observe(200, {"x-ratelimit-remaining": "5", "x-ratelimit-reset": "30"})

    set_call_context(priority=Priority.BACKGROUND)
    in_background = await acquire_all(limiter)
    set_call_context(priority=Priority.FOREGROUND)
    in_foreground = await acquire_all(limiter)

    assert (in_background, in_foreground) == (2, 3)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ratelimit-remaining": "0"},
        {"x-ratelimit-reset": "30"},
        {"x-ratelimit-remaining": "none", "x-ratelimit-reset": "30"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "0"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1778155100"},
        {"x-ratelimit-remaining": "-1", "x-ratelimit-reset": "30"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "30000"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1878155245"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1778155100000"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "9" * 20},
    ],
)
async def test_incomplete_or_invalid_headers_change_nothing(
    time: VirtualTime, headers: dict[str, str]
) -> None:
    limiter = make_limiter(time, 5)

    limiter.observe(200, headers)

    assert await acquire_all(limiter) == 5


async def test_windows_of_one_second_are_independent(time: VirtualTime) -> None:
    """Layer refills every second: the remainder of one window does not limit the next."""
    limiter = make_limiter(time, 6000)
    started_s = time.monotonic()
    headers = {"x-ratelimit-limit": "100", "x-ratelimit-reset": "1"}
    for _ in range(200):
        for left in ("99", "98"):
            await limiter.acquire()
            limiter.observe(200, {**headers, "x-ratelimit-remaining": left})
        time.advance(1.0)

    assert time.monotonic() - started_s == pytest.approx(200.0)


@pytest.mark.parametrize(
    ("limit", "reported", "reset", "left"),
    [
        ("100", "99", "1", 5999),
        ("100", "99", "1778155202", 5999),
        ("100", "0", "1", 0),
        ("100", "99", "30", 99),
        ("6000", "99", "1", 99),
        (None, "99", "1", 5999),
        (None, "99", "30", 99),
        ("9000", "99", "1", 5999),
    ],
)
async def test_a_limit_per_second_is_not_shown_as_one_per_minute(
    time: VirtualTime, limit: str | None, reported: str, reset: str, left: int
) -> None:
    """Layer reports 99 of 100 a second: the budget read "99 of 6000/min"."""
    limiter = make_limiter(time, 6000)
    await limiter.acquire()
    headers = {"x-ratelimit-remaining": reported, "x-ratelimit-reset": reset}

    limiter.observe(200, headers if limit is None else {**headers, "x-ratelimit-limit": limit})

    assert limiter.remaining() == left


async def test_a_reported_limit_is_shown_where_no_other_is_known(time: VirtualTime) -> None:
    limiter = make_limiter(time, None)
    headers = {"x-ratelimit-limit": "100", "x-ratelimit-reset": "1"}

    limiter.observe(200, {**headers, "x-ratelimit-remaining": "99"})

    assert limiter.remaining() == 99


async def test_background_calls_leave_a_reserve_of_the_reported_limit(time: VirtualTime) -> None:
    limiter = make_limiter(time, 6000)
    headers = {"x-ratelimit-limit": "100", "x-ratelimit-reset": "1"}
    limiter.observe(200, {**headers, "x-ratelimit-remaining": "40"})
    set_call_context(priority=Priority.BACKGROUND)

    assert await acquire_all(limiter) == 10


@settings(max_examples=500, deadline=None)
@given(start_s=st.floats(1000.0, 1e7))
async def test_a_full_wait_suffices_despite_float_rounding(
    start_s: float,
) -> None:
    now_s = start_s
    window = MemorySlidingWindow(lambda: now_s)
    await window.acquire(1)
    now_s = start_s + WINDOW_S

    for _ in range(3):
        while (wait_s := await window.acquire(1)) > 0:
            now_s += wait_s
        assert await window.acquire(1) > 0, "a second call at the same time exceeds the limit"


async def test_a_503_with_retry_after_fails_calls_without_waiting(
    time: VirtualTime,
) -> None:
    limiter = make_limiter(time, 100)
    limiter.observe(503, {"retry-after": "20", "x-ratelimit-reset": "50"})
    set_call_context(max_wait_s=30.0)

    with pytest.raises(CircuitOpen) as refused:
        await limiter.acquire()
    time.advance(20)
    await limiter.acquire()

    assert refused.value.retry_after_s == 20


async def test_a_503_without_retry_after_does_not_block(
    time: VirtualTime,
) -> None:
    limiter = make_limiter(time, 100)

    limiter.observe(503, {"x-ratelimit-reset": "50"})

    assert await acquire_all(limiter) == 100


async def test_an_exhausted_budget_reports_when_it_refills(time: VirtualTime) -> None:
    limiter = make_limiter(time, 3)
    when_full = limiter.refills_in_s()
    await acquire_all(limiter)
    time.advance(20)
    left_s = limiter.refills_in_s()
    time.advance(WINDOW_S - 20)

    assert (when_full, left_s, limiter.refills_in_s()) == (None, WINDOW_S - 20, None)


async def test_a_slow_call_counts_from_its_response(time: VirtualTime) -> None:
    limiter = make_limiter(time, 2)
    quick_s, slow_s = await limiter.acquire(), await limiter.acquire()
    time.advance(0.5)
    limiter.record_end(quick_s)
    time.advance(9.5)
    limiter.record_end(slow_s)

    time.advance(WINDOW_S - 10)
    after_the_quick_call = await acquire_all(limiter)
    time.advance(10)

    assert after_the_quick_call == 1
    assert await acquire_all(limiter) == 1
