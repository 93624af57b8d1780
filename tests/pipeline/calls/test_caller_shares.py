"""Shares of the rate limit: writes, tenants and callers each have calls that others cannot take."""

import contextlib
from collections.abc import Sequence

import pytest

from balance_gateway.domain.balances import BalanceQuery
from balance_gateway.domain.errors import BudgetSpent, ProviderRateLimited
from balance_gateway.pipeline.calls.rate_limiter import RateLimiter
from balance_gateway.pipeline.calls.retrying_provider import RetryBudget, RetryingProvider
from balance_gateway.pipeline.calls.sliding_window import WINDOW_S, MemorySlidingWindow
from balance_gateway.ports.call_context import Priority, caller_name, current_call, set_call_context
from tests.pipeline.fakes import (
    TODAY,
    CacheHarness,
    FakeProvider,
    account,
)
from tests.pipeline.virtual_time import VirtualTime


def make_limiter(time: VirtualTime, per_minute: int, write_reserve: float = 0.0) -> RateLimiter:
    return RateLimiter(
        per_minute,
        MemorySlidingWindow(time.monotonic),
        write_reserve=write_reserve,
        monotonic=time.monotonic,
        wall_s=time.wall_s,
    )


async def take(
    limiter: RateLimiter, tenant: str = "", caller: str = "", most: int = 1000, **context: Priority
) -> int:
    """Return how many calls are let through without waiting."""
    context.setdefault("priority", Priority.FOREGROUND)
    set_call_context(max_wait_s=0.0, tenant=tenant, caller=caller, **context)
    count = 0
    while count < most and await limiter.try_acquire() == 0.0:
        count += 1
    return count


async def test_reads_leave_a_part_of_the_budget_to_writes(time: VirtualTime) -> None:
    limiter = make_limiter(time, 100, write_reserve=0.25)

    by_refreshes = await take(limiter, priority=Priority.BACKGROUND)
    by_reads = await take(limiter)
    by_writes = await take(limiter, priority=Priority.WRITE)

    assert (by_refreshes, by_reads, by_writes) == (53, 22, 25)


async def test_reads_leave_a_part_of_the_reported_budget_to_writes(time: VirtualTime) -> None:
    limiter = make_limiter(time, 100, write_reserve=0.25)
    headers = {"x-ratelimit-limit": "40", "x-ratelimit-reset": "30"}
    limiter.observe(200, {**headers, "x-ratelimit-remaining": "20"})

    assert await take(limiter) == 10
    assert await take(limiter, priority=Priority.WRITE) == 10


async def test_a_caller_alone_may_use_all_of_the_readers_budget(time: VirtualTime) -> None:
    assert await take(make_limiter(time, 100), "acme", "dashboard") == 100


async def see(time: VirtualTime, limiter: RateLimiter, *callers: tuple[str, str]) -> None:
    """Let each caller make a call, and let a minute pass."""
    for tenant, caller in callers:
        await take(limiter, tenant, caller, most=1)
    time.advance(WINDOW_S)


async def test_a_caller_leaves_a_share_to_the_tenant_s_others(time: VirtualTime) -> None:
    limiter = make_limiter(time, 300)
    await see(time, limiter, ("acme", "flood"), ("acme", "page"))

    taken = [await take(limiter, "acme", one) for one in ("flood", "page", "flood")]

    assert taken == [200, 67, 0]


async def test_a_tenant_leaves_a_share_to_other_tenants(time: VirtualTime) -> None:
    limiter = make_limiter(time, 300)
    await see(time, limiter, ("acme", "key"), ("globex", "key"))

    taken = [await take(limiter, one, "key") for one in ("acme", "globex", "acme")]

    assert taken == [240, 48, 0]


async def test_the_keys_of_a_tenant_share_the_tenant_s_part(time: VirtualTime) -> None:
    limiter = make_limiter(time, 300)
    names = [f"key{number}" for number in range(20)]
    await see(time, limiter, ("globex", "page"), *(("acme", name) for name in names))

    by_tenant = [await take(limiter, "acme", name) for name in names]

    assert sum(by_tenant) == 240
    assert await take(limiter, "globex", "page") > 0


async def test_a_share_frees_up_as_its_calls_age(time: VirtualTime) -> None:
    limiter = make_limiter(time, 300)
    await see(time, limiter, ("acme", "flood"), ("acme", "page"))
    await take(limiter, "acme", "flood")
    time.advance(20.0)

    with pytest.raises(BudgetSpent) as caught:
        await limiter.acquire()
    time.advance(WINDOW_S - 20.0)

    assert caught.value.retry_after_s == WINDOW_S - 20.0
    assert await take(limiter, "acme", "flood") == 200


async def test_a_caller_not_seen_for_an_hour_has_no_share(time: VirtualTime) -> None:
    limiter = make_limiter(time, 300)
    await see(time, limiter, ("acme", "flood"), ("acme", "page"), ("globex", "page"))
    time.advance(3600.0)

    assert await take(limiter, "acme", "flood") == 300


async def test_writes_count_in_no_share(time: VirtualTime) -> None:
    limiter = make_limiter(time, 300)
    await see(time, limiter, ("acme", "flood"), ("acme", "page"))

    assert await take(limiter, "acme", "flood", priority=Priority.WRITE) == 300


async def test_a_read_waits_a_second_for_the_budget_at_most(time: VirtualTime) -> None:
    """Readers once waited for the budget until their request's deadline, 27 seconds."""
    limiter = make_limiter(time, 1)
    set_call_context(max_wait_s=27.0, max_budget_wait_s=1.0)
    await limiter.acquire()
    time.advance(WINDOW_S - 5.0)
    with pytest.raises(BudgetSpent) as caught:
        await limiter.acquire()
    time.advance(4.5)
    started_s = time.monotonic()
    await limiter.acquire()

    assert caught.value.retry_after_s == 5
    assert time.monotonic() - started_s == pytest.approx(0.5)


async def test_a_read_says_for_whom_it_is_and_waits_briefly(harness: CacheHarness) -> None:
    calls: list[Sequence[object]] = []

    async def record() -> None:
        call = current_call()
        calls.append((call.tenant, call.caller, call.max_budget_wait_s))

    harness.provider.wait = record
    caller_name.set("dashboard")
    await harness.read()

    assert calls == [("acme", "dashboard", 1.0)]


async def test_a_side_is_read_for_its_caller_as_well(harness: CacheHarness) -> None:
    calls: list[Sequence[object]] = []

    async def record() -> None:
        call = current_call()
        calls.append((call.tenant, call.caller, call.max_budget_wait_s))

    harness.provider.wait = record
    caller_name.set("dashboard")
    before = current_call()
    await harness.reads.normal_balance(harness.accounts[0])

    assert calls == [("acme", "dashboard", 1.0)]
    assert current_call() == before, "a write in the same request has a context of its own"


@pytest.mark.parametrize(
    ("failure", "calls"),
    [
        (BudgetSpent("x", retry_after_s=0.5), 1),
        (ProviderRateLimited("x", retry_after_s=5.0), 1),
        (ProviderRateLimited("x", retry_after_s=0.5), 2),
    ],
)
async def test_a_read_is_not_tried_again_after_a_long_wait(
    time: VirtualTime, failure: ProviderRateLimited, calls: int
) -> None:
    """Its budget was waited for already, or would be for longer than a reader wants to wait."""
    provider = FakeProvider()
    provider.failures = [failure]
    retrying = RetryingProvider(provider, RetryBudget(time.monotonic))
    set_call_context(max_wait_s=27.0, max_budget_wait_s=1.0)
    started_s = time.monotonic()

    with contextlib.suppress(ProviderRateLimited):
        await retrying.balances([BalanceQuery(account(), TODAY)])

    assert len(provider.calls) == calls
    assert time.monotonic() - started_s <= 1.0
