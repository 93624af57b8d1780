"""Store what providers answered, so that no older value is shown after a newer one."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from balance_gateway.domain.errors import CacheUnavailable, GatewayError
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.cache.cache_entry_rules import (
    PendingRead,
    ReadResult,
    current_validity,
    refresh_due_s,
)
from balance_gateway.pipeline.cache.cache_keys import single_flight_key
from balance_gateway.pipeline.cache.cache_store import (
    CacheEntry,
    LocalStore,
    MemoryStore,
    NewValue,
    RedisStore,
)
from balance_gateway.pipeline.cache.fence import UNKNOWN_FENCE_STATE, Fences
from balance_gateway.pipeline.cache.single_flight import SingleFlight
from balance_gateway.ports.cache_validity import CacheTerms, LocalCacheVersions
from balance_gateway.ports.reads import Observed

logger = logging.getLogger(__name__)

#: For how many seconds a read that began before may still store its value: more than it may take.
_LATE_STORE_S = 120.0


class ResultKeeper(Protocol):
    """Stores the results of upstream calls."""

    def begin(self) -> int:
        """Note that a call begins; returns when, for ``store``."""
        ...

    async def store(
        self, group: Sequence[PendingRead], results: Sequence[ReadResult], began: int
    ) -> Sequence[bool]:
        """Store the results where the fence allows it.

        Args:
            group: the reads of the call.
            results: their results, in order.
            began: as returned by ``begin``.

        Returns:
            For each read a mark, for ``finish``.
        """
        ...

    def store_at_once(
        self, group: Sequence[PendingRead], results: Sequence[ReadResult]
    ) -> Sequence[bool] | None:
        """Do what ``store`` does, if it needs no wait; else do nothing and return None."""
        ...

    def finish(
        self, group: Sequence[PendingRead], results: Sequence[ReadResult], stored: Sequence[bool]
    ) -> list[ReadResult]:
        """Return the results as they are shown; they must be shown in the same turn."""
        ...


def build_keeper(
    store: LocalStore | RedisStore,
    fences: Fences,
    single_flight: SingleFlight[ReadResult],
    metrics: Metrics,
) -> ResultKeeper:
    """Build the keeper for a store."""
    if isinstance(store, RedisStore):
        return SharedKeeper(store, fences, metrics)
    return LocalKeeper(store, fences.versions, single_flight, metrics)


def _count_fenced(group: Sequence[PendingRead], metrics: Metrics) -> None:
    # Values of the embedded ledger have no fence and are never stored; with an unknown state
    # no write is known that prevented it.
    fenced = [
        pending
        for pending in group
        if not pending.fence_state.settled and pending.fence_state is not UNKNOWN_FENCE_STATE
    ]
    if fenced:
        metrics.fills_fenced.inc(len(fenced))


def _build_entry(pending: PendingRead, result: Observed[Any]) -> CacheEntry:
    observed_at_s = result.observed_at.timestamp()
    read = pending.read
    return CacheEntry(pending.fence_state.nonce, observed_at_s, read.fresh_for_s, result.value)


class LocalKeeper:
    """Keeps results in the memory of this process; its marks: the read is the newest.

    Args:
        store: the cached values.
        versions: the validities that a newer value ends.
        single_flight: the calls in flight; decides whether a call is the newest of its value.
        metrics: counts results that could not be stored.
    """

    def __init__(
        self,
        store: LocalStore,
        versions: LocalCacheVersions,
        single_flight: SingleFlight[ReadResult],
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._versions = versions
        self._single_flight = single_flight
        self._metrics = metrics

    def begin(self) -> int:
        """Do nothing: the calls in flight show which call is the newest."""
        return 0

    async def store(
        self,
        group: Sequence[PendingRead],
        results: Sequence[ReadResult],
        began: int,  # noqa: ARG002
    ) -> Sequence[bool]:
        """Store the results of the newest reads; drop the values of overlapping ones."""
        if not self._store.is_enabled:
            return [False] * len(group)
        _count_fenced(group, self._metrics)
        newest = [self._is_newest(pending) for pending in group]
        entries = {
            pending.read.value_key: _build_entry(pending, result)
            for pending, result, is_newest in zip(group, results, newest, strict=True)
            if pending.fence_state.settled and is_newest and not isinstance(result, GatewayError)
        }
        if entries:
            try:
                await self._store.put(entries)
            except CacheUnavailable:
                logger.warning("cache.put_failed", extra={"entries": len(entries)})
            except Exception:
                # A defect of the cache must not fail the read: its result is already there.
                logger.exception("cache.defect")
        await self._drop_overlapping(group, results, newest)
        return newest

    def store_at_once(
        self, group: Sequence[PendingRead], results: Sequence[ReadResult]
    ) -> Sequence[bool] | None:
        """Store the results in memory, unless other reads of the values overlap."""
        if not self._store.is_enabled:
            return [False] * len(group)
        if not isinstance(self._store, MemoryStore) or not all(map(self._is_newest, group)):
            return None
        # The newest read is under a settled fence: others share no call.
        self._store.put_at_once(
            {
                pending.read.value_key: _build_entry(pending, result)
                for pending, result in zip(group, results, strict=True)
                if not isinstance(result, GatewayError)
            }
        )
        return [True] * len(group)

    def _is_newest(self, pending: PendingRead) -> bool:
        """Return whether no other read of the value has started since.

        A newer read's value must not be overwritten, whether or not that read has finished.
        """
        key = single_flight_key(pending.read.value_key, pending.fence_state.nonce)
        call = self._single_flight.find(key)
        return call is not None and call.future is pending.future

    async def _drop_overlapping(
        self, group: Sequence[PendingRead], results: Sequence[ReadResult], newest: Sequence[bool]
    ) -> None:
        """Drop the values of calls that overlapped with these: which is newer is not known.

        The result of a call that is not the newest is shown as well. If it is the newer one, the
        value that the other call has stored or is about to store would be older than it.
        """
        for pending, result, is_newest in zip(group, results, newest, strict=True):
            read, fence_state, _ = pending
            fence = read.keys.fence
            if is_newest or fence is None or isinstance(result, GatewayError):
                continue
            self._single_flight.retire(single_flight_key(read.value_key, fence_state.nonce))
            try:
                await self._expire_other_value(pending, result)
            except CacheUnavailable:
                continue
            self._versions.invalidate(fence, read.value_key)
            self._versions.invalidate(fence, read.keys.value)

    async def _expire_other_value(self, pending: PendingRead, result: Observed[Any]) -> None:
        """Replace a stored value that differs from the result; it is only served as stale then."""
        key = pending.read.value_key
        [entry] = await self._store.get([key])
        nonce = pending.fence_state.nonce
        if entry is None or entry.nonce != nonce or entry.value == result.value:
            return
        await self._store.put({key: replace(_build_entry(pending, result), fresh_for_s=0.0)})

    def finish(
        self, group: Sequence[PendingRead], results: Sequence[ReadResult], stored: Sequence[bool]
    ) -> list[ReadResult]:
        """Invalidate responses built from older values, and attach cache terms to the results."""
        # Storing in memory does not suspend, so no other task runs between storing and this.
        for pending, is_newest in zip(group, stored, strict=True):
            keys = pending.read.keys
            if is_newest and keys.fence is not None:
                self._versions.invalidate(keys.fence, pending.read.value_key)
                self._versions.invalidate(keys.fence, keys.value)
        return [
            result
            if isinstance(result, GatewayError) or not is_newest
            else replace(result, cache_terms=self._build_cache_terms(pending, result))
            for result, pending, is_newest in zip(results, group, stored, strict=True)
        ]

    def _build_cache_terms(self, pending: PendingRead, result: Observed[Any]) -> CacheTerms | None:
        """Return the terms of a stored value; None when it is not stored or no longer valid."""
        read, fence_state, _ = pending
        fence = read.keys.fence
        if fence is None or not fence_state.settled:
            return None
        if self._versions.by_fence.get(fence) != fence_state.nonce:
            return None
        until_s = refresh_due_s(result.observed_at.timestamp(), read)
        return CacheTerms(*current_validity(self._versions, read, fence), until_s)


class SharedKeeper:
    """Keeps results in Redis; its marks: Redis has no older value any more.

    Args:
        store: the cached values.
        fences: the validities of this process, and the values that it owes.
        metrics: counts results that could not be stored.
    """

    def __init__(self, store: RedisStore, fences: Fences, metrics: Metrics) -> None:
        self._store = store
        self._versions = fences.versions
        self._owed = fences.owed
        self._metrics = metrics

    def begin(self) -> int:
        """Note that a call begins."""
        return self._owed.begin_read()

    async def store(
        self, group: Sequence[PendingRead], results: Sequence[ReadResult], began: int
    ) -> Sequence[bool]:
        """Store the results where the fence allows it."""
        _count_fenced(group, self._metrics)
        values = {
            pending.read.value_key: self._build_value(pending, result)
            for pending, result in zip(group, results, strict=True)
            if pending.fence_state.settled and not isinstance(result, GatewayError)
        }
        kept = await self._keep(values) if values else {}
        for key, is_kept in kept.items():
            if is_kept:
                self._owed.settle(key, began)
        return [kept.get(pending.read.value_key, False) for pending in group]

    def store_at_once(
        self,
        group: Sequence[PendingRead],  # noqa: ARG002
        results: Sequence[ReadResult],  # noqa: ARG002
    ) -> Sequence[bool] | None:
        """Return None: Redis is asked."""
        return None

    @staticmethod
    def _build_value(pending: PendingRead, result: Observed[Any]) -> NewValue:
        keys = pending.read.keys
        assert keys.fence is not None
        entry = _build_entry(pending, result)
        return NewValue(entry, keys.fence, keys.value, pending.fence_state.seq)

    async def _keep(self, values: dict[str, NewValue]) -> dict[str, bool]:
        try:
            return dict(await self._store.keep(values))
        except CacheUnavailable:
            logger.warning("cache.put_failed", extra={"entries": len(values)})
        except Exception:
            # A defect of the cache must not fail the read: its result is already there.
            logger.exception("cache.defect")
        return {}

    def finish(
        self, group: Sequence[PendingRead], results: Sequence[ReadResult], stored: Sequence[bool]
    ) -> list[ReadResult]:
        """Invalidate responses built from older values, and note what Redis may have older.

        The results have no cache terms: the next reader looks at them in Redis.
        """
        lifetime_s = 2 * self._store.retention_s + _LATE_STORE_S
        for pending, result, is_kept in zip(group, results, stored, strict=True):
            read = pending.read
            if read.keys.fence is None or isinstance(result, GatewayError):
                continue
            if not is_kept:
                self._owed.add(read.value_key, lifetime_s)
            self._versions.invalidate(read.keys.fence, read.value_key)
            self._versions.invalidate(read.keys.fence, read.keys.value)
        return list(results)
