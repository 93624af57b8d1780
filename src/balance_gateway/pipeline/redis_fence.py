"""The write fence in Redis or Valkey, shared by all replicas; see ``fence.py`` for the protocol.

Keys: ``n:ACCOUNT`` the nonce, ``w:ACCOUNT`` the count of writes in flight (it expires), ``epoch``
and ``quarantine``. The first two are changed together by scripts, and so atomically. Redis must
not evict them: use ``maxmemory-policy noeviction``, or memory enough.

A missing epoch means that the cache is new or that it has lost its keys. It is opened anew

* *with* a quarantine by a process that has seen an epoch before, or whose journal has writes
  that may still land;
* *without* one by a process that knows of no write. If it was wrong, because the keys were lost
  while it was starting for the first time, every other replica finds that its epoch was replaced
  by one without a quarantine, and opens another one with it. The epoch is part of the nonces,
  so whatever was kept in between is dropped.
"""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.pipeline.fence import Standing
from balance_gateway.pipeline.redis_link import RedisLink

#: KEYS: nonce, count. ARGV: new nonce, hold in ms.
_BEGIN = """
redis.call('SET', KEYS[1], ARGV[1])
redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
"""

#: KEYS: nonce, count. ARGV: new nonce. A count that has expired is not made negative.
_END = """
redis.call('SET', KEYS[1], ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 1 and redis.call('DECR', KEYS[2]) <= 0 then
  redis.call('DEL', KEYS[2])
end
return 1
"""

#: KEYS: nonce, count. ARGV: new nonce, hold in ms. The count is made to last at least so long.
_HOLD = """
redis.call('SET', KEYS[1], ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('SET', KEYS[2], 1, 'PX', ARGV[2])
elseif redis.call('PTTL', KEYS[2]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return 1
"""

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
        self, link: RedisLink, hold_s: float, writes_may_land: Callable[[], Awaitable[bool]]
    ) -> None:
        self._link = link
        self._hold_ms = int(hold_s * 1000)
        self._writes_may_land = writes_may_land
        self._epoch_seen: str | None = None
        self._begin = link.client.register_script(_BEGIN)
        self._end = link.client.register_script(_END)
        self._hold = link.client.register_script(_HOLD)
        self._open = link.client.register_script(_OPEN_EPOCH)

    @property
    def nonces(self) -> None:
        """None: other replicas change them."""
        return

    async def standings(self, keys: Sequence[str]) -> Sequence[Standing]:
        """One standing per key, in order, all of one instant."""
        for _ in range(_LOOKS_MAX):
            standings = await self._look(keys)
            if standings is not None:
                return standings
        raise CacheUnavailable("The shared cache keeps losing its keys.")

    async def _look(self, keys: Sequence[str]) -> Sequence[Standing] | None:
        """The standings; None when something was missing and has been put in place."""
        names = [self._link.key("epoch"), self._link.key("quarantine")]
        for key in keys:
            names += (self._link.key(f"n:{key}"), self._link.key(f"w:{key}"))
        values = await self._link.run(lambda: self._link.client.mget(names))
        epoch = await self._trusted_epoch(_text(values[0]))
        if epoch is None:
            return None
        nonces, counts = values[2::2], values[3::2]
        missing = [names[2 + 2 * index] for index, nonce in enumerate(nonces) if nonce is None]
        if missing:
            await self._give_nonces(missing)
            return None
        quarantined = values[1] is not None
        return [
            Standing(f"{epoch}/{_text(nonce)}", settled=count is None and not quarantined)
            for nonce, count in zip(nonces, counts, strict=True)
        ]

    async def _trusted_epoch(self, epoch: str | None) -> str | None:
        """The epoch if it can be relied on; None when it had to be replaced: look again."""
        if epoch is not None and (
            epoch == self._epoch_seen or self._epoch_seen is None or epoch.startswith(_QUARANTINED)
        ):
            self._epoch_seen = epoch
            return epoch
        lost = self._epoch_seen is not None or await self._writes_may_land()
        new = (_QUARANTINED if lost else _TRUSTED) + secrets.token_hex(8)
        quarantine_ms = self._hold_ms if lost else 0
        names = [self._link.key("epoch"), self._link.key("quarantine")]
        arguments: list[str | int] = [epoch or "", new, quarantine_ms]
        standing = await self._link.run(lambda: self._open(keys=names, args=arguments))
        if _text(standing) == new:
            self._epoch_seen = new
        return None

    async def _give_nonces(self, names: Sequence[str]) -> None:
        """A first nonce to accounts that have none; the quickest process's counts."""

        async def give() -> None:
            async with self._link.client.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.set(name, secrets.token_hex(8), nx=True)
                await pipe.execute()

        await self._link.run(give)

    async def begin_write(self, key: str) -> None:
        """New nonce, one more write in flight."""
        await self._change(self._begin, key, self._hold_ms)

    async def end_write(self, key: str) -> None:
        """New nonce, one write in flight less."""
        await self._change(self._end, key)

    async def hold(self, key: str, seconds: float) -> None:
        """New nonce, and a write in flight for at least so long."""
        await self._change(self._hold, key, max(1, int(seconds * 1000)))

    async def _change(self, script: Any, key: str, *arguments: int) -> None:
        names = [self._link.key(f"n:{key}"), self._link.key(f"w:{key}")]
        values = [secrets.token_hex(8), *arguments]
        # A write is never held back by an earlier failure: it asks Redis itself.
        await self._link.run(lambda: script(keys=names, args=values), always=True)

    async def ping(self) -> None:
        """Raises CacheUnavailable when Redis is out of reach."""
        if not await self._link.run(self._link.client.ping, always=True):
            raise CacheUnavailable("The shared cache does not answer.")

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._link.aclose()


def _text(value: Any) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
