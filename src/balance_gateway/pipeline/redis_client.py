"""The connection to Redis or Valkey: a time limit for every command, and a backoff on failure."""

import asyncio
import itertools
import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from balance_gateway.pipeline.redis_failures import RedisUnavailable, describe_failure
from balance_gateway.pipeline.redis_url import parse_redis_url

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: How long one command may take. Redis answers in well under a millisecond, a provider in tens.
COMMAND_TIMEOUT_S = 0.5

#: How long reads skip Redis after a failure, so that not every read waits for the time limit.
BACKOFF_S = 1.0

_RUN_ID = re.compile(r"^run_id:(\w+)", re.MULTILINE)


class ServerIdentity:
    """The identity of the Redis process; each new connection asks for it before anything else.

    Attributes:
        run_id: of the process that the newest connection was made to; empty when it is unknown:
            nothing has connected yet, or the user may not run INFO.
    """

    def __init__(self) -> None:
        self.run_id = ""
        self._connection_numbers = itertools.count(1)
        self._newest = 0

    async def identify_server(self, connection: Any) -> str:
        """Set up a new connection as redis-py does, then read the server's ``run_id``."""
        number = next(self._connection_numbers)
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        try:
            response = await connection.read_response()
        except ResponseError:
            response = ""
        is_bytes = isinstance(response, bytes)
        text = response.decode(errors="replace") if is_bytes else str(response)
        found = _RUN_ID.search(text)
        run_id = found[1] if found else ""
        # An older connection may be answered after a newer one; the newer one decides.
        if number > self._newest:
            self._newest = number
            self.run_id = run_id
        return run_id


class RedisClient:
    """A client of one Redis database under one key prefix.

    Args:
        client: the redis-py client.
        prefix: the prefix of every key.
        server: receives the server's identity from each new connection; None: it stays unknown.
        monotonic: returns seconds that never go back.

    Attributes:
        client: the redis-py client; run its commands through ``run``.
        server: the server's identity.
        monotonic: returns seconds that never go back.
        reason: why the last command failed; empty if it did not.
    """

    def __init__(
        self,
        client: "Redis",
        prefix: str = "balance-gateway",
        *,
        server: ServerIdentity | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client = client
        self.server = server or ServerIdentity()
        self._prefix = prefix
        self.monotonic = monotonic
        self._backoff_until_s = 0.0
        self.reason = ""
        self._answers = False
        self._refuses_writes = False

    @classmethod
    def open(cls, url: str) -> "RedisClient":
        """Build a client for ``redis://…``, ``rediss://…`` or ``unix://…``.

        It connects on first use.

        Raises:
            RedisUrlError: the URL is malformed, or a parameter is unknown or has an invalid value.
        """
        server = ServerIdentity()
        options = {
            "redis_connect_func": server.identify_server,
            "socket_timeout": COMMAND_TIMEOUT_S,
            "socket_connect_timeout": COMMAND_TIMEOUT_S,
            "health_check_interval": 15,
            # Never resend a script: it may have run, and the fence handles that case.
            "retry": Retry(NoBackoff(), 0),
        }
        pool: ConnectionPool = ConnectionPool(**{**options, **parse_redis_url(url)})
        return cls(Redis.from_pool(pool), server=server)

    def key(self, name: str) -> str:
        """Return the full name of a key."""
        return f"{self._prefix}:{name}"

    @property
    def is_up(self) -> bool:
        """Whether the last command was answered and the last write was accepted.

        False before the first command. A Redis that is full, or a read-only replica, still
        answers reads; those alone do not make it up.
        """
        return self._answers and not self._refuses_writes

    async def run(
        self,
        command: Callable[[], Awaitable[T]],
        *,
        ignore_backoff: bool = False,
        is_write: bool = False,
    ) -> T:
        """Run a command within the time limit.

        Args:
            command: makes the call.
            ignore_backoff: try even during the backoff after a failure.
            is_write: whether success shows that Redis accepts writes.

        Raises:
            RedisUnavailable: Redis did not answer, or answered with an error.
        """
        if not ignore_backoff and self.is_resting:
            raise RedisUnavailable(self.reason)
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                result = await command()
        except (RedisError, OSError, TimeoutError) as error:
            raise self.note_failure(error) from error
        self.note_success()
        # A successful read says nothing about writes, so it does not clear the flag.
        self._refuses_writes = self._refuses_writes and not is_write
        return result

    @property
    def is_resting(self) -> bool:
        """Whether reads skip Redis, after a failure."""
        return self._backoff_until_s > 0.0 and self.monotonic() < self._backoff_until_s

    def note_success(self) -> None:
        """Note that Redis answered."""
        self._backoff_until_s = 0.0
        self.reason = ""
        self._answers = True

    def note_failure(self, error: BaseException) -> RedisUnavailable:
        """Note that a command failed, and let reads skip Redis for a while.

        Its reason is logged unless the previous command failed for the same one.

        Returns:
            The error to raise.
        """
        self._backoff_until_s = self.monotonic() + BACKOFF_S
        self._answers = False
        self._refuses_writes = self._refuses_writes or isinstance(error, ResponseError)
        reason = describe_failure(error)
        if reason != self.reason:
            self.reason = reason
            logger.warning("cache.unreachable", extra={"reason": reason})
        return RedisUnavailable(reason)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.client.aclose()

    def __repr__(self) -> str:
        # Without the URL: it may contain a password.
        return f"RedisClient(prefix={self._prefix!r})"
