"""Counts the calls of all replicas to a provider, in one Redis sorted set per connector."""

import secrets
from contextlib import suppress

from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.pipeline.calls.sliding_window import WINDOW_S
from balance_gateway.pipeline.redis_client import RedisClient

#: KEYS: the sorted set; the key that exists while the provider is blocked. ARGV: window in ms,
#: limit, a unique member for this call. Returns the ms to wait; 0: the call was counted. All
#: replicas use the Redis server's clock.
_ACQUIRE = """
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

#: KEYS: the key that exists while the provider is blocked. ARGV: duration in ms. A longer block
#: that is in effect stays.
_BLOCK = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
end
"""

#: KEYS: the sorted set. ARGV: window in ms, a unique member, ms since the call was counted. Removes
#: the oldest call, unless the late call has already been removed, and counts one from now.
_RECOUNT_LATE_CALL = """
local now = redis.call('TIME')
if tonumber(ARGV[3]) < tonumber(ARGV[1]) then redis.call('ZPOPMIN', KEYS[1]) end
redis.call('ZADD', KEYS[1], now[1] * 1000 + math.floor(now[2] / 1000), ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""


class RedisCallCounter:
    """Counts the calls of one budget in Redis; a ``sliding_window.SharedCallCounter``.

    Args:
        client: The Redis client.
        budget: Name of the budget; replicas with the same name share it.
    """

    def __init__(self, client: RedisClient, budget: str) -> None:
        self._client = client
        self._acquire_script = client.client.register_script(_ACQUIRE)
        self._block_script = client.client.register_script(_BLOCK)
        self._recount_script = client.client.register_script(_RECOUNT_LATE_CALL)
        self._calls_key = client.key(f"b:{budget}")
        self._blocked_key = client.key(f"b:{budget}:blocked")
        self._window_ms = int(WINDOW_S * 1000)

    async def acquire(self, limit: int) -> float | None:
        """Count one call if fewer than ``limit`` were made in the last minute.

        Returns:
            0.0 when the call was counted, otherwise the seconds to wait; None when Redis is
            unavailable.
        """
        keys = [self._calls_key, self._blocked_key]
        arguments: list[str | int] = [self._window_ms, limit, secrets.token_hex(8)]
        try:
            wait_ms = await self._client.run(
                lambda: self._acquire_script(keys=keys, args=arguments)
            )
        except CacheUnavailable:
            return None
        return float(wait_ms) / 1000.0

    async def block(self, seconds: float) -> None:
        """Block the calls of all replicas for so long; has no effect without Redis."""
        keys, arguments = [self._blocked_key], [max(1, int(seconds * 1000))]
        with suppress(CacheUnavailable):
            await self._client.run(lambda: self._block_script(keys=keys, args=arguments))

    async def recount_late_call(self, age_s: float) -> None:
        """Count a call from now on that was counted long before; has no effect without Redis."""
        keys = [self._calls_key]
        arguments: list[str | int] = [self._window_ms, secrets.token_hex(8), int(age_s * 1000)]
        with suppress(CacheUnavailable):
            await self._client.run(lambda: self._recount_script(keys=keys, args=arguments))
