"""Defines the store of persisted queries that all processes share."""

from typing import Protocol

#: How long the store keeps a document, in seconds.
KEPT_S = 86_400


class DocumentStore(Protocol):
    """Stores documents by their hash, the SHA-256 in hexadecimal, for ``KEPT_S``."""

    async def find(self, digest: str) -> str | None:
        """Return the document of a hash; None if there is none.

        Raises:
            CacheUnavailable: the store is unavailable.
        """
        ...

    async def store(self, digest: str, document: str) -> None:
        """Store a document.

        Raises:
            CacheUnavailable: the store is unavailable; the document may be stored or not.
        """
        ...
