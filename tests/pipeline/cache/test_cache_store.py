"""Stored values: bounded in memory, exact through a real Redis."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from balance_gateway.domain.balances import (
    BalanceFigures,
    OpeningBalance,
    OpeningBalanceSource,
    Tag,
)
from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.domain.money import Money
from balance_gateway.pipeline.cache.cache_store import (
    CacheEntry,
    MemoryStore,
    NewValue,
    NoStore,
    RedisStore,
    Value,
)
from balance_gateway.pipeline.redis_client import RedisClient

DAY = date(2026, 5, 7)
HUGE = 10**60 + 7
AT = datetime(2026, 5, 7, 12, 30, 1, 234567, tzinfo=UTC)
FULL_TAG = Tag("t1", "team", "ops", "d1", "f1", "Team", "Operations", AT)
FULL_OPENING = OpeningBalance(
    amount=Money(-HUGE, "KWD"),
    effective_at=AT.astimezone(timezone(timedelta(hours=5, minutes=45))),
    source=OpeningBalanceSource.DERIVED,
    created_at=AT,
    updated_at=AT + timedelta(microseconds=1),
    memo="line\nbreak, ”quotes” and \U0001f4b6",
    reference_number="",
    tags=(FULL_TAG, Tag("t2", "k", "v", "d2", "f2")),
    metadata={"a": [1, {"b": None, "c": [True, False, 1.5, "text"]}], "n": -(2**63), "": {}},
)
MINIMAL_OPENING = OpeningBalance(Money(0, "JPY"), None, OpeningBalanceSource.RECORDED_BY_GATEWAY)
VALUES: dict[str, Value] = {
    "both figures": BalanceFigures(DAY, Money(HUGE, "EUR"), Money(-1, "EUR")),
    "no figures": BalanceFigures(date(1, 1, 1), None, None),
    "zero amount": BalanceFigures(DAY, Money(0, "EUR"), None),
    "all fields": FULL_OPENING,
    "required fields only": MINIMAL_OPENING,
    "no opening balance": None,
}


def entry(value: Value = None, nonce: str = "n") -> CacheEntry:
    return CacheEntry(nonce, 1778155200.123456, 30.0, value)


@pytest.fixture
def store(redis: RedisClient) -> RedisStore:
    return RedisStore(redis, retention_s=100.0)


async def keep(redis: RedisClient, store: RedisStore, key: str, *, seq: int = 0, **of: Any) -> bool:
    """Keep an entry under the nonce "n", which is the fence's standing; return whether it was."""
    await redis.client.set(redis.key("epoch"), "e")
    await redis.client.set(redis.key("n:fence"), "n")
    value = NewValue(entry(**{"nonce": "e/n", **of}), "fence", "account", seq)
    return (await store.keep({key: value}))[key]


@pytest.mark.parametrize("name", VALUES)
async def test_redis_returns_values_exactly(
    store: RedisStore, redis: RedisClient, name: str
) -> None:
    stored = entry(VALUES[name], nonce="e/n")

    await keep(redis, store, "k", value=VALUES[name])
    (found,) = await store.get(["k"])

    assert found == stored
    assert repr(found) == repr(stored)


async def test_entries_are_returned_in_key_order(store: RedisStore, redis: RedisClient) -> None:
    await keep(redis, store, "a", value=FULL_OPENING)
    await keep(redis, store, "b")

    found = await store.get(["b", "missing", "a", "b"])

    assert [one and one.value for one in found] == [None, None, FULL_OPENING, None]
    assert [one is None for one in found] == [False, True, False, False]


async def test_redis_expires_values_after_the_retention(
    store: RedisStore, redis: RedisClient
) -> None:
    await keep(redis, store, "k")

    left_s = await redis.client.ttl(redis.key("v:k"))

    assert 90 < left_s <= 100


async def test_a_value_of_another_standing_is_not_kept(
    store: RedisStore, redis: RedisClient
) -> None:
    """A write has begun since its look, or the keys were lost."""
    kept = [await keep(redis, store, "k", nonce=nonce) for nonce in ("e/old", "old/n", "e/n")]

    assert kept == [False, False, True]


@pytest.mark.parametrize(
    ("seq", "second", "found"),
    [
        (0, FULL_OPENING, None),
        (0, MINIMAL_OPENING, MINIMAL_OPENING),
        (1, FULL_OPENING, FULL_OPENING),
    ],
    ids=["overlapping and different", "overlapping and equal", "one after the other"],
)
async def test_of_overlapping_reads_with_other_values_none_is_kept(
    store: RedisStore, redis: RedisClient, seq: int, second: Value, found: Value
) -> None:
    """The value that was stored last stayed, though it may have been the older one."""
    await keep(redis, store, "k", value=MINIMAL_OPENING)

    assert await keep(redis, store, "k", value=second, seq=seq)

    (stored,) = await store.get(["k"])
    assert (stored and stored.value) == found


async def test_a_third_overlapping_read_is_not_kept_either(
    store: RedisStore, redis: RedisClient
) -> None:
    for value in (MINIMAL_OPENING, FULL_OPENING, MINIMAL_OPENING):
        await keep(redis, store, "k", value=value)

    assert await store.get(["k"]) == [None]


async def test_many_values_are_kept_in_several_steps(store: RedisStore, redis: RedisClient) -> None:
    await keep(redis, store, "k")
    value = NewValue(entry(nonce="e/n"), "fence", "account", 0)
    keys = [f"k{number}" for number in range(1201)]

    kept = await store.keep(dict.fromkeys(keys, value))

    assert set(kept) == set(keys)
    assert all(kept.values())
    assert None not in await store.get(keys)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"not JSON", b"5", b"1 a [1,2,3]"])
async def test_unreadable_entries_count_as_absent(
    store: RedisStore, redis: RedisClient, data: bytes
) -> None:
    await keep(redis, store, "mine")
    await redis.client.set(redis.key("v:theirs"), data)

    found = await store.get(["theirs", "mine"])

    assert found == [None, entry(nonce="e/n")]


async def test_an_unreachable_redis_raises_cache_unavailable(tmp_path: object) -> None:
    store = RedisStore(RedisClient.open(f"unix://{tmp_path}/missing.sock"), retention_s=1.0)

    with pytest.raises(CacheUnavailable):
        await store.get(["k"])
    with pytest.raises(CacheUnavailable):
        await store.keep({"k": NewValue(entry(), "fence", "account", 0)})


async def test_memory_returns_the_stored_entry() -> None:
    store = MemoryStore(10)
    stored = entry(FULL_OPENING)

    await store.put({"k": stored})

    assert await store.get(["k", "other"]) == [stored, None]


async def test_memory_evicts_the_least_recently_used_entry() -> None:
    store = MemoryStore(3)
    await store.put({key: entry() for key in "abc"})
    await store.get(["a"])
    await store.put({"b": entry(nonce="newer")})

    await store.put({"d": entry()})

    found = await store.get(list("abcd"))
    assert [one is not None for one in found] == [True, True, False, True]


async def test_memory_never_exceeds_its_bound() -> None:
    store = MemoryStore(5)

    await store.put({str(number): entry() for number in range(100)})

    found = await store.get([str(number) for number in range(100)])
    assert [index for index, one in enumerate(found) if one] == [95, 96, 97, 98, 99]


async def test_memory_distinguishes_similar_keys() -> None:
    store = MemoryStore(5)

    await store.put({"1": entry(nonce="text")})

    assert await store.get(["1", "1.0", "01", "True"]) == [entry(nonce="text"), None, None, None]


async def test_a_disabled_cache_stores_nothing() -> None:
    store = NoStore()

    await store.put({"k": entry()})

    assert await store.get(["k", "l"]) == [None, None]
