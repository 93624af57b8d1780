"""Coalesce equal upstream calls of several replicas: one calls, the others wait for its values."""

import asyncio
from collections.abc import Sequence

from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.cache.cache_entry_rules import PendingRead, ReadResult, build_observed
from balance_gateway.pipeline.cache.cache_keys import lease_name
from balance_gateway.pipeline.cache.cache_store import CacheStore
from balance_gateway.pipeline.cache.owed_values import OwedValues
from balance_gateway.pipeline.cache.upstream_leases import LEASE_S, POLL_S, NoLeases, UpstreamLeases
from balance_gateway.ports.reads import FreshnessState


class ReplicaCoalescer:
    """Takes results from the cache while another replica holds the lease of the same call.

    Args:
        leases: see ``upstream_leases.py``.
        store: the shared cached values.
        clock: returns the current time.
        metrics: counts coalesced reads.
        owed: the values that are not taken from the store, because it may have older ones.
    """

    def __init__(
        self,
        leases: UpstreamLeases,
        store: CacheStore,
        clock: Clock,
        metrics: Metrics,
        owed: OwedValues,
    ) -> None:
        self._leases = leases
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._owed = owed
        self._own_leases: set[str] = set()
        self._is_single_process = isinstance(leases, NoLeases)

    async def wait_for_results(self, group: Sequence[PendingRead]) -> Sequence[ReadResult]:
        """Wait for another replica's call for the same group.

        Returns:
            One result per read; empty when this process must make the call itself.
        """
        if self._is_single_process or self._owes(group):
            return []
        # A reader with a maximum age, or under an unsettled fence, cannot use a stored value.
        if any(
            pending.read.max_age_s is not None or not pending.fence_state.settled
            for pending in group
        ):
            return []
        lease = _build_lease_name(group)
        if await self._leases.take(lease):
            self._own_leases.add(lease)
            return []
        waiting_since_s = self._clock().timestamp()
        is_held = True
        while is_held:
            await asyncio.sleep(POLL_S)
            is_held = await self._leases.is_held(lease)
            try:
                # The other call started at most one lease ago; older values are not its results.
                results = await self._read_entries_since(waiting_since_s - LEASE_S, group)
            except CacheUnavailable:
                return []
            if self._owes(group):
                return []
            if len(results) == len(group):
                self._metrics.reads_coalesced.inc(len(group))
                return results
            if self._clock().timestamp() - waiting_since_s > LEASE_S:
                return []
        return []

    def _owes(self, group: Sequence[PendingRead]) -> bool:
        return bool(self._owed) and any(one.read.value_key in self._owed for one in group)

    async def _read_entries_since(
        self, since_s: float, group: Sequence[PendingRead]
    ) -> Sequence[ReadResult]:
        entries = await self._store.get([pending.read.value_key for pending in group])
        now_s = self._clock().timestamp()
        return [
            build_observed(entry, FreshnessState.CACHED, None)
            for entry, pending in zip(entries, group, strict=True)
            if entry is not None
            and entry.nonce == pending.fence_state.nonce
            and entry.observed_at_s >= since_s
            and now_s - entry.observed_at_s < entry.fresh_for_s
        ]

    async def release(self, group: Sequence[PendingRead]) -> None:
        """Release the group's lease if this process holds it: its values are stored, or failed."""
        if self._own_leases and (lease := _build_lease_name(group)) in self._own_leases:
            self._own_leases.discard(lease)
            await self._leases.release(lease)


def _build_lease_name(group: Sequence[PendingRead]) -> str:
    return lease_name(pending.read.value_key for pending in group)
