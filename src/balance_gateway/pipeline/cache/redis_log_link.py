"""The connection that reads the log of changes: one command at a time, compared as bytes.

redis-py makes the connection (TLS, password, database, the server's identity) and hands it over.
The reads go past redis-py, which costs ten times as much as the read itself: nearly every reply
equals the previous one, byte for byte.
"""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError, ResponseError

from balance_gateway.pipeline.cache.change_log import ENTRIES_MAX, LogEntry, OnEntries
from balance_gateway.pipeline.cache.redis_scripts import FIND_NEWEST
from balance_gateway.pipeline.redis_client import COMMAND_TIMEOUT_S, RedisClient


class IncompleteReply(Exception):
    """The rest of a reply has not been received yet."""


class RedisLogLink:
    """Reads the log in Redis; implements ``change_log.LogLink``.

    Args:
        redis: how to connect, and the failures that are shared with all other commands.
        key: the key of the log.
    """

    def __init__(self, redis: RedisClient, key: str) -> None:
        self._redis = redis
        self._key = key.encode()
        self._number = 0
        self._run_id = ""
        self._transport: asyncio.WriteTransport | None = None
        # Kept while the connection is in use: it would close what it has handed over.
        self._owner: Any = None
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._sent_s = 0.0
        self._on_entries: OnEntries | None = None
        self._is_first_read = False
        self._buffer = b""
        self._position: LogEntry | None = None
        self._command = self._unchanged = b""

    @property
    def connection(self) -> int:
        """The number of the connection; another one after each loss and each new connection."""
        if self._transport is not None and self._run_id != self._redis.server.run_id:
            # A newer connection has met another server.
            self._close()
        return self._number

    def read_newest(self, on_entries: OnEntries) -> None:
        """Read the newest entry, after connecting if need be; adds one to an empty log."""
        loop = asyncio.get_running_loop()
        if self._redis.is_resting:
            loop.call_soon(on_entries, None)
        elif self._transport is None:
            self._connecting = loop.create_task(self._connect(on_entries))
        else:
            self._send_first(on_entries)

    def _send_first(self, on_entries: OnEntries) -> None:
        self._is_first_read = True
        token = secrets.token_hex(8).encode()
        command = (b"EVAL", FIND_NEWEST.encode(), b"1", self._key, token)
        self._send(encode_array(command), on_entries)

    def read_from(self, position: LogEntry, on_entries: OnEntries) -> None:
        """Read the first entries from an id on, over the present connection."""
        if self._redis.is_resting or self._transport is None:
            asyncio.get_running_loop().call_soon(on_entries, None)
            return
        if position is not self._position:
            self._position = position
            count = str(ENTRIES_MAX).encode()
            command = (b"XRANGE", self._key, position.id, b"+", b"COUNT", count)
            self._command = encode_array(command)
            fields = encode_array(position.fields)
            self._unchanged = b"*1\r\n*2\r\n" + encode_text(position.id) + fields
        self._is_first_read = False
        self._send(self._command, on_entries)

    def _send(self, command: bytes, on_entries: OnEntries) -> None:
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        self._on_entries = on_entries
        self._sent_s = loop.time()
        if self._timer is None:
            # One timer for many reads: a timer for each would cost as much as the read.
            self._timer = loop.call_later(COMMAND_TIMEOUT_S, self._check_time)
        self._transport.write(command)

    def _check_time(self) -> None:
        self._timer = None
        if self._on_entries is None:
            return
        loop = asyncio.get_running_loop()
        left_s = self._sent_s + COMMAND_TIMEOUT_S - loop.time()
        if left_s > 0:
            self._timer = loop.call_later(left_s, self._check_time)
        else:
            self._fail(TimeoutError())

    async def _connect(self, on_entries: OnEntries) -> None:
        owner: Any = self._redis.client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        run_ids: list[str] = []

        async def greet(connection: Any) -> None:
            run_ids.append(await self._redis.server.identify_server(connection))

        owner.redis_connect_func = greet
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                await owner.connect()
        except (RedisError, OSError, TimeoutError) as error:
            self._redis.note_failure(error)
            on_entries(None)
            return
        self._redis.note_success()
        self._owner, self._run_id = owner, run_ids[-1]
        self._transport = owner._writer.transport
        self._transport.set_protocol(_Receiver(self, self._transport))
        self._number += 1
        self._send_first(on_entries)

    def receive(self, data: bytes) -> None:
        """Receive bytes of the reply."""
        if data == self._unchanged and not self._buffer and not self._is_first_read:
            assert self._position is not None
            self._answer((self._position,))
            return
        self._buffer += data
        try:
            reply, end = parse_reply(self._buffer, 0)
        except IncompleteReply:
            return
        except ValueError as error:
            self._fail(error)
            return
        if end != len(self._buffer) or self._on_entries is None:
            self._fail(ValueError("a reply to no command"))
            return
        self._buffer = b""
        if isinstance(reply, ResponseError):
            self._redis.note_failure(reply)
            self._answer(None)
        else:
            self._answer([LogEntry(id, tuple(fields)) for id, fields in reply])

    def _answer(self, entries: Sequence[LogEntry] | None) -> None:
        on_entries, self._on_entries = self._on_entries, None
        if on_entries is not None:
            on_entries(entries)

    def _fail(self, error: Exception) -> None:
        """Give the connection up: replies are told apart by their order alone."""
        self._redis.note_failure(error)
        self._close()
        self._answer(None)

    def lose(self, transport: asyncio.BaseTransport, error: Exception | None) -> None:
        """Note that a connection was lost."""
        if transport is not self._transport:
            return
        self._close()
        # An idle connection may be closed by the server; a new one that is closed is a failure.
        if self._on_entries is not None and self._is_first_read:
            self._redis.note_failure(error or ConnectionResetError())
        self._answer(None)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._owner._reader = self._owner._writer = None
        self._transport = self._owner = self._position = None
        self._buffer = b""
        self._number += 1

    async def aclose(self) -> None:
        """Close the connection; a read that is under way fails."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._close()
        self._answer(None)


class _Receiver(asyncio.Protocol):
    """Passes on what one connection receives."""

    def __init__(self, link: RedisLogLink, transport: asyncio.BaseTransport) -> None:
        self._link = link
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._link.receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.lose(self._transport, exc)


def encode_text(text: bytes) -> bytes:
    """Encode a bulk string of the Redis protocol."""
    return b"$%d\r\n%b\r\n" % (len(text), text)


def encode_array(texts: Sequence[bytes]) -> bytes:
    """Encode a command, or a list of bulk strings in a reply."""
    return b"*%d\r\n%b" % (len(texts), b"".join(map(encode_text, texts)))


def parse_reply(data: bytes, start: int) -> tuple[Any, int]:
    """Parse one reply in version 2 of the protocol.

    Returns:
        The reply, and where it ends. An error is a ``ResponseError``.

    Raises:
        IncompleteReply: its end is missing.
        ValueError: it is no reply.
    """
    line_end = data.find(b"\r\n", start)
    if line_end < 0:
        raise IncompleteReply
    kind, line, at = data[start : start + 1], data[start + 1 : line_end], line_end + 2
    if kind == b"$":
        end = at + int(line)
        if end + 2 > len(data):
            raise IncompleteReply
        return data[at:end], end + 2
    if kind == b"*":
        items = []
        for _ in range(int(line)):
            item, at = parse_reply(data, at)
            items.append(item)
        return items, at
    if kind == b"-":
        return ResponseError(line.decode(errors="replace")), at
    raise ValueError("the reply is not in the protocol of Redis")
