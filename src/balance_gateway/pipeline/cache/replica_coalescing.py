"""What another replica's call in the air brings, so that this one need not make it too."""

import asyncio
from collections.abc import Sequence

from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.cache.cache_entry_rules import PendingRead, ReadResult, build_observed
from balance_gateway.pipeline.cache.cache_keys import lease_name
from balance_gateway.pipeline.cache.cache_store import CacheStore
from balance_gateway.pipeline.cache.upstream_leases import LEASE_S, POLL_S, NoLeases, UpstreamLeases
from balance_gateway.ports.reads import (
    FreshnessState,
)


class ReplicaCoalescer:
    """Takes what others keep of the calls that they have claimed; see ``claims.py``."""

    def __init__(
        self, claims: UpstreamLeases, values: CacheStore, clock: Clock, metrics: Metrics
    ) -> None:
        self._claims = claims
        self._values = values
        self._clock = clock
        self._metrics = metrics
        self._mine: set[str] = set()
        self._are_none = isinstance(claims, NoLeases)

    async def answers(self, group: Sequence[PendingRead]) -> Sequence[ReadResult]:
        """An answer for each of the group; nothing when the call is ours to make."""
        if self._are_none:
            return []
        if any(read.max_age_s is not None or not standing.settled for read, standing, _ in group):
            return []
        claim = _claim_of(group)
        if await self._claims.take(claim):
            self._mine.add(claim)
            return []
        since_s = self._clock().timestamp()
        is_in_air = True
        while is_in_air:
            await asyncio.sleep(POLL_S)
            is_in_air = await self._claims.is_held(claim)
            try:
                fresh = await self._kept_since(since_s - LEASE_S, group)
            except CacheUnavailable:
                return []
            if len(fresh) == len(group):
                self._metrics.reads_coalesced.inc(len(group))
                return fresh
            if self._clock().timestamp() - since_s > LEASE_S:
                return []
        return []

    async def _kept_since(
        self, since_s: float, group: Sequence[PendingRead]
    ) -> Sequence[ReadResult]:
        entries = await self._values.get([read.value_key for read, _, _ in group])
        now_s = self._clock().timestamp()
        return [
            build_observed(entry, FreshnessState.CACHED, None)
            for entry, (_, standing, _) in zip(entries, group, strict=True)
            if entry is not None
            and entry.nonce == standing.nonce
            and entry.observed_at_s >= since_s
            and now_s - entry.observed_at_s < entry.fresh_for_s
        ]

    async def release(self, group: Sequence[PendingRead]) -> None:
        """Ends our claim, if it is ours: what we read is kept, or cannot be."""
        if self._mine and (claim := _claim_of(group)) in self._mine:
            self._mine.discard(claim)
            await self._claims.release(claim)


def _claim_of(group: Sequence[PendingRead]) -> str:
    return lease_name(read.value_key for read, _, _ in group)
