"""The write fence: a cached value is never older than an acknowledged write.

State. Every fence key (usually one account, see ``cache_keys.py``) has a *nonce* and a set of
*writes in flight*. Every cached value carries the nonce under which its read started, and is valid
only while that is still the current nonce. A new nonce therefore invalidates all values of the
account in one atomic step.

Writes. A write goes through three steps:

1. **Begin**, before the provider is called: set a new nonce and add the write's id to the writes
   in flight, atomically. If this fails, the write must not be sent.
2. Send the request to the provider, once.
3. **End**, only when the write was not sent or the provider responded definitely: set a new nonce
   and remove this write's id (elsewhere called lowering the fence). Other writes in flight stay,
   whether or not this write's own hold has expired.

When the outcome is unknown, the write is not ended; its id expires by itself after the *hold*.
Reading the amount back does not end a write either: another client may have written the same
amount, and this write may still take effect later.

The hold must cover the whole time in which the write can still take effect: the write's deadline,
plus the longest delay with which a provider applies a write late (or the time to read it back if
that is longer), plus the time limit of the begin command. The last part is needed because the hold
starts when the cache executes the command, and the write only when the reply has arrived.

A process that starts **holds** the fence for writes that an earlier process began and that may
still take effect, under their original ids. Holding the same id twice, or holding it while its
process is in fact alive, counts as one write in flight.

Reads. A read

1. reads the account's **fence state** before it calls the provider: the nonce, and whether the
   account is *settled* (no write in flight and no quarantine);
2. stores its result under that nonce, and only if the account was settled. If a write has begun
   since, the nonce has changed and the stored value is never used. Of two reads that overlapped
   nobody knows which is newer, so different values of both are dropped;
3. shares an upstream call only with reads under the same nonce, and only while the account is
   settled, so that a read that starts after a write never joins a call from before it.

Why both nonces and the set are needed:

* With a new nonce only at the begin, a read that starts while the write is in flight could store
  the older value under the nonce that stays valid.
* With a new nonce only at the end, a read could be served the older cached value although the
  provider has acknowledged the write, if the replica dies before it sets the new nonce.
* Without the writes in flight, a read between a write without a response and its late effect
  would store the older value.
* With a counter in place of ids, a write that outlasts its hold, or that was lost with the keys,
  would decrement the count on behalf of another write when it ends.

Lost keys. A shared cache that loses its keys loses its writes in flight, and a cache restored from
an older copy loses some of them. The *epoch* detects both. It is part of every nonce and contains
the id of the server process. A missing epoch, or an epoch of another server process, is replaced,
and a **quarantine** of the length of the hold begins, in which nothing is stored. A cache that is
simply new needs no quarantine; ``redis_fence.py`` explains how the two cases are distinguished.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from balance_gateway.pipeline.cache.change_log import ChangeLog
from balance_gateway.pipeline.cache.owed_values import OwedValues
from balance_gateway.ports.cache_validity import LocalCacheVersions


class FenceState(NamedTuple):
    """The state of an account's fence when a read starts.

    Attributes:
        nonce: the current nonce; only values stored under it are valid.
        settled: whether a value read from now on may be stored, and its upstream call shared.
        seq: number of changes of a shared cache before: values that other replicas store later
            have a higher number.
    """

    nonce: str
    settled: bool
    seq: int = 0


#: The state while the shared cache is unreachable: no value is valid, and none is stored.
UNKNOWN_FENCE_STATE = FenceState(nonce="", settled=False)


class Fences(Protocol):
    """Stores nonces and writes in flight by fence key.

    Attributes:
        versions: the validities of this process.
    """

    versions: LocalCacheVersions

    @property
    def change_log(self) -> ChangeLog | None:
        """What the replicas that share the cache change; None without any."""
        ...

    @property
    def owed(self) -> OwedValues:
        """The values that this process has shown and could not store in a shared cache."""
        ...

    async def states(self, keys: Sequence[str]) -> Sequence[FenceState]:
        """Return one state per key, in order.

        Raises:
            CacheUnavailable: the shared cache is unreachable.
        """
        ...

    async def begin_write(self, key: str, write_id: str) -> None:
        """Set a new nonce and add the write to the writes in flight.

        Raises:
            CacheUnavailable: the shared cache is unreachable; the write must not be sent.
        """
        ...

    async def end_write(self, key: str, write_id: str) -> None:
        """Set a new nonce and remove the write; only when it can no longer take effect.

        Raises:
            CacheUnavailable: the shared cache is unreachable; the hold expires by itself.
        """
        ...

    async def hold(self, key: str, write_id: str, seconds: float) -> None:
        """Set a new nonce and keep a write of a dead process in flight.

        Args:
            key: the fence key.
            write_id: the write.
            seconds: the minimum duration; an existing longer hold of the write stays.

        Raises:
            CacheUnavailable: the shared cache is unreachable.
        """
        ...

    def lengthen_hold(self, hold_s: float) -> None:
        """Hold writes that begin from now on for so many seconds; never less than before."""
        ...

    async def ping(self) -> None:
        """Check the shared cache.

        Raises:
            CacheUnavailable: the shared cache is unreachable.
        """
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


class MemoryFences:
    """The fences of a single process. They are lost with it, as are the values that they guard.

    Args:
        hold_s: for how many seconds a write without a response counts as in flight.
        monotonic: returns seconds that never go back.
    """

    change_log = None

    def __init__(self, hold_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._hold_s = hold_s
        self._monotonic = monotonic
        self._holds_until_s: dict[str, dict[str, float]] = {}
        self._nonce_numbers = itertools.count(1)
        self.versions = LocalCacheVersions()
        self.owed = OwedValues(monotonic)

    async def states(self, keys: Sequence[str]) -> Sequence[FenceState]:
        """Return one state per key, in order."""
        return [self._get_state(key) for key in keys]

    def _get_state(self, key: str) -> FenceState:
        nonce = self.versions.by_fence.get(key) or self._renew_nonce(key)
        return FenceState(nonce, settled=not self._remove_expired_holds(key))

    def _remove_expired_holds(self, key: str) -> dict[str, float]:
        """Return the key's remaining holds: when each ends, by write."""
        holds = self._holds_until_s.get(key)
        if holds is None:
            return {}
        now_s = self._monotonic()
        active = {write_id: until_s for write_id, until_s in holds.items() if until_s > now_s}
        self._set_holds(key, active)
        return active

    def _set_holds(self, key: str, holds: dict[str, float]) -> None:
        # Keys without holds are removed, so that the dictionary stays small.
        if holds:
            self._holds_until_s[key] = holds
        else:
            self._holds_until_s.pop(key, None)

    async def begin_write(self, key: str, write_id: str) -> None:
        """Set a new nonce and add the write to the writes in flight."""
        await self.hold(key, write_id, self._hold_s)

    async def end_write(self, key: str, write_id: str) -> None:
        """Set a new nonce and remove the write from the writes in flight."""
        self._renew_nonce(key)
        holds = self._remove_expired_holds(key)
        holds.pop(write_id, None)
        self._set_holds(key, holds)

    async def hold(self, key: str, write_id: str, seconds: float) -> None:
        """Set a new nonce and keep the write in flight for at least this long."""
        self._renew_nonce(key)
        holds = self._remove_expired_holds(key)
        until_s = self._monotonic() + seconds
        # A second hold of the same write never shortens the first.
        self._set_holds(key, {**holds, write_id: max(until_s, holds.get(write_id, until_s))})

    def lengthen_hold(self, hold_s: float) -> None:
        """Hold writes that begin from now on for so many seconds; never less than before."""
        self._hold_s = max(self._hold_s, hold_s)

    async def ping(self) -> None:
        """Do nothing: memory is always reachable."""

    async def aclose(self) -> None:
        """Do nothing: there are no connections."""

    def _renew_nonce(self, key: str) -> str:
        nonce = str(next(self._nonce_numbers))
        self.versions.renew(key, nonce)
        return nonce
