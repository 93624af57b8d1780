"""Where values are kept: aiocache's memory and Redis backends, bounded, and exact on the wire."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import msgspec
from aiocache.backends.memory import SimpleMemoryCache
from aiocache.backends.redis import RedisCache
from aiocache.serializers import BaseSerializer

from balance_gateway.domain.balances import BalanceFigures, OpeningBalance
from balance_gateway.domain.codec import (
    figures_from_json,
    figures_to_json,
    opening_balance_from_json,
    opening_balance_to_json,
)
from balance_gateway.pipeline.cache.cache_keys import redis_value_name
from balance_gateway.pipeline.redis_client import COMMAND_TIMEOUT_S, RedisClient

Value = BalanceFigures | OpeningBalance | None


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A kept value.

    Attributes:
        nonce: the fence's nonce as its read started; see ``fence.py``.
        observed_at_s: when that read started, in seconds since 1970.
        fresh_for_s: for how long from then it is fresh.
        value: what was read; None: the provider said that none is set.
    """

    nonce: str
    observed_at_s: float
    fresh_for_s: float
    value: Value


class CacheStore(Protocol):
    """Keeps entries by key.

    Attributes:
        is_enabled: whether anything is kept at all.
    """

    is_enabled: bool

    async def get(self, keys: Sequence[str]) -> Sequence[CacheEntry | None]:
        """One entry, or None, per key, in order.

        Raises:
            CacheUnavailable: the shared cache is out of reach.
        """
        ...

    async def put(self, entries: Mapping[str, CacheEntry]) -> None:
        """Keeps the entries.

        Raises:
            CacheUnavailable: the shared cache is out of reach; nothing may have been kept.
        """
        ...


class NoStore:
    """Keeps nothing: ``cache.enabled = false``."""

    is_enabled = False

    async def get(self, keys: Sequence[str]) -> Sequence[CacheEntry | None]:
        """None for each."""
        return [None] * len(keys)

    async def put(self, entries: Mapping[str, CacheEntry]) -> None:
        """Forgets them."""


class BoundedMemoryCache(SimpleMemoryCache):  # type: ignore[misc]
    """aiocache's memory cache with an upper bound: the least recently used entry goes first.

    As shipped it grows for ever and starts a timer for each key; ages are ours to check anyway.
    """

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
    """Values of a single process.

    Args:
        entries_max: how many are kept; the least recently used go first.
    """

    is_enabled = True

    def __init__(self, entries_max: int) -> None:
        self._cache = BoundedMemoryCache(entries_max)

    async def get(self, keys: Sequence[str]) -> Sequence[CacheEntry | None]:
        """One entry, or None, per key, in order."""
        return cast("Sequence[CacheEntry | None]", await self._cache.multi_get(keys))

    async def put(self, entries: Mapping[str, CacheEntry]) -> None:
        """Keeps the entries."""
        await self._cache.multi_set(entries.items())


class _EntrySerializer(BaseSerializer):  # type: ignore[misc]
    """Entries as msgpack. What cannot be read back (another version's entry) counts as absent."""

    DEFAULT_ENCODING = None

    def dumps(self, entry: CacheEntry) -> bytes:
        """An entry as bytes."""
        value = entry.value
        kind, content = "none", None
        if isinstance(value, BalanceFigures):
            kind, content = "figures", figures_to_json(value)
        elif isinstance(value, OpeningBalance):
            kind, content = "opening", opening_balance_to_json(value)
        fields = (entry.nonce, entry.observed_at_s, entry.fresh_for_s, kind, content)
        return msgspec.msgpack.encode(fields)

    def loads(self, data: bytes | None) -> CacheEntry | None:
        """The entry of some bytes."""
        if data is None:
            return None
        try:
            nonce, observed_at_s, fresh_for_s, kind, content = msgspec.msgpack.decode(data)
            return CacheEntry(nonce, observed_at_s, fresh_for_s, _READERS[kind](content))
        except (msgspec.MsgspecError, ValueError, LookupError, TypeError, AssertionError):
            return None


_READERS: dict[str, Any] = {
    "none": lambda _: None,
    "figures": figures_from_json,
    "opening": opening_balance_from_json,
}


class RedisStore:
    """Values shared through Redis.

    Args:
        link: the connection.
        keep_s: for how long Redis keeps a value at all.
    """

    is_enabled = True

    def __init__(self, link: RedisClient, keep_s: float) -> None:
        self._link = link
        self._keep_s = float(keep_s)
        self._cache = RedisCache(serializer=_EntrySerializer(), timeout=COMMAND_TIMEOUT_S)
        # aiocache takes no URL, user name or TLS settings, so it is given a client that has them.
        self._cache.client = link.client

    async def get(self, keys: Sequence[str]) -> Sequence[CacheEntry | None]:
        """One entry, or None, per key, in order."""
        names = [self._link.key(redis_value_name(key)) for key in keys]
        return await self._link.run(lambda: self._cache.multi_get(names))

    async def put(self, entries: Mapping[str, CacheEntry]) -> None:
        """Keeps the entries."""
        pairs = [(self._link.key(redis_value_name(key)), entry) for key, entry in entries.items()]
        await self._link.run(
            lambda: self._cache.multi_set(pairs, ttl=self._keep_s),
            writes=True,
        )
