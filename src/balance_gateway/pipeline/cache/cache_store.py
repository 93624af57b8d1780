"""Store cached values: aiocache's memory and Redis backends, bounded, with exact serialisation."""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from aiocache.backends.memory import SimpleMemoryCache
from aiocache.backends.redis import RedisCache
from aiocache.serializers import NullSerializer

from balance_gateway.domain.balances import BalanceFigures, OpeningBalance
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.pipeline.cache.cache_format import decode_entry, encode_entry
from balance_gateway.pipeline.cache.cache_keys import (
    REDIS_EPOCH,
    REDIS_LOG,
    REDIS_SEQ,
    redis_nonce_name,
    redis_value_name,
)
from balance_gateway.pipeline.cache.change_log import name_value
from balance_gateway.pipeline.cache.redis_scripts import KEEP, REFUSED
from balance_gateway.pipeline.redis_client import COMMAND_TIMEOUT_S, RedisClient

#: How many values one script stores: Redis answers nobody else meanwhile.
_VALUES_MAX = 500

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


class LocalStore(CacheStore, Protocol):
    """A store that only this process uses."""

    async def put(self, entries: Mapping[str, CacheEntry]) -> None:
        """Store the entries."""
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
        self.keep(key, value)
        return True

    def keep(self, key: str, value: object) -> None:
        """Store a value, without waiting."""
        self._cache[key] = value
        self._cache.move_to_end(key)
        if len(self._cache) > self._entries_max:
            self._cache.popitem(last=False)


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

    def put_at_once(self, entries: Mapping[str, CacheEntry]) -> None:
        """Store the entries, without waiting."""
        for key, entry in entries.items():
            self._cache.keep(key, entry)


@dataclass(frozen=True, slots=True)
class NewValue:
    """A value to store in the shared cache.

    Attributes:
        entry: the value.
        fence: the fence key.
        account: the prefix of the account's value keys.
        seq: the number of changes when its read looked at the cache.
    """

    entry: CacheEntry
    fence: str
    account: str
    seq: int


class RedisStore:
    """Cached values shared through Redis.

    A stored value is its number, a digest, and the entry. Of two overlapping reads with different
    values neither is kept: the entry is empty then.

    Args:
        redis: the connection.
        retention_s: after how many seconds Redis deletes a value.

    Attributes:
        retention_s: as given.
    """

    is_enabled = True

    def __init__(self, redis: RedisClient, retention_s: float) -> None:
        self._redis = redis
        self.retention_s = float(retention_s)
        self._cache = RedisCache(
            serializer=NullSerializer(encoding=None), timeout=COMMAND_TIMEOUT_S
        )
        # aiocache accepts no URL, user name or TLS settings, so it gets a client that has them.
        self._cache.client = redis.client
        self._keep = redis.client.register_script(KEEP)

    async def get(self, keys: Sequence[str]) -> Sequence[CacheEntry | None]:
        """Return one entry, or None, per key, in order."""
        names = [self._redis.key(redis_value_name(key)) for key in keys]
        stored = await self._redis.run(lambda: self._cache.multi_get(names))
        return [_decode(each) for each in stored]

    async def keep(self, values: Mapping[str, NewValue]) -> Mapping[str, bool]:
        """Store values, each unless a write has begun since its look.

        Returns:
            For each value key whether Redis has no older value any more.

        Raises:
            CacheUnavailable: the shared cache is unreachable; some or none may be stored.
        """
        kept: dict[str, bool] = {}
        keys = list(values)
        for start in range(0, len(keys), _VALUES_MAX):
            part = {key: values[key] for key in keys[start : start + _VALUES_MAX]}
            kept.update(await self._keep_part(part))
        return kept

    async def _keep_part(self, values: Mapping[str, NewValue]) -> Mapping[str, bool]:
        names = [REDIS_EPOCH, REDIS_SEQ, REDIS_LOG]
        arguments: list[Any] = [secrets.token_hex(8), int(self.retention_s * 1000)]
        for key, new in values.items():
            names += [redis_nonce_name(new.fence), redis_value_name(key)]
            entry, name = new.entry, name_value(new.fence, new.account, key)
            digest, text = _digest(entry.value), _encode(entry)
            arguments += [entry.nonce, new.seq, digest, text, name]
        keys = [self._redis.key(name) for name in names]
        results = await self._redis.run(
            lambda: self._keep(keys=keys, args=arguments), is_write=True
        )
        return {key: int(result) != REFUSED for key, result in zip(values, results, strict=True)}


def _encode(entry: CacheEntry) -> bytes:
    return encode_entry(entry.nonce, entry.observed_at_s, entry.fresh_for_s, entry.value)


def _digest(value: Value) -> str:
    return hashlib.sha256(encode_entry("", 0.0, 0.0, value)).hexdigest()[:32]


def _decode(stored: bytes | None) -> CacheEntry | None:
    """Decode a stored value; None when there is none, or when it has another format."""
    parts = [] if stored is None else stored.split(b" ", 2)
    fields = decode_entry(parts[2]) if len(parts) == 3 else None
    return None if fields is None else CacheEntry(*fields)
