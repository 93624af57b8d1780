"""The write fence: why a value that is kept is never older than an acknowledged write.

Every account has a *nonce* and a count of *writes in flight*. A kept value carries the nonce that
its read started under and counts only while that is still the account's nonce, so that changing
the nonce drops all of the account's values in one atomic step.

A write
    1. **begins**: takes a new nonce and raises the count, atomically, before the provider is
       called. If this fails the write does not start.
    2. is sent, once.
    3. **ends**, only on a definite answer: takes a new nonce and lowers the count. On an unknown
       outcome nothing is done: the count expires by itself after the *hold*, which is the write's
       deadline plus the longest time that a write may land late.

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
count, a read between an unanswered write and its late landing would keep the older value.

A shared cache that has lost its keys has lost the counts. It is recognised by its missing *epoch*,
which is part of every nonce here, and a **quarantine** as long as the hold begins, in which
nothing is kept. A cache that is simply new needs none: see ``redis_fence.py``.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from balance_gateway.domain.balances import LocalNonces


class Standing(NamedTuple):
    """Where an account stands as a read starts.

    Attributes:
        nonce: values kept under this nonce count now.
        settled: whether a value read from now on may be kept, and its call be shared.
    """

    nonce: str
    settled: bool


#: What is known of an account while the shared cache is out of reach: nothing counts.
UNKNOWN_STANDING = Standing(nonce="", settled=False)


class Fences(Protocol):
    """Keeps nonces and counts, by the account's fence key."""

    async def standings(self, keys: Sequence[str]) -> Sequence[Standing]:
        """One standing per key, in order.

        Raises:
            CacheUnavailable: the shared cache is out of reach.
        """
        ...

    @property
    def nonces(self) -> LocalNonces | None:
        """All nonces, live, where they are this process's alone; None where they are shared."""
        ...

    async def begin_write(self, key: str) -> None:
        """New nonce, one more write in flight. Nothing has happened when this raises.

        Raises:
            CacheUnavailable: the shared cache is out of reach.
        """
        ...

    async def end_write(self, key: str) -> None:
        """New nonce, one write in flight less. Only after a definite answer.

        Raises:
            CacheUnavailable: the shared cache is out of reach; the count expires by itself.
        """
        ...

    async def hold(self, key: str, seconds: float) -> None:
        """Counts a write in flight for so long: one whose process died before it ended.

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
        self._holds_until_s: dict[str, list[float]] = {}
        self._numbers = itertools.count(1)
        self.nonces = LocalNonces()

    async def standings(self, keys: Sequence[str]) -> Sequence[Standing]:
        """One standing per key, in order."""
        return [self._standing(key) for key in keys]

    def _standing(self, key: str) -> Standing:
        nonce = self.nonces.by_fence.get(key) or self._renew(key)
        return Standing(nonce, settled=not self._holds(key))

    def _holds(self, key: str) -> list[float]:
        """When the holds of the key end that have not ended yet."""
        holds = self._holds_until_s.get(key)
        if not holds:
            return []
        now_s = self._monotonic()
        left = self._holds_until_s[key] = [until_s for until_s in holds if until_s > now_s]
        return left

    async def begin_write(self, key: str) -> None:
        """New nonce, one more write in flight."""
        await self.hold(key, self._hold_s)

    async def end_write(self, key: str) -> None:
        """New nonce, one write in flight less: the oldest, since all are held equally long."""
        self._renew(key)
        holds = self._holds_until_s.get(key)
        if holds:
            holds.pop(0)

    async def hold(self, key: str, seconds: float) -> None:
        """New nonce, and a write in flight for so long."""
        self._renew(key)
        # Without those that have run out, so that no write that ends is taken for one of them.
        self._holds_until_s[key] = [*self._holds(key), self._monotonic() + seconds]

    async def ping(self) -> None:
        """Memory is always in reach."""

    async def aclose(self) -> None:
        """Nothing to close."""

    def _renew(self, key: str) -> str:
        nonce = self.nonces.by_fence[key] = str(next(self._numbers))
        self.nonces.changes += 1
        return nonce
