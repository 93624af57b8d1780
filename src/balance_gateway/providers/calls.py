"""What one call is made of: what is sent, until when, past which gate, and what is told of it."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.calls import Call
from balance_gateway.providers.failures import Operation
from balance_gateway.providers.redirects import REDIRECTS


@dataclass(slots=True)
class Exchange:
    """What is to be sent, and what is left of its deadline.

    Attributes:
        about: what is being asked of whom.
        method: GET, PUT or POST.
        content: the body's bytes; empty for none.
        content_type: sent in any case.
        left_s: seconds left; the time spent inside of ``deadline`` is taken off.
        empty_ok: whether an answer of 2xx may have no body.
    """

    about: Operation
    method: str
    content: bytes
    content_type: str
    left_s: float
    empty_ok: bool = False

    @asynccontextmanager
    async def deadline(self) -> AsyncIterator[None]:
        """Ends what runs inside with TimeoutError when the seconds are used up."""
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            async with asyncio.timeout(max(0.0, self.left_s)):
                yield
        finally:
            self.left_s -= clock() - started

    def extensions(self) -> dict[str, Any]:
        """The same for a transport, which can tell a connection that never came from the rest.

        Connecting may take nine tenths, so that it fails as itself before everything does.
        """
        left_s = max(0.0, self.left_s)
        timeouts = {"connect": left_s * 0.9, "pool": left_s * 0.9, "read": left_s, "write": left_s}
        return {"timeout": timeouts, "total": left_s}


@dataclass(slots=True)
class Seen:
    """What has been seen of an exchange so far."""

    outcome: str = "cancelled"
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def call(
        self, connector: str, provider: ProviderKind, about: Operation, duration_s: float
    ) -> Call:
        """What is told of it."""
        return Call(
            connector=connector,
            provider=provider,
            operation=about.name,
            write=about.write,
            outcome=self.outcome,
            status=self.status,
            duration_s=duration_s,
            headers=self.headers,
        )


def outcome_of(status: int) -> str:
    """The outcome of an exchange that was answered."""
    if 200 <= status < 300:
        return "ok"
    return "redirected" if status in REDIRECTS else "refused"


def path_of(segments: Collection[str]) -> str:
    """A path of segments, each quoted whole: none of them can lead elsewhere."""
    for segment in segments:
        if segment in {"", ".", ".."}:
            raise ValueError("A path segment is empty or leads upwards")
    return "".join("/" + quote(segment, safe="") for segment in segments)
