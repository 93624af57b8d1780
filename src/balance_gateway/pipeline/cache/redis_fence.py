"""The write fence in Redis or Valkey, shared by all replicas; see ``fence.py`` for the protocol.

Keys: ``n:ACCOUNT`` the nonce, ``h:ACCOUNT`` the writes in flight (a sorted set of their ids by
when, on the server's clock, the hold of each ends), ``w:ACCOUNT`` is there as long as any of them
is held, ``epoch`` and ``quarantine``. Those of an account are changed together by scripts, and so
atomically. Redis must not evict them: use ``maxmemory-policy noeviction``, or memory enough.

An epoch ends with the ``run_id`` of the server that it was opened on. One of another server means
that Redis has started again from what it had saved, or that a copy has taken its place: it may be
older than what stood, and is replaced by an epoch with a quarantine. Where nobody may ask for the
``run_id`` this is not noticed, and Redis must then keep either everything or nothing.

A missing epoch means that the cache is new or that it has lost its keys. It is opened anew

* *with* a quarantine by a process that has seen an epoch before, or whose journal has writes
  that may still land;
* *without* one by a process that knows of no write. If it was wrong, because the keys were lost
  while it was starting for the first time, every other replica finds that its epoch was replaced
  by one without a quarantine, and opens another one with it. The epoch is part of the nonces,
  so whatever was kept in between is dropped.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.pipeline.cache.cache_keys import (
    REDIS_EPOCH,
    REDIS_QUARANTINE,
    redis_held_flag_name,
    redis_holds_name,
    redis_nonce_name,
)
from balance_gateway.pipeline.cache.fence import FenceState
from balance_gateway.pipeline.redis_client import RedisClient

logger = logging.getLogger(__name__)

#: What all changes begin with: a new nonce, and no holds that have run out.
_CHANGE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[1], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
"""

#: What they end with: the account is held until the last hold ends.
_HELD = """
local last = redis.call('ZREVRANGE', KEYS[3], 0, 0, 'WITHSCORES')
if last[2] then
  local left = last[2] - now
  redis.call('SET', KEYS[2], 1, 'PX', left)
  redis.call('PEXPIRE', KEYS[3], left)
else
  redis.call('DEL', KEYS[2])
end
return 1
"""

#: KEYS: nonce, held, writes in flight. ARGV: new nonce, the write's id, hold in ms.
_HOLD = f"""{_CHANGE}
local ends = now + ARGV[3]
local before = redis.call('ZSCORE', KEYS[3], ARGV[2])
if not before or tonumber(before) < ends then
  redis.call('ZADD', KEYS[3], ends, ARGV[2])
end
{_HELD}"""

#: KEYS: nonce, held, writes in flight. ARGV: new nonce, the write's id.
_END = f"""{_CHANGE}
redis.call('ZREM', KEYS[3], ARGV[2])
{_HELD}"""

#: KEYS: epoch, quarantine. ARGV: the epoch to be replaced ('' = none), the new one, quarantine in
#: ms (0 = none). Returns the epoch that stands; another process may have been quicker.
_OPEN_EPOCH = """
local standing = redis.call('GET', KEYS[1]) or ''
if standing ~= ARGV[1] then return standing end
if tonumber(ARGV[3]) > 0 then redis.call('SET', KEYS[2], 1, 'PX', ARGV[3]) end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]
"""

_QUARANTINED, _TRUSTED = "q-", "t-"

#: A look that finds keys missing puts them in place and is repeated so often.
_LOOKS_MAX = 5


class RedisFences:
    """Fences shared through Redis.

    Args:
        link: the connection, with its own time limit.
        hold_s: how long a write without an answer counts as in flight, and a quarantine lasts.
        writes_may_land: asks this deployment's journal whether a write may still land.
    """

    def __init__(
        self, link: RedisClient, hold_s: float, writes_may_land: Callable[[], Awaitable[bool]]
    ) -> None:
        self._link = link
        self._hold_ms = int(hold_s * 1000)
        self._writes_may_land = writes_may_land
        self._epoch_seen: str | None = None
        self._hold = link.client.register_script(_HOLD)
        self._end = link.client.register_script(_END)
        self._open = link.client.register_script(_OPEN_EPOCH)

    @property
    def nonces(self) -> None:
        """None: other replicas change them."""
        return

    async def states(self, keys: Sequence[str]) -> Sequence[FenceState]:
        """One standing per key, in order, all of one instant."""
        for _ in range(_LOOKS_MAX):
            standings = await self._look(keys)
            if standings is not None:
                return standings
        raise CacheUnavailable("The shared cache keeps losing its keys.")

    async def _look(self, keys: Sequence[str]) -> Sequence[FenceState] | None:
        """The standings; None when something was missing and has been put in place."""
        names = [self._link.key(REDIS_EPOCH), self._link.key(REDIS_QUARANTINE)]
        for key in keys:
            names += map(self._link.key, (redis_nonce_name(key), redis_held_flag_name(key)))
        values = await self._link.run(lambda: self._link.client.mget(names))
        epoch = await self._trusted_epoch(_text(values[0]))
        if epoch is None:
            return None
        nonces, holds = values[2::2], values[3::2]
        missing = [names[2 + 2 * index] for index, nonce in enumerate(nonces) if nonce is None]
        if missing:
            await self._give_nonces(missing)
            return None
        quarantined = values[1] is not None
        return [
            FenceState(f"{epoch}/{_text(nonce)}", settled=held is None and not quarantined)
            for nonce, held in zip(nonces, holds, strict=True)
        ]

    async def _trusted_epoch(self, epoch: str | None) -> str | None:
        """The epoch if it can be relied on; None when it had to be replaced: look again."""
        run_id = self._link.server.run_id
        if epoch is not None and _is_of(epoch, run_id):
            seen = self._epoch_seen
            if seen is None or epoch == seen or epoch.startswith(_QUARANTINED):
                self._epoch_seen = epoch
                return epoch
        lost = epoch is not None or self._epoch_seen is not None or await self._any_may_land()
        new = f"{_QUARANTINED if lost else _TRUSTED}{secrets.token_hex(8)}@{run_id}"
        quarantine_ms = self._hold_ms if lost else 0
        names = [self._link.key(REDIS_EPOCH), self._link.key(REDIS_QUARANTINE)]
        arguments: list[str | int] = [epoch or "", new, quarantine_ms]
        standing = await self._link.run(lambda: self._open(keys=names, args=arguments))
        if _text(standing) == new:
            self._epoch_seen = new
        return None

    async def _any_may_land(self) -> bool:
        try:
            return await self._writes_may_land()
        except Exception as error:
            # Nothing can be said of this cache then, and nothing is kept in it.
            logger.warning("fence.journal_out_of_reach", exc_info=error)
            raise CacheUnavailable("Whether writes may still land cannot be told.") from error

    async def _give_nonces(self, names: Sequence[str]) -> None:
        """A first nonce to accounts that have none; the quickest process's counts."""

        async def give() -> None:
            async with self._link.client.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.set(name, secrets.token_hex(8), nx=True)
                await pipe.execute()

        await self._link.run(give)

    async def begin_write(self, key: str, write_id: str) -> None:
        """New nonce, and this write is in flight."""
        await self._change(self._hold, key, write_id, self._hold_ms)

    async def end_write(self, key: str, write_id: str) -> None:
        """New nonce, and this write is in flight no longer."""
        await self._change(self._end, key, write_id)

    async def hold(self, key: str, write_id: str, seconds: float) -> None:
        """New nonce, and this write is in flight for at least so long."""
        await self._change(self._hold, key, write_id, max(1, int(seconds * 1000)))

    async def _change(self, script: Any, key: str, *arguments: str | int) -> None:
        names = [
            self._link.key(name)
            for name in (redis_nonce_name(key), redis_held_flag_name(key), redis_holds_name(key))
        ]
        values = [secrets.token_hex(8), *arguments]
        # A write is never held back by an earlier failure: it asks Redis itself.
        await self._link.run(lambda: script(keys=names, args=values), always=True, writes=True)

    async def ping(self) -> None:
        """Raises CacheUnavailable when Redis could not fence a write.

        It does what a write does, for an account that nobody has: a Redis that is full, is a copy
        that is read only, or runs no scripts for us answers a PING all the same.
        """
        await self.end_write("ping", "ping")

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._link.aclose()


def _is_of(epoch: str, run_id: str) -> bool:
    """Whether the epoch was opened on this server, as far as either is known."""
    opened_on = epoch.partition("@")[2]
    return not opened_on or not run_id or opened_on == run_id


def _text(value: Any) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
