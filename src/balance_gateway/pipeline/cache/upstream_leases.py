"""Single flight across replicas: short leases that decide which replica calls the provider.

A lease only saves calls; correctness never depends on it. A value that another replica stored is
valid only under the account's current nonce, like any cached value. A replica that waits for a
lease that brings no value, because its holder died or failed, calls the provider itself.
"""

from typing import Protocol

from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.pipeline.cache.cache_keys import redis_lease_name
from balance_gateway.pipeline.redis_client import RedisClient

#: How long a lease lasts. After that its holder has died, or its call takes so long that waiting
#: for it no longer helps.
LEASE_S = 3.0

#: How often the cached values are checked while another replica's call is in flight.
POLL_S = 0.02


class UpstreamLeases(Protocol):
    """Leases of upstream calls, by the lease name of the group of reads."""

    async def take(self, name: str) -> bool:
        """Try to take the lease.

        Returns:
            True: the caller must make the call. False: another replica is making it.
        """
        ...

    async def is_held(self, name: str) -> bool:
        """Return whether any replica holds the lease."""
        ...

    async def release(self, name: str) -> None:
        """Release the caller's lease."""
        ...


class NoLeases:
    """The leases of a process that does not share its cache: every call is its own."""

    async def take(self, name: str) -> bool:  # noqa: ARG002
        """Return True: there is no other replica."""
        return True

    async def is_held(self, name: str) -> bool:  # noqa: ARG002
        """Return False."""
        return False

    async def release(self, name: str) -> None:
        """Do nothing."""


class RedisLeases:
    """Leases shared through Redis."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def take(self, name: str) -> bool:
        """Try to take the lease; True also when Redis is unreachable."""
        key, client = self._key(name), self._redis.client
        try:
            taken = await self._redis.run(
                lambda: client.set(key, b"1", nx=True, px=int(LEASE_S * 1000))
            )
        except CacheUnavailable:
            return True
        return bool(taken)

    async def is_held(self, name: str) -> bool:
        """Return whether any replica holds the lease."""
        key, client = self._key(name), self._redis.client
        try:
            return bool(await self._redis.run(lambda: client.exists(key)))
        except CacheUnavailable:
            return False

    async def release(self, name: str) -> None:
        """Release the caller's lease. If that fails, the lease expires by itself."""
        key, client = self._key(name), self._redis.client
        try:
            await self._redis.run(lambda: client.delete(key))
        except CacheUnavailable:
            return

    def _key(self, name: str) -> str:
        return self._redis.key(redis_lease_name(name))
