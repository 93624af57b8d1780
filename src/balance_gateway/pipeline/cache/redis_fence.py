"""The write fence in Redis or Valkey, shared by all replicas; ``fence.py`` is the protocol.

Keys (``cache_keys.py``): ``n:FENCE`` is the nonce. ``h:FENCE`` is the writes in flight: a sorted
set of write ids, scored by the time at which the hold of each ends, on the server's clock.
``w:FENCE`` exists while any of them is held. ``epoch`` and ``quarantine`` exist once. Scripts
change the keys of one fence together, and so atomically (``redis_scripts.py``). ``seq`` counts the
changes of the whole cache, and ``log`` lists the newest of them for the other replicas
(``change_log.py``). Redis must not evict these keys: use
``maxmemory-policy noeviction``, or enough memory.

An epoch ends with the ``run_id`` of the server process on which it was opened. An epoch of another
server process means that Redis restarted from its saved data, or that a replica of it took over.
Its data may be older than before, so the epoch is replaced and a quarantine begins. If the Redis
user may not read ``run_id``, this is not detected, and Redis must keep either everything or
nothing when it restarts.

A missing epoch means that the cache is new, or that it has lost its keys. The epoch is opened

* *with* a quarantine by a process that has seen an epoch before, or that finds writes in the
  journal that may still take effect;
* *without* a quarantine by a process that knows of no such write. This is wrong if the keys were
  lost while that process was starting for the first time. Every other replica then finds that its
  epoch was replaced without a quarantine, and opens another epoch with a quarantine. Values that
  were stored in between are invalid, because the epoch is part of every nonce.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.pipeline.cache.cache_keys import (
    REDIS_EPOCH,
    REDIS_LOG,
    REDIS_QUARANTINE,
    REDIS_SEQ,
    redis_held_flag_name,
    redis_holds_name,
    redis_nonce_name,
)
from balance_gateway.pipeline.cache.change_log import ChangeLog, LogLink
from balance_gateway.pipeline.cache.fence import FenceState
from balance_gateway.pipeline.cache.owed_values import OwedValues
from balance_gateway.pipeline.cache.redis_log_link import RedisLogLink
from balance_gateway.pipeline.cache.redis_scripts import END, HOLD, OPEN_EPOCH
from balance_gateway.pipeline.redis_client import RedisClient
from balance_gateway.pipeline.redis_failures import RedisUnavailable
from balance_gateway.ports.cache_validity import LocalCacheVersions

logger = logging.getLogger(__name__)

#: Prefixes of epochs: opened with a quarantine, or trusted without one.
_QUARANTINED, _TRUSTED = "q-", "t-"

#: A lookup that finds keys missing creates them and is repeated; at most this often.
_LOOKUPS_MAX = 5


class RedisFences:
    """Fences shared through Redis.

    Args:
        redis: the connection, with its own time limit.
        hold_s: how long a write without an answer counts as in flight, and a quarantine lasts.
        has_unsettled_writes: returns whether the deployment's journal has a write that may still
            take effect.
        link: reads the log of changes; None for a connection of its own.

    Attributes:
        versions: the validities of this process.
        change_log: what the other replicas change.
        owed: the values that this process has shown and could not store.
    """

    def __init__(
        self,
        redis: RedisClient,
        hold_s: float,
        has_unsettled_writes: Callable[[], Awaitable[bool]],
        link: LogLink | None = None,
    ) -> None:
        self._redis = redis
        self._hold_ms = int(hold_s * 1000)
        self._has_unsettled_writes = has_unsettled_writes
        self._epoch_seen: str | None = None
        self._hold = redis.client.register_script(HOLD)
        self._end = redis.client.register_script(END)
        self._open = redis.client.register_script(OPEN_EPOCH)
        self.versions = LocalCacheVersions()
        link = link or RedisLogLink(redis, redis.key(REDIS_LOG))
        self.change_log: ChangeLog = ChangeLog(link, self.versions)
        self.owed = OwedValues(redis.monotonic)

    async def states(self, keys: Sequence[str]) -> Sequence[FenceState]:
        """Return one state per key, in order, all read at one instant."""
        for _ in range(_LOOKUPS_MAX):
            states = await self._look_up(keys)
            if states is not None:
                return states
        raise CacheUnavailable("The shared cache repeatedly lost its keys.")

    async def _look_up(self, keys: Sequence[str]) -> Sequence[FenceState] | None:
        """Return the states; None when keys were missing and have been created: look up again."""
        names = [self._redis.key(each) for each in (REDIS_EPOCH, REDIS_QUARANTINE, REDIS_SEQ)]
        for key in keys:
            names += map(self._redis.key, (redis_nonce_name(key), redis_held_flag_name(key)))
        values = await self._redis.run(lambda: self._redis.client.mget(names))
        epoch = await self._verify_epoch(_decode(values[0]))
        if epoch is None:
            return None
        nonces, holds = values[3::2], values[4::2]
        missing = [names[3 + 2 * index] for index, nonce in enumerate(nonces) if nonce is None]
        if missing:
            await self._create_nonces(missing)
            return None
        quarantined, seq = values[1] is not None, int(values[2] or 0)
        return [
            FenceState(f"{epoch}/{_decode(nonce)}", held is None and not quarantined, seq)
            for nonce, held in zip(nonces, holds, strict=True)
        ]

    async def _verify_epoch(self, epoch: str | None) -> str | None:
        """Return the epoch if it is reliable; None when it had to be replaced: look up again."""
        run_id = self._redis.server.run_id
        if epoch is not None and _was_opened_on(epoch, run_id):
            seen = self._epoch_seen
            # A replaced epoch is accepted only with a quarantine: this process knows of the loss.
            if seen is None or epoch == seen or epoch.startswith(_QUARANTINED):
                self._epoch_seen = epoch
                return epoch
        keys_were_lost = (
            epoch is not None or self._epoch_seen is not None or await self._ask_journal()
        )
        new = f"{_QUARANTINED if keys_were_lost else _TRUSTED}{secrets.token_hex(8)}@{run_id}"
        quarantine_ms = self._hold_ms if keys_were_lost else 0
        names = [self._redis.key(each) for each in (REDIS_EPOCH, REDIS_QUARANTINE, REDIS_LOG)]
        arguments: list[str | int] = [epoch or "", new, quarantine_ms]
        current = await self._redis.run(lambda: self._open(keys=names, args=arguments))
        if _decode(current) == new:
            self._epoch_seen = new
        return None

    async def _ask_journal(self) -> bool:
        try:
            return await self._has_unsettled_writes()
        except Exception as error:
            # Without the journal the cache cannot be trusted, so nothing may be stored in it.
            logger.warning("fence.journal_out_of_reach", exc_info=error)
            raise CacheUnavailable(
                "The write journal is unreachable; writes that may still take effect are unknown."
            ) from error

    async def _create_nonces(self, names: Sequence[str]) -> None:
        """Set a first nonce where there is none; the fastest process wins."""

        async def create() -> None:
            async with self._redis.client.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.set(name, secrets.token_hex(8), nx=True)
                await pipe.execute()

        await self._redis.run(create)

    async def begin_write(self, key: str, write_id: str) -> None:
        """Set a new nonce and add the write to the writes in flight."""
        await self._change(self._hold, key, write_id, self._hold_ms)

    async def end_write(self, key: str, write_id: str) -> None:
        """Set a new nonce and remove the write from the writes in flight."""
        await self._change(self._end, key, write_id)

    async def hold(self, key: str, write_id: str, seconds: float) -> None:
        """Set a new nonce and keep the write in flight for at least this long."""
        await self._change(self._hold, key, write_id, max(1, int(seconds * 1000)))

    async def _change(self, script: Any, key: str, *arguments: str | int) -> None:
        of_fence = redis_nonce_name(key), redis_held_flag_name(key), redis_holds_name(key)
        names = [self._redis.key(name) for name in (*of_fence, REDIS_SEQ, REDIS_LOG)]
        values = [secrets.token_hex(8), key, *arguments]
        # An earlier failure must not refuse a write: it always asks Redis itself.
        await self._redis.run(
            lambda: script(keys=names, args=values), ignore_backoff=True, is_write=True
        )

    def lengthen_hold(self, hold_s: float) -> None:
        """Hold writes that begin from now on for so many seconds; never less than before."""
        self._hold_ms = max(self._hold_ms, int(hold_s * 1000))

    async def ping(self) -> None:
        """Check that Redis can fence a write, and that its log can be read.

        It runs the end of a write for a fence that no account has. A Redis that is full, that is
        a read-only replica, or that refuses scripts would still answer a PING.

        Raises:
            CacheUnavailable: Redis cannot fence a write, or its log cannot be read.
        """
        await self.end_write("ping", "ping")
        # Twice: the first read over a connection only finds the newest entry.
        if not (await self.change_log.check() and await self.change_log.check()):
            raise RedisUnavailable(self._redis.reason)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.change_log.aclose()
        await self._redis.aclose()


def _was_opened_on(epoch: str, run_id: str) -> bool:
    """Return whether the epoch was opened on this server process, if both are known."""
    opened_on = epoch.partition("@")[2]
    return not opened_on or not run_id or opened_on == run_id


def _decode(value: Any) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
