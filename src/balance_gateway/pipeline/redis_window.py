"""Counts calls to a provider for all replicas, in a sorted set of Redis per connector."""

import secrets
from collections.abc import Awaitable, Callable

from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.pipeline.budget import WINDOW_S
from balance_gateway.pipeline.redis_link import RedisLink

#: KEYS: the set. ARGV: window in ms, limit, a name for this call. Returns the ms to wait; 0: the
#: call was counted. The server's clock is the one that counts, for all replicas alike.
_TAKE = """
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


def redis_take(link: RedisLink, budget: str) -> Callable[[int], Awaitable[float | None]]:
    """What counts a call of a budget in Redis; see ``budget.SharedWindow``.

    Args:
        link: the connection.
        budget: names the budget: equal for replicas that spend the same one.
    """
    script = link.client.register_script(_TAKE)
    key = link.key(f"b:{budget}")
    window_ms = int(WINDOW_S * 1000)

    async def take(limit: int) -> float | None:
        arguments: list[str | int] = [window_ms, limit, secrets.token_hex(8)]
        try:
            wait_ms = await link.run(lambda: script(keys=[key], args=arguments))
        except CacheUnavailable:
            return None
        return float(wait_ms) / 1000.0

    return take
