"""The log of changes: shows which kept answers still count, though other replicas write too.

Redis keeps a short stream of entries. Whatever changes the shared cache adds one in the same step
(``redis_scripts.py``): a fence (``f``) when a write begins or ends, a value (``v``) when one is
stored, everything (``a``) when the epoch is replaced. Each has a random token (``t``).

A process remembers the newest entry that it has seen, its *position*. Before it answers from what
it keeps, it reads the log from there, and ends the validity of everything that later entries name.
One read serves all requests that have arrived before it is sent; whoever arrives later waits for
the next one, since a read that is under way may already have been answered.

A read begins with the position itself. If that is missing or another entry has its id, the log was
trimmed, lost or replaced: then every validity ends, and the newest entry is the new position. The
same applies to each new connection, which may lead to another server.

Where the position comes from is irrelevant to what is looked up meanwhile: a validity is taken
before its look, and a change after the look is in the log after the position.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from balance_gateway.ports.cache_validity import LocalCacheVersions

#: How many entries one read returns.
ENTRIES_MAX = 1000


class LogEntry(NamedTuple):
    """An entry of the log.

    Attributes:
        id: its id in the stream.
        fields: names and values in turn, with its token.
    """

    id: bytes
    fields: tuple[bytes, ...]


#: Receives the entries that were read; None: Redis did not answer.
OnEntries = Callable[[Sequence[LogEntry] | None], None]


class LogLink(Protocol):
    """Reads the log over one connection, one read at a time."""

    @property
    def connection(self) -> int:
        """The number of the connection; another one after each loss and each new connection."""
        ...

    def read_newest(self, on_entries: OnEntries) -> None:
        """Read the newest entry, after connecting if need be; adds one to an empty log."""
        ...

    def read_from(self, position: LogEntry, on_entries: OnEntries) -> None:
        """Read the first ``ENTRIES_MAX`` entries from an id on, over the present connection."""
        ...

    async def aclose(self) -> None:
        """Close the connection."""
        ...


def name_value(fence: str, account: str, value: str) -> str:
    """Return how the log names a value.

    Args:
        fence: the fence key.
        account: the prefix of the account's value keys.
        value: the value key.
    """
    return "\n".join((fence, account, value))


class ChangeLog:
    """Ends the validities of this process that the log names.

    Args:
        link: reads the log.
        versions: the validities.
    """

    def __init__(self, link: LogLink, versions: LocalCacheVersions) -> None:
        self._link = link
        self._versions = versions
        self._position: LogEntry | None = None
        self._connection = 0
        self._arrived: list[asyncio.Future[bool]] = []
        self._waiting: list[asyncio.Future[bool]] = []
        self._is_reading = False

    def check(self) -> "asyncio.Future[bool]":
        """Apply every change that was acknowledged before this call.

        Returns:
            Whether that was possible; otherwise nothing that is kept may be used.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._arrived.append(future)
        if not self._is_reading:
            self._is_reading = True
            # In the next turn of the event loop, for all requests of this one.
            loop.call_soon(self._read)
        return future

    def _read(self) -> None:
        self._waiting, self._arrived = self._arrived, []
        if self._position is None or self._link.connection != self._connection:
            self._link.read_newest(self._start)
        else:
            self._link.read_from(self._position, self._apply)

    def _start(self, entries: Sequence[LogEntry] | None) -> None:
        """Take the newest entry as the position; nothing is known of the time before it."""
        if not entries:
            self._position = None
            self._finish(is_current=False)
            return
        self._position, self._connection = entries[0], self._link.connection
        self._versions.end_all()
        self._finish(is_current=True)

    def _apply(self, entries: Sequence[LogEntry] | None) -> None:
        is_same = self._link.connection == self._connection
        if not entries or entries[0] != self._position or not is_same:
            self._position = None
            self._link.read_newest(self._start)
            return
        if len(entries) > 1:
            for entry in entries[1:]:
                self._end_validities(entry)
            self._position = entries[-1]
        if len(entries) >= ENTRIES_MAX:
            self._link.read_from(entries[-1], self._apply)
        else:
            self._finish(is_current=True)

    def _end_validities(self, entry: LogEntry) -> None:
        fields = entry.fields
        for name, value in zip(fields[::2], fields[1::2], strict=True):
            if name == b"v":
                fence, account, key = value.decode().split("\n")
                self._versions.invalidate(fence, key)
                self._versions.invalidate(fence, account)
            elif name == b"f":
                self._versions.end_fence(value.decode())
            elif name != b"t":
                self._versions.end_all()

    def _finish(self, *, is_current: bool) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            # The request may have been cancelled.
            if not future.done():
                future.set_result(is_current)
        if self._arrived:
            asyncio.get_running_loop().call_soon(self._read)
        else:
            self._is_reading = False

    async def aclose(self) -> None:
        """Close the connection; requests that wait for it use nothing that is kept."""
        await self._link.aclose()
