"""One upstream call for all replicas: which one calls, which wait, and the limits of a lease."""

import asyncio
from pathlib import Path

import pytest

from balance_gateway.domain.errors import ProviderUnavailable
from balance_gateway.pipeline.cache import upstream_leases
from balance_gateway.pipeline.cache.cached_reads import CachedReads
from balance_gateway.pipeline.cache.upstream_leases import NoLeases, RedisLeases
from balance_gateway.pipeline.redis_client import RedisClient
from tests.pipeline.fakes import (
    CacheHarness,
    FakeProvider,
    get_state,
    ledger_minor_units,
    request,
    run_pending_tasks,
)
from tests.pipeline.virtual_time import VirtualTime


class SharedLeases:
    """Leases shared by replicas in one process, with their time limit."""

    def __init__(self, time: VirtualTime) -> None:
        self.time = time
        self.until_s: dict[str, float] = {}

    async def take(self, name: str) -> bool:
        if await self.is_held(name):
            return False
        self.until_s[name] = self.time.monotonic() + upstream_leases.LEASE_S
        return True

    async def is_held(self, name: str) -> bool:
        return self.until_s.get(name, 0.0) > self.time.monotonic()

    async def release(self, name: str) -> None:
        self.until_s.pop(name, None)


class TwoReplicas:
    """The reads of two processes over one provider and one cache."""

    def __init__(self, harness: CacheHarness) -> None:
        self.harness = harness
        self.provider: FakeProvider = harness.provider
        shared = SharedLeases(harness.time)
        self.reads = [
            CachedReads(
                providers={"main": harness.provider},
                keys=harness.reads._keys,
                fences=harness.fences,
                values=harness.values,
                lifetimes=CacheHarness.LIFETIMES,
                clock=harness.time.clock,
                claims=shared,
                deadline_s=20.0,
            )
            for _ in range(2)
        ]

    async def read(self, replica: int, **changes: object) -> object:
        (answer,) = await self.reads[replica].balances(
            [request(self.harness.accounts[0], **changes)]
        )
        return answer


@pytest.fixture
def replicas(harness: CacheHarness) -> TwoReplicas:
    return TwoReplicas(harness)


async def test_equal_reads_at_two_replicas_are_one_call(replicas: TwoReplicas) -> None:
    replicas.provider.wait = lambda: asyncio.sleep(1)

    first, second = await asyncio.gather(replicas.read(0), replicas.read(1))

    assert replicas.provider.calls == [["acct_a"]]
    assert (get_state(first), get_state(second)) == ("live", "cached")
    assert ledger_minor_units(first) == ledger_minor_units(second) == 100


async def test_a_replica_calls_the_provider_when_the_awaited_call_fails(
    replicas: TwoReplicas,
) -> None:
    replicas.provider.wait = lambda: asyncio.sleep(1)
    replicas.provider.failures = [ProviderUnavailable("down"), None]

    first, second = await asyncio.gather(replicas.read(0), replicas.read(1))

    assert (get_state(first), get_state(second)) == ("PROVIDER_UNAVAILABLE", "live")


async def test_a_replica_calls_the_provider_when_the_lease_holder_dies(
    replicas: TwoReplicas,
) -> None:
    replicas.provider.wait = asyncio.Event().wait
    dying = asyncio.ensure_future(replicas.read(0))
    await run_pending_tasks()
    replicas.provider.wait = None
    started_s = replicas.harness.time.monotonic()

    second = await replicas.read(1)

    assert get_state(second) == "live"
    assert replicas.harness.time.monotonic() - started_s == pytest.approx(
        upstream_leases.LEASE_S, abs=0.1
    )
    dying.cancel()
    await replicas.reads[0].aclose()


async def test_a_value_from_before_a_write_is_not_taken_from_another_replica(
    replicas: TwoReplicas,
) -> None:
    may_answer = asyncio.Event()
    replicas.provider.wait = may_answer.wait
    before = asyncio.ensure_future(replicas.read(0))
    await run_pending_tasks()
    replicas.provider.wait = None
    await replicas.harness.write(200)
    after = asyncio.ensure_future(replicas.read(1))
    await run_pending_tasks()

    may_answer.set()
    answers = await asyncio.gather(before, after)

    assert [ledger_minor_units(answer) for answer in answers] == [100, 200]


async def test_a_read_with_a_maximum_age_waits_for_no_replica(replicas: TwoReplicas) -> None:
    replicas.provider.wait = lambda: asyncio.sleep(1)
    first = asyncio.ensure_future(replicas.read(0))
    await run_pending_tasks()

    second = await replicas.read(1, max_age_s=0)

    assert get_state(second) == "live"
    assert len(replicas.provider.calls) == 2
    await first


async def test_a_waiting_replica_calls_the_provider_without_the_cache(
    replicas: TwoReplicas,
) -> None:
    replicas.provider.wait = lambda: asyncio.sleep(1)
    first = asyncio.ensure_future(replicas.read(0))
    await run_pending_tasks()
    second = asyncio.ensure_future(replicas.read(1))
    await run_pending_tasks()

    replicas.harness.values.fails_get = True

    assert get_state(await second) == "live"
    assert len(replicas.provider.calls) == 2
    await first


async def test_a_redis_lease_has_one_holder_at_a_time(redis: RedisClient) -> None:
    one, other = RedisLeases(redis), RedisLeases(redis)

    taken = [await one.take("call"), await other.take("call"), await other.take("another")]
    seen = await other.is_held("call")
    await one.release("call")
    after = [await other.is_held("call"), await other.take("call")]

    assert (taken, seen, after) == ([True, False, True], True, [False, True])


async def test_a_redis_lease_expires(redis: RedisClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_leases, "LEASE_S", 0.002)
    one = RedisLeases(redis)
    await one.take("call")

    await asyncio.sleep(0.01)

    assert await one.take("call")


async def test_with_an_unreachable_redis_every_replica_takes_the_lease(tmp_path: Path) -> None:
    alone = RedisLeases(RedisClient.open(f"unix://{tmp_path}/missing.sock"))

    assert await alone.take("call")
    assert not await alone.is_held("call")
    await alone.release("call")


async def test_a_single_process_always_takes_the_lease() -> None:
    single = NoLeases()

    assert await single.take("call")
    assert await single.take("call")
    assert not await single.is_held("call")
    await single.release("call")
