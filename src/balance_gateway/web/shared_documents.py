"""Share persisted queries with the other processes, within limits.

No answer waits for a registration. What a process registers is limited in bytes, so that no caller
can fill the store, which may be the Redis that also fences writes.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.ports.document_store import KEPT_S, DocumentStore

#: Bytes of documents that one process registers at once, and again in the time that they are kept.
REGISTERED_BYTES_MAX = 8_388_608
#: Maximum number of registrations in progress; further documents are not registered.
_REGISTRATIONS_MAX = 100
#: Maximum number of lookups in progress; further hashes count as not found.
_LOOKUPS_MAX = 64
#: Maximum number of documents that are remembered as registered.
_REMEMBERED_MAX = 4_000


class SharedDocuments:
    """The documents of all processes.

    Args:
        store: where the documents are.
        registered_bytes_max: how many bytes this process registers at once, and again in the time
            that they are kept.
        monotonic_s: returns monotonic time in seconds.
    """

    def __init__(
        self,
        store: DocumentStore,
        registered_bytes_max: int = REGISTERED_BYTES_MAX,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._bytes_max = registered_bytes_max
        self._monotonic_s = monotonic_s
        self._bytes_left = float(registered_bytes_max)
        self._refilled_at_s = monotonic_s()
        self._lookups: dict[str, asyncio.Future[str | None]] = {}
        self._registrations: dict[str, asyncio.Future[None]] = {}
        #: Until when a document need not be registered again, the oldest first.
        self._registered_until_s: OrderedDict[str, float] = OrderedDict()

    async def find(self, digest: str) -> str | None:
        """Return the document of a hash; None if it is not known or the store is unavailable.

        Requests for the same hash at the same time share one lookup.
        """
        lookup = self._lookups.get(digest)
        if lookup is None:
            if len(self._lookups) >= _LOOKUPS_MAX:
                return None
            lookup = self._lookups[digest] = asyncio.ensure_future(self._look_up(digest))
            lookup.add_done_callback(lambda _: self._lookups.pop(digest))
        return await asyncio.shield(lookup)

    def register(self, digest: str, document: str) -> None:
        """Register a document in the background, unless a limit is reached."""
        if (
            digest in self._registrations
            or self._monotonic_s() < self._registered_until_s.get(digest, 0.0)
            or len(self._registrations) >= _REGISTRATIONS_MAX
            or not self._take_bytes(size := len(document.encode()))
        ):
            return
        registration = asyncio.ensure_future(self._register(digest, document, size))
        self._registrations[digest] = registration
        registration.add_done_callback(lambda _: self._registrations.pop(digest))

    async def drain(self) -> None:
        """Wait for the registrations in progress."""
        await asyncio.gather(*self._registrations.values())

    async def _look_up(self, digest: str) -> str | None:
        try:
            document = await self._store.find(digest)
        except CacheUnavailable:
            return None
        if document is None or hashlib.sha256(document.encode()).hexdigest() != digest:
            return None
        return document

    async def _register(self, digest: str, document: str, size: int) -> None:
        try:
            await self._store.store(digest, document)
        except CacheUnavailable:
            # The next client that sends the document tries again.
            self._bytes_left += size
            return
        # A document that is sent again later has been dropped by the store, or soon will be.
        self._registered_until_s[digest] = self._monotonic_s() + KEPT_S / 2
        self._registered_until_s.move_to_end(digest)
        if len(self._registered_until_s) > _REMEMBERED_MAX:
            self._registered_until_s.popitem(last=False)

    def _take_bytes(self, size: int) -> bool:
        now_s = self._monotonic_s()
        refill = (now_s - self._refilled_at_s) * self._bytes_max / KEPT_S
        self._refilled_at_s = now_s
        self._bytes_left = min(self._bytes_left + refill, float(self._bytes_max))
        if size > self._bytes_left:
            return False
        self._bytes_left -= size
        return True
