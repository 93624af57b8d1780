"""Defines how to see that the storage has changed, also by another process."""

from typing import Protocol


class StorageUnavailable(Exception):
    """The storage is unavailable or refused a statement; the message has no secrets or values."""


class StorageChanges(Protocol):
    """Shows whether the storage has changed, also by another process.

    Versions are only compared for equality. Equal versions of two looks mean that no transaction
    that changes the embedded ledger or the journal was committed between them. A look sees every
    commit that was acknowledged, by whichever process, before the look began. Different versions
    mean nothing: a version may change without a commit. After a look that failed, nothing may be
    taken as unchanged.
    """

    def look_now(self) -> int | None:
        """Return the present version.

        None where a look takes a round trip (PostgreSQL), or when the look failed.
        """
        ...

    async def look(self) -> int:
        """Return the present version.

        Raises:
            StorageUnavailable: the look failed.
        """
        ...
