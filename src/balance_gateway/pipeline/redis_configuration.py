"""Finds settings of Redis that do not suit the fence: eviction, and data from before a restart."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from redis.exceptions import ResponseError

from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.pipeline.redis_client import RedisClient

logger = logging.getLogger(__name__)


async def find_risks(redis: RedisClient) -> Sequence[str]:
    """Return a sentence per unsuitable setting, with what to set instead.

    Settings that the Redis user may not read are left out.

    Raises:
        CacheUnavailable: Redis did not answer.
    """
    memory = await _read(redis, lambda: redis.client.info("memory"))
    persistence = await _read(redis, lambda: redis.client.info("persistence"))
    saving = await _read(redis, lambda: redis.client.config_get("save"))
    risks = []
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        risks.append(
            f"maxmemory-policy is {policy}: Redis may evict the marks of writes, after which older"
            " values can be served; set it to noeviction"
        )
    kept = []
    if str(persistence.get("aof_enabled", "0")) == "1":
        kept.append("appendonly is yes")
    if saving.get("save"):
        kept.append(f"save is {saving['save']!r}")
    if kept:
        risks.append(
            f"{' and '.join(kept)}: a restarted Redis has data from before its last writes, and"
            " nothing is cached for a while; set appendonly no and save ''"
        )
    return risks


async def warn_of_risks(redis: RedisClient) -> None:
    """Log each unsuitable setting; nothing if Redis does not answer."""
    try:
        risks = await find_risks(redis)
    except CacheUnavailable:
        return
    for risk in risks:
        logger.warning("cache.unsuitable_setting", extra={"risk": risk})


async def _read(
    redis: RedisClient, command: Callable[[], Awaitable[Mapping[Any, Any]]]
) -> Mapping[str, str]:
    async def read() -> Mapping[Any, Any]:
        try:
            return await command()
        except ResponseError:
            # Hosted services forbid CONFIG; that says nothing about Redis itself.
            return {}

    return {_to_text(name): _to_text(value) for name, value in (await redis.run(read)).items()}


def _to_text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
