"""Remember the heads of requests that were answered at once, so that they are parsed once.

A client sends the same head with each request, but for the length of its body. What a head means
depends on its bytes alone. So the same bytes at the start of a request need no second parsing, and
what the application has read from the head (the credential, the media types) is kept with it.

Only heads of requests that the application has answered are remembered: whoever has no valid
credential fills no memory.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

#: Longer heads are parsed each time.
KNOWN_HEAD_BYTES_MAX = 8_192
#: Limit of all heads together, with an estimate of the memory of their objects.
KNOWN_BYTES_MAX = 4_194_304

_OVERHEAD_BYTES = 2_000
_END = b"\r\n\r\n"


@dataclass(slots=True, eq=False)
class RequestHead:
    """The head of a complete request, as an application gets it that answers at once.

    Attributes:
        method: the method in upper case.
        path: the decoded path.
        query_string: the part of the target after ``?``; empty without it.
        headers: the headers with names in lower case, in their order.
        parsed: what the application has read from the head, kept for the next request with the
            same; None before the first.
    """

    method: str
    path: str
    query_string: bytes
    # With the credential.
    headers: Sequence[tuple[bytes, bytes]] = field(repr=False)
    parsed: object | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class KnownHead:
    """A head that was parsed before.

    Attributes:
        head: what it means.
        size_bytes: its length, with the empty line.
        body_bytes: the length of the body that follows it.
    """

    head: RequestHead
    size_bytes: int
    body_bytes: int


class KnownHeads:
    """The heads that a server knows; those that were not sent for longest are dropped first.

    Args:
        bytes_max: limit of all heads together.
    """

    def __init__(self, bytes_max: int = KNOWN_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._known: OrderedDict[bytes, KnownHead] = OrderedDict()
        self.size_bytes = 0

    def find(self, data: bytes) -> KnownHead | None:
        """Return the head with which a request begins, if the data is one complete request.

        Args:
            data: bytes that begin with a request.
        """
        key = data[: data.find(_END) + len(_END)]
        known = self._known.get(key)
        if known is None or len(data) != known.size_bytes + known.body_bytes:
            return None
        self._known.move_to_end(key)
        return known

    def is_head(self, data: bytes) -> bool:
        """Whether data that is no complete request is a known head, and its body must follow."""
        return data in self._known

    def remember(self, data: bytes, head: RequestHead, body: bytes) -> None:
        """Remember a head, unless it is too long.

        Args:
            data: bytes that begin with a complete request; nothing may follow it.
            head: what the parser has read from its head.
            body: what the parser has read as its body.
        """
        size_bytes = data.find(_END) + len(_END)
        # Another request follows, or the body is in chunks, which have another length next time.
        if size_bytes > KNOWN_HEAD_BYTES_MAX or data[size_bytes:] != body:
            return
        # Its client waits for 100 Continue before it sends the body.
        if any(name == b"expect" for name, _ in head.headers):
            return
        key = data[:size_bytes]
        if key in self._known:
            return
        self._known[key] = KnownHead(head, size_bytes, len(body))
        self.size_bytes += size_bytes + _OVERHEAD_BYTES
        while self.size_bytes > self._bytes_max:
            dropped, _ = self._known.popitem(last=False)
            self.size_bytes -= len(dropped) + _OVERHEAD_BYTES

    def __len__(self) -> int:
        return len(self._known)
