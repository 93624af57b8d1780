"""Store cached values: aiocache's memory and Redis backends, bounded, with exact serialisation."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from aiocache.backends.memory import SimpleMemoryCache
from aiocache.backends.redis import RedisCache
from aiocache.serializers import BaseSerializer

from balance_gateway.domain.balances import BalanceFigures, OpeningBalance
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.pipeline.cache.cache_format import decode_entry, encode_entry
from balance_gateway.pipeline.cache.cache_keys import redis_value_name
from balance_gateway.pipeline.redis_client import COMMAND_TIMEOUT_S, RedisClient

Value = BalanceFigures | OpeningBalance | BankFeed | None


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A cached value.

    Attributes:
        nonce: the fence's nonce when its read started; see ``fence.py``.
        observed_at_s: when that read started, in seconds since 1970.
        fresh_for_s: for how many seconds from then on it is fresh.
        value: the value; None: the provider has no opening balance, or no bank feed, for the
            account.
    """

    nonce: str
    observed_at_s: float
    fresh_for_s: float
    value: Value


class CacheStore(Protocol):
    """Stores entries by key.

    Attributes:
        is_enabled: whether anything is stored at all.
    """

    is_enabled: bool

    async def get(self, keys: Sequence[str]) -> Sequence[CacheEntry | None]:
        """Return one entry, or None, per key, in order.

        Raises:
            CacheUnavailable: the shared cache is unreachable.
        """
        ...

    async def put(self, entries: Mapping[str, CacheEntry]) -> None:
        """Store the entries.

        Raises:
            CacheUnavailable: the shared cache is unreachable; some or none may be stored.
        """
        ...


class NoStore:
    """Stores nothing: ``cache.enabled = false``."""

    is_enabled = False

    async def get(self, keys: Sequence[str]) -> Sequence[CacheEntry | None]:
        """Return None for each key."""
        return [None] * len(keys)

    async def put(self, entries: Mapping[str, CacheEntry]) -> None:
        """Discard the entries."""


class BoundedMemoryCache(SimpleMemoryCache):  # type: ignore[misc]
    """aiocache's memory cache with an upper bound; evicts the least recently used entry first.

    Args:
        entries_max: how many entries are stored.
    """

    # As shipped, aiocache's memory cache grows without a bound and starts a timer for each key.
    # Expiry is not needed here: readers check ages themselves.

    def __init__(self, entries_max: int) -> None:
        super().__init__(timeout=0)
        self._cache: OrderedDict[str, object] = OrderedDict()
        self._entries_max = entries_max

    async def _multi_get(
        self,
        keys: Sequence[str],
        encoding: str = "utf-8",  # noqa: ARG002 (aiocache's signature)
        _conn: Any = None,
    ) -> list[object]:
        found = []
        for key in keys:
            value = self._cache.get(key)
            if value is not None:
                self._cache.move_to_end(key)
            found.append(value)
        return found

    async def _set(
        self,
        key: str,
        value: object,
        ttl: Any = None,  # noqa: ARG002 (aiocache's signature)
        _cas_token: Any = None,
        _conn: Any = None,
    ) -> bool:
        self._cache[key] = value
        self._cache.move_to_end(key)
        if len(self._cache) > self._entries_max:
            self._cache.popitem(last=False)
        return True


class MemoryStore:
    """The cached values of a single process.

    Args:
        entries_max: how many entries are stored; the least recently used are evicted first.
    """

    is_enabled = True

    def __init__(self, entries_max: int) -> None:
        self._cache = BoundedMemoryCache(entries_max)

    async def get(self, keys: Sequence[str]) -> Sequence[CacheEntry | None]:
        """Return one entry, or None, per key, in order."""
        return cast("Sequence[CacheEntry | None]", await self._cache.multi_get(keys))

    async def put(self, entries: Mapping[str, CacheEntry]) -> None:
        """Store the entries."""
        await self._cache.multi_set(entries.items())


class _EntrySerializer(BaseSerializer):  # type: ignore[misc]
    """Serialises entries in the cache's format."""

    DEFAULT_ENCODING = None

    def dumps(self, entry: CacheEntry) -> bytes:
        """Encode an entry."""
        return encode_entry(entry.nonce, entry.observed_at_s, entry.fresh_for_s, entry.value)

    def loads(self, data: bytes | None) -> CacheEntry | None:
        """Decode an entry; None when there is none, or when it has another format."""
        fields = None if data is None else decode_entry(data)
        return None if fields is None else CacheEntry(*fields)


class RedisStore:
    """Cached values shared through Redis.

    Args:
        redis: the connection.
        retention_s: after how many seconds Redis deletes a value.
    """

    is_enabled = True

    def __init__(self, redis: RedisClient, retention_s: float) -> None:
        self._redis = redis
        self._retention_s = float(retention_s)
        self._cache = RedisCache(serializer=_EntrySerializer(), timeout=COMMAND_TIMEOUT_S)
        # aiocache accepts no URL, user name or TLS settings, so it gets a client that has them.
        self._cache.client = redis.client

    async def get(self, keys: Sequence[str]) -> Sequence[CacheEntry | None]:
        """Return one entry, or None, per key, in order."""
        names = [self._redis.key(redis_value_name(key)) for key in keys]
        return await self._redis.run(lambda: self._cache.multi_get(names))

    async def put(self, entries: Mapping[str, CacheEntry]) -> None:
        """Store the entries."""
        pairs = [(self._redis.key(redis_value_name(key)), entry) for key, entry in entries.items()]
        await self._redis.run(
            lambda: self._cache.multi_set(pairs, ttl=self._retention_s),
            is_write=True,
        )
