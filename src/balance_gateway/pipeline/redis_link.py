"""The connection to Redis or Valkey: every call has a time limit, and a failure is remembered."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from balance_gateway.domain.errors import CacheUnavailable

T = TypeVar("T")

#: How long one command may take. Redis answers in well under a millisecond; a provider in tens.
COMMAND_TIMEOUT_S = 0.5

#: For how long reads do without Redis after a failure, so that they do not all wait for it.
REST_S = 1.0


class RedisLink:
    """A client of one Redis database under one key prefix.

    Attributes:
        client: the client itself; commands go through ``run``.
    """

    def __init__(self, client: "Redis", prefix: str = "balance-gateway") -> None:
        self.client = client
        self._prefix = prefix
        self._rests_until_s = 0.0

    @classmethod
    def open(cls, url: str) -> "RedisLink":
        """A link to ``redis://…``, ``rediss://…`` or ``unix://…``; connects on first use."""
        client: Redis = Redis.from_url(
            url,
            socket_timeout=COMMAND_TIMEOUT_S,
            socket_connect_timeout=COMMAND_TIMEOUT_S,
            health_check_interval=15,
            # A script that was sent is not sent again: whether it ran is for the fence to bear.
            retry=Retry(NoBackoff(), 0),
        )
        return cls(client)

    def key(self, name: str) -> str:
        """The full name of a key."""
        return f"{self._prefix}:{name}"

    @property
    def is_up(self) -> bool:
        """Whether the last call succeeded, or the rest after a failure is over."""
        return time.monotonic() >= self._rests_until_s

    async def run(self, command: Callable[[], Awaitable[T]], *, always: bool = False) -> T:
        """Runs a command within the time limit.

        Args:
            command: makes the call.
            always: try even while resting after a failure.

        Raises:
            CacheUnavailable: Redis did not answer, or answered with an error.
        """
        if not always and not self.is_up:
            raise CacheUnavailable("The shared cache is out of reach.")
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                result = await command()
        except (RedisError, OSError, TimeoutError) as error:
            self._rests_until_s = time.monotonic() + REST_S
            raise CacheUnavailable("The shared cache is out of reach.") from error
        self._rests_until_s = 0.0
        return result

    async def aclose(self) -> None:
        """Closes the connections."""
        await self.client.aclose()

    def __repr__(self) -> str:
        return f"RedisLink(prefix={self._prefix!r})"
