"""Single flight across replicas: who asks the provider, and who waits for what the asker keeps.

A claim is a hint that saves calls, and never what correctness rests on: a value taken from
another replica counts only under the account's nonce, like any kept value; and who waits for a
claim that comes to nothing, because its holder died or failed, asks for itself.
"""

from typing import Protocol

from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.pipeline.cache.cache_keys import redis_lease_name
from balance_gateway.pipeline.redis_client import RedisClient

#: After so long a claim is nobody's: its holder died, or its call takes longer than sharing helps.
LEASE_S = 3.0

#: How often the kept values are looked at while another replica's call is in the air.
POLL_S = 0.02


class UpstreamLeases(Protocol):
    """UpstreamLeases to upstream calls, by a name for what is asked."""

    async def take(self, name: str) -> bool:
        """Whether the call is the caller's to make; False: another replica is making it."""
        ...

    async def is_held(self, name: str) -> bool:
        """Whether somebody is making the call."""
        ...

    async def release(self, name: str) -> None:
        """Ends the caller's claim."""
        ...


class NoLeases:
    """UpstreamLeases of a process that shares its cache with nobody."""

    async def take(self, name: str) -> bool:  # noqa: ARG002
        """Always."""
        return True

    async def is_held(self, name: str) -> bool:  # noqa: ARG002
        """Never."""
        return False

    async def release(self, name: str) -> None:
        """Nothing to end."""


class RedisLeases:
    """UpstreamLeases shared through Redis."""

    def __init__(self, link: RedisClient) -> None:
        self._link = link

    async def take(self, name: str) -> bool:
        """Whether the call is the caller's to make; also when Redis is out of reach."""
        key, client = self._key(name), self._link.client
        try:
            taken = await self._link.run(
                lambda: client.set(key, b"1", nx=True, px=int(LEASE_S * 1000))
            )
        except CacheUnavailable:
            return True
        return bool(taken)

    async def is_held(self, name: str) -> bool:
        """Whether somebody is making the call."""
        key, client = self._key(name), self._link.client
        try:
            return bool(await self._link.run(lambda: client.exists(key)))
        except CacheUnavailable:
            return False

    async def release(self, name: str) -> None:
        """Ends the caller's claim; if that fails it ends by itself."""
        key, client = self._key(name), self._link.client
        try:
            await self._link.run(lambda: client.delete(key))
        except CacheUnavailable:
            return

    def _key(self, name: str) -> str:
        return self._link.key(redis_lease_name(name))
