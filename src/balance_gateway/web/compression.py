"""Compress responses with gzip, and keep what was compressed beside a response that is sent again.

gzip is in the standard library and understood by every client. Level 1 costs a third of the default
level and makes JSON a tenth larger. While the process is busy only kept results are used: then CPU
time is worth more than bytes.
"""

import asyncio
import gzip
from collections import OrderedDict

#: Smaller bodies are sent as they are: they fit into one or two packets.
SIZE_MIN = 2_048
#: Larger bodies are compressed in a thread, so that they do not block the event loop.
_THREAD_BYTES_MIN = 65_536
#: Limit of the kept bodies together, compressed and not; one may have an eighth of it.
KEPT_BYTES_MAX = 16_777_216


class Compressor:
    """Compresses bodies, and keeps the results of the last ones.

    Args:
        enabled: whether anything is compressed.
        kept_bytes_max: the maximum size of the kept bodies together.
    """

    def __init__(self, *, enabled: bool = True, kept_bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._enabled = enabled
        self._kept_bytes_max = kept_bytes_max
        # A kept response is the same object each time: its hash is computed once.
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._kept_bytes = 0

    async def compress(self, body: bytes, *, busy: bool) -> bytes | None:
        """Return the body compressed.

        Args:
            body: the body.
            busy: whether the process is too busy to compress; a kept result is returned anyway.

        Returns:
            The compressed body; None if the body must be sent as it is.
        """
        if len(body) < SIZE_MIN or not self._enabled:
            return None
        compressed = self._kept.get(body)
        if compressed is not None:
            self._kept.move_to_end(body)
            return compressed
        if busy:
            return None
        if len(body) < _THREAD_BYTES_MIN:
            compressed = _compress(body)
        else:
            compressed = await asyncio.to_thread(_compress, body)
        self._keep(body, compressed)
        return compressed

    def _keep(self, body: bytes, compressed: bytes) -> None:
        size = len(body) + len(compressed)
        # During the wait for a thread another request may have kept the same body.
        if size > self._kept_bytes_max // 8 or body in self._kept:
            return
        self._kept[body] = compressed
        self._kept_bytes += size
        while self._kept_bytes > self._kept_bytes_max:
            dropped, result = self._kept.popitem(last=False)
            self._kept_bytes -= len(dropped) + len(result)


def _compress(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=1, mtime=0)
