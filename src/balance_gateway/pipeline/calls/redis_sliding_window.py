"""Counts calls to a provider for all replicas, in a sorted set of Redis per connector."""

import secrets
from contextlib import suppress

from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.pipeline.calls.sliding_window import WINDOW_S
from balance_gateway.pipeline.redis_client import RedisClient

#: KEYS: the set, and what is there while the provider lets nobody call. ARGV: window in ms, limit,
#: a name for this call. Returns the ms to wait; 0: the call was counted. The server's clock is the
#: one that counts, for all replicas alike.
_TAKE = """
local blocked_ms = redis.call('PTTL', KEYS[2])
if blocked_ms > 0 then return blocked_ms end
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local window_ms = tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms - window_ms)
local used, limit = redis.call('ZCARD', KEYS[1]), tonumber(ARGV[2])
if used < limit then
  redis.call('ZADD', KEYS[1], now_ms, ARGV[3])
  redis.call('PEXPIRE', KEYS[1], window_ms)
  return 0
end
local first = redis.call('ZRANGE', KEYS[1], used - limit, used - limit, 'WITHSCORES')
return math.max(1, first[2] + window_ms - now_ms)
"""

#: KEYS: what is there while nobody may call. ARGV: for how many ms; it is never made shorter.
_BLOCK = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
end
"""

#: KEYS: the set. ARGV: window in ms, a name. A call is counted from now on, in the oldest's place.
_ANSWERED_LATE = """
local now = redis.call('TIME')
redis.call('ZPOPMIN', KEYS[1])
redis.call('ZADD', KEYS[1], now[1] * 1000 + math.floor(now[2] / 1000), ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""


class RedisCounter:
    """Where the calls of one budget are counted; a ``windows.SharedPlace``.

    Args:
        link: the connection.
        budget: names the budget: equal for replicas that spend the same one.
    """

    def __init__(self, link: RedisClient, budget: str) -> None:
        self._link = link
        self._take = link.client.register_script(_TAKE)
        self._block = link.client.register_script(_BLOCK)
        self._answered_late = link.client.register_script(_ANSWERED_LATE)
        self._calls = link.key(f"b:{budget}")
        self._blocked = link.key(f"b:{budget}:blocked")
        self._window_ms = int(WINDOW_S * 1000)

    async def take(self, limit: int) -> float | None:
        """Counts a call: 0.0, or the seconds until one may be; None: Redis is out of reach."""
        keys = [self._calls, self._blocked]
        arguments: list[str | int] = [self._window_ms, limit, secrets.token_hex(8)]
        try:
            wait_ms = await self._link.run(lambda: self._take(keys=keys, args=arguments))
        except CacheUnavailable:
            return None
        return float(wait_ms) / 1000.0

    async def block(self, seconds: float) -> None:
        """Lets no replica call for so long, if Redis can be reached."""
        keys, arguments = [self._blocked], [max(1, int(seconds * 1000))]
        with suppress(CacheUnavailable):
            await self._link.run(lambda: self._block(keys=keys, args=arguments))

    async def answered_late(self) -> None:
        """Counts a call anew, in place of the oldest, if Redis can be reached."""
        keys = [self._calls]
        arguments: list[str | int] = [self._window_ms, secrets.token_hex(8)]
        with suppress(CacheUnavailable):
            await self._link.run(lambda: self._answered_late(keys=keys, args=arguments))
