"""Two replicas with one Redis: no older value after a newer one, and kept answers that count."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import GatewayError
from balance_gateway.pipeline.cache.cache_entry_rules import Lifetimes
from balance_gateway.pipeline.cache.cache_keys import compute_account_keys
from balance_gateway.pipeline.cache.cache_store import RedisStore
from balance_gateway.pipeline.cache.cached_reads import CachedReads
from balance_gateway.pipeline.cache.redis_fence import RedisFences
from balance_gateway.pipeline.redis_client import RedisClient
from balance_gateway.providers.registry import PROVIDERS
from tests.pipeline.fakes import (
    TODAY,
    FakeProvider,
    account,
    get_state,
    ledger_minor_units,
    request,
)
from tests.pipeline.redis_proxy import Proxy
from tests.servers import redis_server

ACCOUNT, OTHER = account("acct_a"), account("acct_b")
DAY = TODAY.replace(day=1)


async def has_no_writes() -> bool:
    return False


@dataclass
class Replica:
    """One process: its connection, its fences and its provider, which is the same for all.

    Attributes:
        redis: the connection.
        provider: the provider.
        reads: the read pipeline.
    """

    redis: RedisClient
    provider: FakeProvider
    reads: CachedReads = field(init=False)

    def __post_init__(self) -> None:
        keys = {
            each.id: compute_account_keys(each, PROVIDERS[ProviderKind.LIGHT], {})
            for each in (ACCOUNT, OTHER)
        }
        self.reads = CachedReads(
            providers={"main": self.provider},
            keys=keys,
            fences=RedisFences(self.redis, 40.0, has_no_writes),
            values=RedisStore(self.redis, 100.0),
            lifetimes=Lifetimes(30.0, 600.0, 3600.0, 1000.0),
            clock=lambda: datetime.now(UTC),
        )

    async def read(self, of: Any = ACCOUNT, **changes: Any) -> Any:
        (result,) = await self.reads.balances([request(of, **changes)])
        return result

    async def check(self) -> bool:
        check = self.reads.get_change_check()
        assert check is not None
        return await check()


@pytest.fixture
async def replicas(redis_url: str) -> AsyncIterator[list[Replica]]:
    provider = FakeProvider()
    found = [Replica(RedisClient.open(redis_url), provider) for _ in range(2)]
    yield found
    for each in found:
        await each.reads.aclose()
        await each.reads._fences.aclose()


def describe(result: Any) -> tuple[Any, str]:
    value = None if isinstance(result, GatewayError) else ledger_minor_units(result)
    return value, get_state(result)


async def start_slow_read(replica: Replica) -> tuple["asyncio.Task[Any]", asyncio.Event]:
    """Start a live read that has taken its value at the provider and waits to return it."""
    may_answer, has_read = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        replica.provider.wait = None
        has_read.set()
        await may_answer.wait()

    replica.provider.wait = wait
    reading = asyncio.ensure_future(replica.read(max_age_s=0))
    await has_read.wait()
    return reading, may_answer


async def test_overlapping_reads_of_two_replicas_keep_no_value(replicas: list[Replica]) -> None:
    """The slower read stored its older value over the newer one, which had been shown."""
    first, second = replicas
    await first.read()
    slow, may_answer = await start_slow_read(first)
    first.provider.value = 200
    newer = await second.read(max_age_s=0)
    may_answer.set()
    older = await slow

    after = [describe(await each.read()) for each in replicas]

    assert (describe(newer), describe(older)) == ((200, "live"), (100, "live"))
    assert after == [(200, "live"), (200, "cached")]


async def test_overlapping_reads_with_equal_values_are_kept(replicas: list[Replica]) -> None:
    first, second = replicas
    slow, may_answer = await start_slow_read(first)
    await second.read(max_age_s=0)
    may_answer.set()
    await slow

    assert describe(await first.read()) == (100, "cached")


async def test_a_value_shown_without_redis_is_not_followed_by_an_older_one(
    replicas: list[Replica],
) -> None:
    """When Redis was back, its older value was shown again by the same process."""
    first, second = replicas
    await first.read()
    first.redis.note_failure(OSError())
    first.provider.value = 200
    shown = describe(await first.read())
    first.redis.note_success()

    after = [describe(await first.read()) for _ in range(2)]

    assert shown == (200, "live")
    assert after == [(200, "live"), (200, "cached")]
    assert describe(await second.read()) == (200, "cached")


async def test_a_call_from_before_a_shown_value_is_not_joined(replicas: list[Replica]) -> None:
    first, _ = replicas
    may_answer, has_read = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        first.provider.wait = None
        has_read.set()
        await may_answer.wait()

    first.provider.wait = wait
    slow = asyncio.ensure_future(first.read())
    await has_read.wait()
    first.redis.note_failure(OSError())
    first.provider.value = 200
    await first.read(max_age_s=0)
    first.redis.note_success()

    joined = await asyncio.wait_for(first.read(), 5)
    may_answer.set()
    await slow

    assert describe(joined) == (200, "live")
    assert describe(await first.read()) == (200, "live")


async def test_a_read_from_before_a_shown_value_does_not_bring_back_an_older_one(
    replicas: list[Replica],
) -> None:
    """It began before, so what it stores may be older than what was shown."""
    first, _ = replicas
    slow, may_answer = await start_slow_read(first)
    first.redis.note_failure(OSError())
    first.provider.value = 200
    await first.read(max_age_s=0)
    first.redis.note_success()
    may_answer.set()
    await slow

    assert describe(await first.read()) == (200, "live")


async def test_a_value_shown_during_a_write_is_not_followed_by_an_older_one(
    replicas: list[Replica],
) -> None:
    first, second = replicas
    await first.reads.begin_write(ACCOUNT, "w1")
    slow, may_answer = await start_slow_read(first)
    await first.reads.end_write(ACCOUNT, "w1")
    first.provider.value = 50
    await second.read()
    may_answer.set()
    shown = await slow

    after = describe(await first.read())

    assert (describe(shown), after) == ((100, "live"), (50, "live"))


async def keep_answer(replica: Replica, of: Any = ACCOUNT, **changes: Any) -> Any:
    """Read a value, and return its terms under which an answer made from it may be used again."""
    await replica.check()
    await replica.read(of, **changes)
    # What it has stored itself is in the log too.
    await replica.check()
    terms = (await replica.read(of, **changes)).cache_terms
    assert terms is not None
    return terms


async def test_kept_answers_count_until_another_replica_writes(replicas: list[Replica]) -> None:
    first, second = replicas
    terms, other = await keep_answer(first), await keep_answer(first, OTHER)

    valid = [(await first.check(), terms.validity.is_valid, other.validity.is_valid)]
    await second.reads.begin_write(ACCOUNT, "w1")
    valid += [(await first.check(), terms.validity.is_valid, other.validity.is_valid)]

    assert valid == [(True, True, True), (True, False, True)]


async def test_a_kept_answer_ends_when_another_replica_stores_a_value(
    replicas: list[Replica],
) -> None:
    first, second = replicas
    past = await keep_answer(first, as_of=DAY, is_today=False)
    terms = await keep_answer(first)

    await second.read(max_age_s=0)
    await first.check()

    assert (terms.validity.is_valid, terms.account.is_valid) == (False, False)
    assert (past.validity.is_valid, past.account.is_valid) == (True, False)


async def test_a_live_value_ends_what_its_process_has_kept(replicas: list[Replica]) -> None:
    first, _ = replicas
    terms = await keep_answer(first)

    live = await first.read(max_age_s=0)

    assert not terms.validity.is_valid
    assert not terms.account.is_valid
    assert live.cache_terms is None


async def test_a_flushed_redis_ends_every_kept_answer(replicas: list[Replica]) -> None:
    first, _ = replicas
    terms = await keep_answer(first)
    await first.redis.client.flushdb()

    assert await first.check()

    assert not terms.validity.is_valid


async def test_nothing_kept_may_be_used_without_redis(replicas: list[Replica]) -> None:
    first, _ = replicas
    await first.check()
    first.redis.note_failure(OSError())

    during = await first.check()
    first.redis.note_success()

    assert (during, await first.check()) == (False, True)


async def test_a_failover_ends_every_kept_answer_and_begins_a_quarantine(tmp_path: Path) -> None:
    """The successor may lack the last writes of the former primary."""
    with redis_server(tmp_path) as former, redis_server(tmp_path) as successor:
        proxy = Proxy(former.port)
        async with proxy.running() as url, Redis(port=successor.port) as admin:
            await admin.execute_command("REPLICAOF", "127.0.0.1", former.port)
            replica = Replica(RedisClient.open(url), FakeProvider())
            terms = await keep_answer(replica)
            await wait_for_replication(replica.redis.client)
            was_current = await replica.check(), terms.validity.is_valid
            await admin.execute_command("REPLICAOF", "NO", "ONE")
            proxy.target = successor.port
            proxy.cut()

            is_current = await replica.check()
            # The other connections are lost too, and reads rest after that.
            await replica.read()
            replica.redis.note_success()
            after = [describe(await replica.read()) for _ in range(2)][-1]
            has_quarantine = await admin.exists("balance-gateway:quarantine")
            await replica.reads.aclose()
            await replica.reads._fences.aclose()

    assert was_current == (True, True)
    assert (is_current, terms.validity.is_valid) == (True, False)
    assert (after, has_quarantine) == ((100, "live"), 1)


async def wait_for_replication(client: Any) -> None:
    while not (await client.info("replication")).get("connected_slaves"):  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    await client.wait(1, 5000)
