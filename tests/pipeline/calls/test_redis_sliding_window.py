"""The call budget that replicas share, counted in a real Redis."""

import asyncio

import pytest

from balance_gateway.domain.errors import ProviderRateLimited
from balance_gateway.pipeline.calls.rate_limiter import RateLimiter
from balance_gateway.pipeline.calls.redis_sliding_window import RedisCallCounter
from balance_gateway.pipeline.calls.sliding_window import MemorySlidingWindow, SharedSlidingWindow
from balance_gateway.pipeline.redis_client import RedisClient
from balance_gateway.ports.call_context import set_call_context


def make_window(link: RedisClient, budget: str) -> SharedSlidingWindow:
    return SharedSlidingWindow(RedisCallCounter(link, budget), MemorySlidingWindow())


async def test_replicas_share_one_budget(link: RedisClient) -> None:
    one, other = (make_window(link, "light") for _ in range(2))

    waits = [await window.acquire(5) for window in (one, other, one, other, one, other)]

    assert waits[:5] == [0.0] * 5
    assert 50 < waits[5] <= 61


async def test_connectors_have_separate_budgets(link: RedisClient) -> None:
    one, other = make_window(link, "one"), make_window(link, "other")

    assert await one.acquire(1) == 0.0
    assert await other.acquire(1) == 0.0
    assert await one.acquire(1) > 0


async def test_a_redis_that_lost_its_keys_does_not_restart_the_minute(link: RedisClient) -> None:
    window = make_window(link, "light")
    before = [await window.acquire(3) for _ in range(3)]

    await link.client.flushdb()
    after = [await window.acquire(3) for _ in range(3)]

    assert before == [0.0] * 3
    assert all(wait_s > 50 for wait_s in after)


async def test_a_retry_after_blocks_all_replicas(link: RedisClient) -> None:
    one_window = make_window(link, "light")
    one, other = RateLimiter(100, one_window), RateLimiter(100, make_window(link, "light"))
    set_call_context(max_wait_s=0.0)

    one.observe(429, {"retry-after": "30"})
    await asyncio.gather(*one_window._pending_updates)
    await one_window._shared.block(2.0)
    with pytest.raises(ProviderRateLimited) as refused:
        await other.acquire()

    assert refused.value.retry_after_s is not None
    assert 28 <= refused.value.retry_after_s <= 30


async def test_concurrent_calls_do_not_share_the_last_reported_call(
    link: RedisClient,
) -> None:
    limiter = RateLimiter(100, make_window(link, "light"))
    set_call_context(max_wait_s=0.0)
    limiter.observe(200, {"x-ratelimit-remaining": "1", "x-ratelimit-reset": "40"})

    outcomes = await asyncio.gather(*(limiter.acquire() for _ in range(20)), return_exceptions=True)

    assert sum(isinstance(one, float) for one in outcomes) == 1
    assert sum(isinstance(one, ProviderRateLimited) for one in outcomes) == 19


class ScriptedCounter:
    """A shared counter that returns the given results."""

    def __init__(self, *results: float | None) -> None:
        self.results = list(results)

    async def acquire(self, _limit: int) -> float | None:
        return self.results.pop(0)

    async def block(self, seconds: float) -> None:
        raise AssertionError(f"unexpected block of {seconds} s")

    async def recount_late_call(self, age_s: float) -> None:
        raise AssertionError("unexpected recount")


async def test_without_the_store_each_process_counts_its_own_calls() -> None:
    window = SharedSlidingWindow(ScriptedCounter(0.0, 0.0, None), MemorySlidingWindow())

    waits = [await window.acquire(3) for _ in range(4)]

    assert waits[:3] == [0.0] * 3
    assert waits[3] > 0
    assert window.count_used() == 3


async def test_a_call_refused_by_the_store_is_not_counted_locally() -> None:
    window = SharedSlidingWindow(ScriptedCounter(7.0, 0.0), MemorySlidingWindow())

    waits = [await window.acquire(1), await window.acquire(1)]

    assert waits == [7.0, 0.0]
    assert window.count_used() == 1


async def test_a_late_call_is_recounted_for_all_replicas(
    link: RedisClient,
) -> None:
    one, other = make_window(link, "light"), make_window(link, "light")
    await one.acquire(5)
    (before,) = await link.client.zrange(link.key("b:light"), 0, -1, withscores=True)
    await asyncio.sleep(0.02)

    one.recount_late_call(2.0)
    await asyncio.gather(*one._pending_updates)

    (after,) = await link.client.zrange(link.key("b:light"), 0, -1, withscores=True)
    assert after[1] >= before[1] + 20
    assert await other.acquire(1) > 60.9


async def test_a_late_call_that_has_expired_replaces_no_other_call(link: RedisClient) -> None:
    """It took the place of a younger call that still counted: one call too many was let through."""
    window = make_window(link, "light")
    await window.acquire(5)

    window.recount_late_call(70.0)
    await asyncio.gather(*window._pending_updates)

    assert await link.client.zcard(link.key("b:light")) == 2
    assert window.count_used() == 2
