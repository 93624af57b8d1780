"""The budget that replicas share, counted in a real Redis."""

import asyncio

import pytest

from balance_gateway.domain.errors import ProviderRateLimited
from balance_gateway.pipeline.calls.rate_limiter import RateLimiter
from balance_gateway.pipeline.calls.redis_sliding_window import RedisCounter
from balance_gateway.pipeline.calls.sliding_window import MemorySlidingWindow, SharedSlidingWindow
from balance_gateway.pipeline.redis_client import RedisClient
from balance_gateway.ports.call_context import (
    set_call_context,
)


def window_of(link: RedisClient, budget: str) -> SharedSlidingWindow:
    return SharedSlidingWindow(RedisCounter(link, budget), MemorySlidingWindow())


async def test_replicas_spend_one_budget(link: RedisClient) -> None:
    one, other = (window_of(link, "light") for _ in range(2))

    waits = [await window.take(5) for window in (one, other, one, other, one, other)]

    assert waits[:5] == [0.0] * 5
    assert 50 < waits[5] <= 61


async def test_budgets_of_different_connectors_are_apart(link: RedisClient) -> None:
    one, other = window_of(link, "one"), window_of(link, "other")

    assert await one.take(1) == 0.0
    assert await other.take(1) == 0.0
    assert await one.take(1) > 0


async def test_a_redis_that_lost_its_keys_does_not_begin_the_minute_anew(link: RedisClient) -> None:
    window = window_of(link, "light")
    before = [await window.take(3) for _ in range(3)]

    await link.client.flushdb()
    after = [await window.take(3) for _ in range(3)]

    assert before == [0.0] * 3
    assert all(wait_s > 50 for wait_s in after)


async def test_a_wait_that_one_replica_was_told_holds_for_the_others(link: RedisClient) -> None:
    one_window = window_of(link, "light")
    one, other = RateLimiter(100, one_window), RateLimiter(100, window_of(link, "light"))
    set_call_context(max_wait_s=0.0)

    one.observe(429, {"retry-after": "30"})
    await asyncio.gather(*one_window._telling)
    await one_window._place.block(2.0)
    with pytest.raises(ProviderRateLimited) as refused:
        await other.take()

    assert refused.value.retry_after_s is not None
    assert 28 <= refused.value.retry_after_s <= 30


async def test_calls_that_go_at_once_do_not_share_the_one_that_the_provider_has_left(
    link: RedisClient,
) -> None:
    budget = RateLimiter(100, window_of(link, "light"))
    set_call_context(max_wait_s=0.0)
    budget.observe(200, {"x-ratelimit-remaining": "1", "x-ratelimit-reset": "40"})

    outcomes = await asyncio.gather(*(budget.take() for _ in range(20)), return_exceptions=True)

    assert sum(isinstance(one, float) for one in outcomes) == 1
    assert sum(isinstance(one, ProviderRateLimited) for one in outcomes) == 19


class Place:
    """Answers as it is told."""

    def __init__(self, *answers: float | None) -> None:
        self.answers = list(answers)

    async def take(self, _limit: int) -> float | None:
        return self.answers.pop(0)

    async def block(self, seconds: float) -> None:
        raise AssertionError(f"nobody asked for {seconds} s")

    async def answered_late(self) -> None:
        raise AssertionError("nobody asked for it")


async def test_out_of_reach_each_process_counts_for_itself_what_it_has_made() -> None:
    window = SharedSlidingWindow(Place(0.0, 0.0, None), MemorySlidingWindow())

    waits = [await window.take(3) for _ in range(4)]

    assert waits[:3] == [0.0] * 3
    assert waits[3] > 0
    assert window.used() == 3


async def test_what_the_shared_place_refuses_is_not_counted_here() -> None:
    window = SharedSlidingWindow(Place(7.0, 0.0), MemorySlidingWindow())

    waits = [await window.take(1), await window.take(1)]

    assert waits == [7.0, 0.0]
    assert window.used() == 1


async def test_a_call_that_was_answered_late_counts_anew_for_all_replicas(
    link: RedisClient,
) -> None:
    one, other = window_of(link, "light"), window_of(link, "light")
    await one.take(5)
    (before,) = await link.client.zrange(link.key("b:light"), 0, -1, withscores=True)
    await asyncio.sleep(0.02)

    one.answered_late()
    await asyncio.gather(*one._telling)

    (after,) = await link.client.zrange(link.key("b:light"), 0, -1, withscores=True)
    assert after[1] >= before[1] + 20
    assert await other.take(1) > 60.9
