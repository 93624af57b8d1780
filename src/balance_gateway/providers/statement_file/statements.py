"""Read a file of statements, and read it again when it changes."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import ProviderBadResponse, ProviderUnavailable
from balance_gateway.providers.http.body import decode_json
from balance_gateway.providers.http.json_fields import MalformedResponse, require_object

FILE_BYTES_MAX = 64 * 1024 * 1024

#: A file that was changed this shortly before it was read is read again: a second change within
#: the resolution of the file system's clock would leave size and time as they were.
_SETTLED_AFTER = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class _Copy:
    """The accounts of the file as it was when it had this state.

    Attributes:
        state: device, inode, size, and times of the last change in nanoseconds.
        read_at: when it was read.
        accounts: the accounts by their ids, as decoded JSON.
    """

    state: tuple[int, ...]
    read_at: datetime
    accounts: Mapping[str, Any]


class StatementFile:
    """The current content of a file; every call sees the file as it is at that moment.

    Args:
        path: the file.
        clock: returns the current time.
        kind: the provider's kind, for errors, such as ``STATEMENT_FILE``.
    """

    def __init__(self, path: Path, clock: Clock, kind: str) -> None:
        self._path = path
        self._clock = clock
        self._kind = kind
        self._copy: _Copy | None = None

    async def read_accounts(self) -> Mapping[str, Any]:
        """Return the accounts in the file by their ids, as decoded JSON.

        Raises:
            ProviderUnavailable: the file does not exist or cannot be read.
            ProviderBadResponse: the file is too large, or is not such a file.
        """
        try:
            # In a thread, because the file may be on a network share.
            self._copy = await asyncio.to_thread(self._read, self._copy)
        except OSError:
            # Without the error's text, which contains the path.
            raise ProviderUnavailable(
                "The statement file cannot be read: check the connector's path.",
                provider=self._kind,
            ) from None
        except MalformedResponse as error:
            message = f"The statement file is not usable: {error}."
            raise ProviderBadResponse(message, provider=self._kind) from None
        return self._copy.accounts

    def _read(self, copy: _Copy | None) -> _Copy:
        with self._path.open("rb") as file:
            found = os.fstat(file.fileno())
            state = (
                found.st_dev,
                found.st_ino,
                found.st_size,
                found.st_mtime_ns,
                found.st_ctime_ns,
            )
            if copy is not None and copy.state == state and _is_settled(copy):
                return copy
            read_at = self._clock()
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise MalformedResponse(f"it is longer than {FILE_BYTES_MAX} bytes")
        document = require_object(decode_json(content), "it")
        if unknown := document.keys() - {"accounts"}:
            raise MalformedResponse(f"it has {len(unknown)} unknown members beside accounts")
        return _Copy(state, read_at, require_object(document.get("accounts"), "accounts"))


def _is_settled(copy: _Copy) -> bool:
    changed_s = max(copy.state[3:]) / 1e9
    return copy.read_at.timestamp() - changed_s > _SETTLED_AFTER.total_seconds()
