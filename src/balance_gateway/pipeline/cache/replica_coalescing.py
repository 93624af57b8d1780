"""What another replica's call in the air brings, so that this one need not make it too."""

import asyncio
from collections.abc import Sequence

from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.cache.cache_entry_rules import Answer, Boarded, observed
from balance_gateway.pipeline.cache.cache_store import Values
from balance_gateway.pipeline.cache.upstream_leases import CLAIM_S, POLL_S, Claims, SingleProcess
from balance_gateway.ports.reads import (
    FreshnessState,
)


class OtherReplicas:
    """Takes what others keep of the calls that they have claimed; see ``claims.py``."""

    def __init__(self, claims: Claims, values: Values, clock: Clock, metrics: Metrics) -> None:
        self._claims = claims
        self._values = values
        self._clock = clock
        self._metrics = metrics
        self._mine: set[str] = set()
        self._are_none = isinstance(claims, SingleProcess)

    async def answers(self, group: Sequence[Boarded]) -> Sequence[Answer]:
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
            is_in_air = await self._claims.is_taken(claim)
            try:
                fresh = await self._kept_since(since_s - CLAIM_S, group)
            except CacheUnavailable:
                return []
            if len(fresh) == len(group):
                self._metrics.reads_coalesced.inc(len(group))
                return fresh
            if self._clock().timestamp() - since_s > CLAIM_S:
                return []
        return []

    async def _kept_since(self, since_s: float, group: Sequence[Boarded]) -> Sequence[Answer]:
        entries = await self._values.get([read.value_key for read, _, _ in group])
        now_s = self._clock().timestamp()
        return [
            observed(entry, FreshnessState.CACHED, None)
            for entry, (_, standing, _) in zip(entries, group, strict=True)
            if entry is not None
            and entry.nonce == standing.nonce
            and entry.observed_at_s >= since_s
            and now_s - entry.observed_at_s < entry.fresh_for_s
        ]

    async def release(self, group: Sequence[Boarded]) -> None:
        """Ends our claim, if it is ours: what we read is kept, or cannot be."""
        if self._mine and (claim := _claim_of(group)) in self._mine:
            self._mine.discard(claim)
            await self._claims.release(claim)


def _claim_of(group: Sequence[Boarded]) -> str:
    """Equal for groups that ask for the very same values: only those can share a call."""
    return " ".join(sorted(read.value_key for read, _, _ in group))
