"""The connection to Redis or Valkey: every call has a time limit, and a failure is remembered."""

import asyncio
import itertools
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from balance_gateway.domain.errors import CacheUnavailable

T = TypeVar("T")

#: How long one command may take. Redis answers in well under a millisecond; a provider in tens.
COMMAND_TIMEOUT_S = 0.5

#: For how long reads do without Redis after a failure, so that they do not all wait for it.
REST_S = 1.0


_RUN_ID = re.compile(r"^run_id:(\w+)", re.MULTILINE)


class Server:
    """Which process of Redis answers; asked on each connection before anything else is.

    Attributes:
        run_id: of the process that the newest connection was made to; empty when that cannot be
            told: nothing has connected yet, or the user may not ask for INFO.
    """

    def __init__(self) -> None:
        self.run_id = ""
        self._numbers = itertools.count(1)
        self._newest = 0

    async def identify_server(self, connection: Any) -> None:
        """Does what redis-py does on a new connection, then asks who is there."""
        number = next(self._numbers)
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        try:
            told = await connection.read_response()
        except ResponseError:
            told = ""
        text = told.decode(errors="replace") if isinstance(told, bytes) else str(told)
        found = _RUN_ID.search(text)
        if number > self._newest:
            self._newest = number
            self.run_id = found[1] if found else ""


class RedisClient:
    """A client of one Redis database under one key prefix.

    Args:
        client: see below.
        prefix: of every key.
        server: greeted by each of the client's connections; None: nobody tells who answers.
        monotonic: tells seconds that never go back.

    Attributes:
        client: the client itself; commands go through ``run``.
        server: who answers.
    """

    def __init__(
        self,
        client: "Redis",
        prefix: str = "balance-gateway",
        *,
        server: Server | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client = client
        self.server = server or Server()
        self._prefix = prefix
        self._monotonic = monotonic
        self._rests_until_s = 0.0
        self._answers = False
        self._refuses = False

    @classmethod
    def open(cls, url: str) -> "RedisClient":
        """A link to ``redis://…``, ``rediss://…`` or ``unix://…``; connects on first use."""
        server = Server()
        client: Redis = Redis.from_url(
            url,
            redis_connect_func=server.identify_server,
            socket_timeout=COMMAND_TIMEOUT_S,
            socket_connect_timeout=COMMAND_TIMEOUT_S,
            health_check_interval=15,
            # A script that was sent is not sent again: whether it ran is for the fence to bear.
            retry=Retry(NoBackoff(), 0),
        )
        return cls(client, server=server)

    def key(self, name: str) -> str:
        """The full name of a key."""
        return f"{self._prefix}:{name}"

    @property
    def is_up(self) -> bool:
        """Whether the last call was answered, and what was written last was taken.

        False before the first call. A Redis that is full, or a copy that is read only, goes on
        answering reads: that does not make it one that is up.
        """
        return self._answers and not self._refuses

    async def run(
        self,
        command: Callable[[], Awaitable[T]],
        *,
        always: bool = False,
        writes: bool = False,
    ) -> T:
        """Runs a command within the time limit.

        Args:
            command: makes the call.
            always: try even while resting after a failure.
            writes: whether its success shows that Redis takes what is written.

        Raises:
            CacheUnavailable: Redis did not answer, or answered with an error.
        """
        if not always and self._monotonic() < self._rests_until_s:
            raise CacheUnavailable("The shared cache is out of reach.")
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                result = await command()
        except (RedisError, OSError, TimeoutError) as error:
            self._rests_until_s = self._monotonic() + REST_S
            self._answers = False
            self._refuses = self._refuses or isinstance(error, ResponseError)
            raise CacheUnavailable("The shared cache is out of reach.") from error
        self._rests_until_s = 0.0
        self._answers = True
        self._refuses = self._refuses and not writes
        return result

    async def aclose(self) -> None:
        """Closes the connections."""
        await self.client.aclose()

    def __repr__(self) -> str:
        return f"RedisLink(prefix={self._prefix!r})"
