"""The write fence: why a value that is kept is never older than an acknowledged write.

Every account has a *nonce* and a set of *writes in flight*. A kept value carries the nonce that
its read started under and counts only while that is still the account's nonce, so that changing
the nonce drops all of the account's values in one atomic step.

A write
    1. **begins**: takes a new nonce and joins the writes in flight under its own id, atomically,
       before the provider is called. If this fails the write does not start.
    2. is sent, once.
    3. **ends**, only when the provider itself has answered definitely: takes a new nonce and
       leaves the writes in flight; itself alone, whatever else is in flight or has expired. On an
       unknown outcome nothing is done, and neither when merely reading shows the amount to be
       there, which somebody else may have written: the write leaves by itself after the *hold*.

The hold is the write's deadline, plus the longest time that a write may land late (or that
reading it back takes), plus the longest time that the begin's answer may take on its way here:
the hold runs from when the cache has it, the write from when the cache has told.

A process that starts **holds** the fence for writes that an earlier one began and that may still
land, under their own ids: held twice, or held while their process is alive after all, they are one.

A read
    1. remembers the account's **standing** before it asks the provider: the nonce, and whether
       the account is *settled* (no write in flight, no quarantine);
    2. keeps what it read under the remembered nonce, and only if the account was settled. If a
       write has begun since, the nonce has changed and what was stored never counts;
    3. shares an upstream call only with reads of the same nonce, and only while settled: a read
       that starts after a write joins no call from before it.

Why each part is there: with the nonce taken only before the provider's answer, a read that
started between the two could keep the older value; taken only after it, a read could be served
the older value while the write is being acknowledged by a replica that then dies. Without the
writes in flight, a read between an unanswered write and its late landing would keep the older
value; and if they were only counted, a write that outlasts its hold, or a loss of the keys, would
on ending take another one's place away.

A shared cache that has lost its keys has lost the writes in flight, and one that is back from an
older copy of them has lost some. Either is recognised by the *epoch*, which is part of every nonce
there and names the server's process: a missing one, or another process's, is replaced, and a
**quarantine** as long as the hold begins, in which nothing is kept. A cache that is simply new
needs none: see ``redis_fence.py``.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from balance_gateway.ports.cache_validity import (
    LocalCacheVersions,
)


class FenceState(NamedTuple):
    """Where an account stands as a read starts.

    Attributes:
        nonce: values kept under this nonce count now.
        settled: whether a value read from now on may be kept, and its call be shared.
    """

    nonce: str
    settled: bool


#: What is known of an account while the shared cache is out of reach: nothing counts.
UNKNOWN_FENCE_STATE = FenceState(nonce="", settled=False)


class Fences(Protocol):
    """Keeps nonces and writes in flight, by the account's fence key."""

    async def states(self, keys: Sequence[str]) -> Sequence[FenceState]:
        """One standing per key, in order.

        Raises:
            CacheUnavailable: the shared cache is out of reach.
        """
        ...

    @property
    def nonces(self) -> LocalCacheVersions | None:
        """All nonces, live, where they are this process's alone; None where they are shared."""
        ...

    async def begin_write(self, key: str, write_id: str) -> None:
        """New nonce, and this write is in flight.

        Raises:
            CacheUnavailable: the shared cache is out of reach; the write must not be sent.
        """
        ...

    async def end_write(self, key: str, write_id: str) -> None:
        """New nonce, and this write is in flight no longer. Only after a definite answer.

        Raises:
            CacheUnavailable: the shared cache is out of reach; the hold expires by itself.
        """
        ...

    async def hold(self, key: str, write_id: str, seconds: float) -> None:
        """New nonce, and this write is in flight for at least so long: its process has died.

        Raises:
            CacheUnavailable: the shared cache is out of reach.
        """
        ...

    async def ping(self) -> None:
        """Raises CacheUnavailable when the shared cache is out of reach."""
        ...

    async def aclose(self) -> None:
        """Closes connections."""
        ...


class MemoryFences:
    """Fences of a single process; they die with it, as do the values that they guard.

    Args:
        hold_s: how long a write without an answer counts as in flight.
        monotonic: tells seconds that never go back.
    """

    def __init__(self, hold_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._hold_s = hold_s
        self._monotonic = monotonic
        self._holds_until_s: dict[str, dict[str, float]] = {}
        self._numbers = itertools.count(1)
        self.nonces = LocalCacheVersions()

    async def states(self, keys: Sequence[str]) -> Sequence[FenceState]:
        """One standing per key, in order."""
        return [self._standing(key) for key in keys]

    def _standing(self, key: str) -> FenceState:
        nonce = self.nonces.by_fence.get(key) or self._renew(key)
        return FenceState(nonce, settled=not self._in_flight(key))

    def _in_flight(self, key: str) -> dict[str, float]:
        """When the holds of the key end that have not ended yet, by write."""
        holds = self._holds_until_s.get(key)
        if holds is None:
            return {}
        now_s = self._monotonic()
        left = {write_id: until_s for write_id, until_s in holds.items() if until_s > now_s}
        self._put(key, left)
        return left

    def _put(self, key: str, holds: dict[str, float]) -> None:
        if holds:
            self._holds_until_s[key] = holds
        else:
            self._holds_until_s.pop(key, None)

    async def begin_write(self, key: str, write_id: str) -> None:
        """New nonce, and this write is in flight."""
        await self.hold(key, write_id, self._hold_s)

    async def end_write(self, key: str, write_id: str) -> None:
        """New nonce, and this write is in flight no longer."""
        self._renew(key)
        holds = self._in_flight(key)
        holds.pop(write_id, None)
        self._put(key, holds)

    async def hold(self, key: str, write_id: str, seconds: float) -> None:
        """New nonce, and this write is in flight for at least so long."""
        self._renew(key)
        holds = self._in_flight(key)
        until_s = self._monotonic() + seconds
        self._put(key, {**holds, write_id: max(until_s, holds.get(write_id, until_s))})

    async def ping(self) -> None:
        """Memory is always in reach."""

    async def aclose(self) -> None:
        """Nothing to close."""

    def _renew(self, key: str) -> str:
        nonce = str(next(self._numbers))
        self.nonces.renew(key, nonce)
        return nonce
