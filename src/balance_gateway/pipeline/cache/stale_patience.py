"""Wait for upstream calls: briefly where a stale value can be served instead, else to the deadline.

A provider that hangs costs such a reader ``stale_patience_s`` instead of the provider's whole
timeout. The call goes on, and what it brings is cached.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from balance_gateway.domain.errors import ProviderTimeout
from balance_gateway.pipeline.cache.cache_entry_rules import (
    CachedRead,
    ReadResult,
    can_serve_stale,
    deadline_error,
)
from balance_gateway.pipeline.cache.cache_store import CacheEntry


class AwaitedRead(NamedTuple):
    """A read that waits for an upstream call.

    Attributes:
        read: the read.
        entry: the cached value, too old to be served as fresh; None without one.
        future: receives the result of the call.
    """

    read: CachedRead
    entry: CacheEntry | None
    future: "asyncio.Future[ReadResult]"

    def accepts_stale(self, now_s: float, stale_s: float) -> bool:
        """Return whether the reader takes the cached value although the provider has not failed."""
        if self.entry is None or not can_serve_stale(self.read, self.entry, now_s, stale_s):
            return False
        max_age_s = self.read.max_age_s
        return max_age_s is None or now_s - self.entry.observed_at_s < max_age_s


async def wait_for_calls(
    reads: Sequence[AwaitedRead],
    now_s: float,
    *,
    patience_s: float,
    stale_s: float,
    deadline_s: float,
) -> list[ReadResult]:
    """Return the result of each read's call, or the reason why it has none yet.

    Args:
        reads: the reads.
        now_s: the current time, in seconds since 1970.
        patience_s: how long a reader waits that accepts a stale value, in seconds.
        stale_s: the age in seconds up to which a stale value is served.
        deadline_s: how long any other reader waits, in seconds.
    """
    patience_s = min(patience_s, deadline_s)
    accepts_stale = [one.accepts_stale(now_s + patience_s, stale_s) for one in reads]
    # With a timeout: a provider that hangs must not delay the other results further.
    first_wait_s = patience_s if any(accepts_stale) else deadline_s
    await asyncio.wait({one.future for one in reads}, timeout=first_wait_s)
    others = {
        one.future
        for one, accepts in zip(reads, accepts_stale, strict=True)
        if not accepts and not one.future.done()
    }
    if others and first_wait_s < deadline_s:
        await asyncio.wait(others, timeout=deadline_s - first_wait_s)
    return [
        _get_result(one, patience_s if accepts else None)
        for one, accepts in zip(reads, accepts_stale, strict=True)
    ]


def _get_result(awaited: AwaitedRead, patience_s: float | None) -> ReadResult:
    if awaited.future.done():
        return awaited.future.result()
    return deadline_error() if patience_s is None else _patience_error(patience_s)


def _patience_error(patience_s: float) -> ProviderTimeout:
    """Build the reason for a stale value while the call that will replace it goes on."""
    return ProviderTimeout(
        f"The provider has not answered within {patience_s:g} s; a newer value is being read."
    )
