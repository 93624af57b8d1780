"""Browsers that poll fifty accounts stay within Light's 300 calls a minute."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.balances import BalanceFigures, BalanceQuery
from balance_gateway.domain.errors import GatewayError
from balance_gateway.pipeline.cache.cache_keys import compute_account_keys
from balance_gateway.pipeline.cache.cache_store import MemoryStore
from balance_gateway.pipeline.cache.cached_reads import CachedReads, Lifetimes
from balance_gateway.pipeline.cache.fence import MemoryFences
from balance_gateway.pipeline.calls.call_gate import ConnectorGate
from balance_gateway.pipeline.calls.circuit_breaker import CircuitBreaker
from balance_gateway.pipeline.calls.rate_limiter import RateLimiter
from balance_gateway.pipeline.calls.retrying_provider import RetryBudget, RetryingProvider
from balance_gateway.pipeline.calls.sliding_window import MemorySlidingWindow
from balance_gateway.ports.provider_call import ProviderCall
from balance_gateway.providers.registry import PROVIDERS
from tests.pipeline.fakes import FakeProvider, account, get_state, request
from tests.pipeline.virtual_time import VirtualTime

PER_MINUTE = 300
ACCOUNTS = [account(f"acct_{number}") for number in range(50)]
BROWSERS, POLL_S, MINUTES = 25, 5.0, 3


class MeteredProvider(FakeProvider):
    """Makes one call per account like Light, through a gate, and records when each was sent."""

    def __init__(self, time: VirtualTime, gate: ConnectorGate) -> None:
        super().__init__()
        self.time = time
        self.gate = gate
        self.sent_s: list[float] = []

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        async with self.gate.slot(write=False):
            self.sent_s.append(self.time.monotonic())
            await asyncio.sleep(0.1)
            self.gate.observe(
                ProviderCall("main", ProviderKind.LIGHT, "read", False, "ok", 200, 0.1, {})
            )
        return await super().balances(queries)


def make_provider(time: VirtualTime) -> MeteredProvider:
    window = MemorySlidingWindow(time.monotonic)
    limiter = RateLimiter(PER_MINUTE, window, monotonic=time.monotonic, wall_s=time.wall_s)
    return MeteredProvider(
        time, ConnectorGate("main", CircuitBreaker(monotonic=time.monotonic), limiter, 16)
    )


def make_reads(provider: FakeProvider, time: VirtualTime, today_s: float) -> CachedReads:
    lifetimes = Lifetimes(
        today_s=today_s, other_days_s=600.0, opening_balance_s=3600.0, stale_s=86_400.0
    )
    return CachedReads(
        providers={"main": RetryingProvider(provider, RetryBudget(time.monotonic))},
        keys={one.id: compute_account_keys(one, PROVIDERS[one.provider], {}) for one in ACCOUNTS},
        fences=MemoryFences(40.0, time.monotonic),
        values=MemoryStore(1000),
        lifetimes=lifetimes,
        clock=time.clock,
        deadline_s=27.0,
    )


def max_per_minute(sent_s: Sequence[float]) -> int:
    return max(sum(start <= one < start + 60 for one in sent_s) for start in sent_s)


@pytest.mark.parametrize(
    ("today_s", "states"),
    [(30.0, {"live", "cached"}), (4.0, {"live", "cached", "stale"})],
    ids=["default", "shorter-than-a-poll"],
)
async def test_polling_browsers_stay_within_the_budget_and_get_values(
    time: VirtualTime, today_s: float, states: set[str]
) -> None:
    provider = make_provider(time)
    reads = make_reads(provider, time, today_s)
    rng = random.Random(1)
    seen: Counter[str] = Counter()

    async def browser() -> None:
        await asyncio.sleep(rng.uniform(0, POLL_S))
        while time.monotonic() < ends_s:
            requests = [request(one) for one in ACCOUNTS]
            seen.update(get_state(answer) for answer in await reads.balances(requests))
            await asyncio.sleep(POLL_S)

    ends_s = time.monotonic() + MINUTES * 60
    await asyncio.gather(*(browser() for _ in range(BROWSERS)))
    await reads.aclose()

    assert max_per_minute(provider.sent_s) <= PER_MINUTE
    assert set(seen) == states
    assert seen.total() > BROWSERS * len(ACCOUNTS) * (MINUTES * 60 / POLL_S - 2)
    longest_gap_s = max(after - before for before, after in pairwise(provider.sent_s))
    assert longest_gap_s < 60, "polled values are refreshed for as long as they are polled"
