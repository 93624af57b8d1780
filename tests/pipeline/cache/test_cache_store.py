"""Where values are kept: bounded in memory, exact through a real Redis."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import msgspec
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
    NoStore,
    RedisStore,
    Value,
)
from balance_gateway.pipeline.redis_client import RedisClient

DAY = date(2026, 5, 7)
HUGE = 10**60 + 7
AT = datetime(2026, 5, 7, 12, 30, 1, 234567, tzinfo=UTC)
WHOLE_TAG = Tag("t1", "team", "ops", "d1", "f1", "Team", "Operations", AT)
WHOLE = OpeningBalance(
    amount=Money(-HUGE, "KWD"),
    effective_at=AT.astimezone(timezone(timedelta(hours=5, minutes=45))),
    source=OpeningBalanceSource.DERIVED,
    created_at=AT,
    updated_at=AT + timedelta(microseconds=1),
    memo="line\nbreak, ”quotes” and \U0001f4b6",
    reference_number="",
    tags=(WHOLE_TAG, Tag("t2", "k", "v", "d2", "f2")),
    metadata={"a": [1, {"b": None, "c": [True, False, 1.5, "text"]}], "n": -(2**63), "": {}},
)
BARE = OpeningBalance(Money(0, "JPY"), None, OpeningBalanceSource.RECORDED_BY_GATEWAY)
VALUES: dict[str, Value] = {
    "both figures": BalanceFigures(DAY, Money(HUGE, "EUR"), Money(-1, "EUR")),
    "no figures": BalanceFigures(date(1, 1, 1), None, None),
    "zero is not nothing": BalanceFigures(DAY, Money(0, "EUR"), None),
    "everything": WHOLE,
    "hardly anything": BARE,
    "none is set": None,
}


def entry(value: Value = None, nonce: str = "n") -> CacheEntry:
    return CacheEntry(nonce, 1778155200.123456, 30.0, value)


@pytest.fixture
def values(link: RedisClient) -> RedisStore:
    return RedisStore(link, keep_s=100.0)


@pytest.mark.parametrize("name", VALUES)
async def test_a_value_comes_back_from_redis_exactly(values: RedisStore, name: str) -> None:
    kept = entry(VALUES[name])

    await values.put({"k": kept})
    (found,) = await values.get(["k"])

    assert found == kept
    assert repr(found) == repr(kept)


async def test_entries_come_in_the_order_of_the_keys(values: RedisStore) -> None:
    await values.put({"a": entry(nonce="1"), "b": entry(nonce="2")})

    found = await values.get(["b", "missing", "a", "b"])

    assert [one and one.nonce for one in found] == ["2", None, "1", "2"]


async def test_redis_forgets_a_value_after_its_time(values: RedisStore, link: RedisClient) -> None:
    await values.put({"k": entry()})

    left_s = await link.client.ttl(link.key("v:k"))

    assert 90 < left_s <= 100


FIELDS = ("n", 1.0, 30.0)
AMOUNT: dict[str, Any] = {"amount": ["1", "EUR"]}


@pytest.mark.parametrize(
    "foreign",
    [
        b"",
        b"\xc1",
        b"not msgpack",
        msgspec.msgpack.encode("five!"),
        msgspec.msgpack.encode(5),
        msgspec.msgpack.encode([1, 2, 3]),
        msgspec.msgpack.encode([*FIELDS, "figures", None]),
        msgspec.msgpack.encode([*FIELDS, "a kind of tomorrow", None]),
        msgspec.msgpack.encode([*FIELDS, ["figures"], None]),
        msgspec.msgpack.encode([*FIELDS, "figures", {"as_of": "tomorrow"}]),
        msgspec.msgpack.encode([*FIELDS, "figures", {"as_of": "2026-05-07", "bank": []}]),
        msgspec.msgpack.encode([*FIELDS, "figures", {"as_of": "2026-05-07", "bank": ["x", "EUR"]}]),
        msgspec.msgpack.encode([*FIELDS, "opening", {"amount": None}]),
        msgspec.msgpack.encode([*FIELDS, "opening", AMOUNT]),
    ],
)
async def test_what_another_version_kept_counts_as_absent(
    values: RedisStore, link: RedisClient, foreign: bytes
) -> None:
    await values.put({"mine": entry()})
    await link.client.set(link.key("v:theirs"), foreign)

    found = await values.get(["theirs", "mine"])

    assert found == [None, entry()]


async def test_redis_out_of_reach_is_said(tmp_path: object) -> None:
    values = RedisStore(RedisClient.open(f"unix://{tmp_path}/nobody.sock"), keep_s=1.0)

    with pytest.raises(CacheUnavailable):
        await values.get(["k"])
    with pytest.raises(CacheUnavailable):
        await values.put({"k": entry()})


async def test_memory_gives_back_the_very_entry() -> None:
    values = MemoryStore(10)
    kept = entry(WHOLE)

    await values.put({"k": kept})

    assert await values.get(["k", "other"]) == [kept, None]


async def test_memory_drops_the_least_recently_used_entry_first() -> None:
    values = MemoryStore(3)
    await values.put({key: entry() for key in "abc"})
    await values.get(["a"])
    await values.put({"b": entry(nonce="newer")})

    await values.put({"d": entry()})

    found = await values.get(list("abcd"))
    assert [one is not None for one in found] == [True, True, False, True]


async def test_memory_never_grows_beyond_its_bound() -> None:
    values = MemoryStore(5)

    await values.put({str(number): entry() for number in range(100)})

    found = await values.get([str(number) for number in range(100)])
    assert [index for index, one in enumerate(found) if one] == [95, 96, 97, 98, 99]


async def test_memory_tells_keys_apart_that_look_alike() -> None:
    values = MemoryStore(5)

    await values.put({"1": entry(nonce="text")})

    assert await values.get(["1", "1.0", "01", "True"]) == [entry(nonce="text"), None, None, None]


async def test_a_cache_that_is_off_keeps_nothing() -> None:
    values = NoStore()

    await values.put({"k": entry()})

    assert await values.get(["k", "l"]) == [None, None]
