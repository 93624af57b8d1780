"""Upstream calls for groups of reads: one call each, kept where the fence allows it."""

import asyncio
import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import CacheUnavailable, GatewayError, Internal
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.cache.cache_entry_rules import (
    CachedRead,
    PendingRead,
    ReadResult,
    current_validity,
    deadline_error,
    refresh_due_s,
)
from balance_gateway.pipeline.cache.cache_keys import single_flight_key
from balance_gateway.pipeline.cache.cache_store import CacheEntry, CacheStore, Value
from balance_gateway.pipeline.cache.fence import FenceState
from balance_gateway.pipeline.cache.replica_coalescing import ReplicaCoalescer
from balance_gateway.pipeline.cache.single_flight import SingleFlight
from balance_gateway.ports.cache_validity import (
    CacheTerms,
    LocalCacheVersions,
)
from balance_gateway.ports.call_context import (
    Priority,
    PriorityBoost,
    set_call_context,
)
from balance_gateway.ports.providers import (
    BalanceProvider,
)
from balance_gateway.ports.reads import (
    FreshnessState,
    Observed,
)

logger = logging.getLogger(__name__)


class ReadThrough:
    """Asks providers, or takes what another replica asked for.

    Args:
        providers: by connector name.
        values: where what was read is kept.
        others: the replicas that share the cache.
        flights: that are in the air; an older one that lands late must not push a newer value out.
        clock: tells the time.
        metrics: told what could not be kept.
        deadline_s: for all attempts of one upstream read together.
        nonces: told what was kept, where they are this process's alone.
    """

    def __init__(
        self,
        *,
        providers: Mapping[str, BalanceProvider],
        values: CacheStore,
        others: ReplicaCoalescer,
        flights: SingleFlight[ReadResult],
        clock: Clock,
        metrics: Metrics,
        deadline_s: float,
        nonces: LocalCacheVersions | None,
    ) -> None:
        self._providers = providers
        self._values = values
        self._others = others
        self._flights = flights
        self._clock = clock
        self._metrics = metrics
        self._deadline_s = deadline_s
        self._nonces = nonces

    def group_key(self, read: CachedRead) -> Hashable:
        """What is asked for together; a query that cannot be grouped is asked, and fails, alone."""
        if read.query is None:
            return read.value_key
        provider = self._providers[read.account.connector]
        try:
            return read.account.connector, provider.balance_group(read.query)
        except GatewayError:
            return read.value_key
        except Exception:
            logger.exception("provider.defect", extra={"connector": provider.connector})
            return read.value_key

    async def refresh(self, group: Sequence[PendingRead], hurrying: PriorityBoost) -> None:
        """As ``fly``, for values that nobody waits for unless ``hurrying`` is called."""
        set_call_context(priority=Priority.BACKGROUND, boost=hurrying)
        await self.run(group, patience=0.0)

    async def run(self, group: Sequence[PendingRead], patience: float) -> None:
        """One upstream call for a group of reads; lands every flight of it, whatever happens."""
        set_call_context(max_wait_s=patience, read_timeout_s=self._deadline_s)
        started_at = self._clock()
        answers: Sequence[ReadResult] = []
        try:
            answers = await self._others.answers(group)
            if not answers:
                answers = await self._from_provider(group, started_at)
        finally:
            for index, (_, _, flight) in enumerate(group):
                if not flight.done():
                    lost = Internal("The read was given up.")
                    flight.set_result(answers[index] if index < len(answers) else lost)

    async def _from_provider(
        self, group: Sequence[PendingRead], started_at: datetime
    ) -> Sequence[ReadResult]:
        """The provider's answers, kept where the fence allows it."""
        found = await self._ask([read for read, _, _ in group])
        answers: list[ReadResult] = [
            answer
            if isinstance(answer, GatewayError)
            else Observed(answer, started_at, FreshnessState.LIVE)
            for answer in found
        ]
        if self._values.is_enabled:
            newest = [self._is_newest(*boarded) for boarded in group]
            await self._keep(group, answers, newest)
            answers = self._marked(group, answers, newest)
        await self._others.release(group)
        return answers

    def _is_newest(
        self, read: CachedRead, standing: FenceState, flight: "asyncio.Future[ReadResult]"
    ) -> bool:
        """Whether no other read of the value has begun since: it knows better, landed or not."""
        in_air = self._flights.in_flight(single_flight_key(read.value_key, standing.nonce))
        return in_air is not None and in_air.flight is flight

    def _marked(
        self, group: Sequence[PendingRead], answers: Sequence[ReadResult], newest: Sequence[bool]
    ) -> list[ReadResult]:
        """The answers with what they are kept under; what was handed out before is older now.

        Nobody gets in between keeping in memory and this, or sees a newer value before this.
        """
        nonces = self._nonces
        if nonces is None:
            return list(answers)
        for (read, _, _), is_newest in zip(group, newest, strict=True):
            if is_newest and read.keys.fence is not None:
                nonces.invalidate(read.keys.fence, read.value_key)
                nonces.invalidate(read.keys.fence, read.keys.value)
        return [
            answer
            if isinstance(answer, GatewayError) or not is_newest
            else replace(answer, kept=self._kept_as(nonces, read, standing, answer))
            for answer, (read, standing, _), is_newest in zip(answers, group, newest, strict=True)
        ]

    def _kept_as(
        self,
        nonces: LocalCacheVersions,
        read: CachedRead,
        standing: FenceState,
        answer: Observed[Any],
    ) -> CacheTerms | None:
        """How a value read under this standing is kept; None where it is not, or counts no more."""
        fence = read.keys.fence
        if fence is None or not standing.settled or nonces.by_fence.get(fence) != standing.nonce:
            return None
        until_s = refresh_due_s(answer.observed_at.timestamp(), read)
        return CacheTerms(*current_validity(nonces, read, fence), until_s)

    async def _ask(self, reads: Sequence[CachedRead]) -> Sequence[Value | GatewayError]:
        """The provider's answers, in order; a failure of the call is the answer to each."""
        provider = self._providers[reads[0].account.connector]
        try:
            async with asyncio.timeout(self._deadline_s):
                if reads[0].query is None:
                    return [await provider.opening_balance(reads[0].account)]
                answers = await provider.balances([read.query for read in reads if read.query])
            assert len(answers) == len(reads)
            return answers
        except GatewayError as error:
            return [error] * len(reads)
        except TimeoutError:
            return [deadline_error()] * len(reads)
        except Exception:
            logger.exception("provider.defect", extra={"connector": provider.connector})
            return [Internal("The gateway could not read the provider's answer.")] * len(reads)

    async def _keep(
        self,
        group: Sequence[PendingRead],
        answers: Sequence[ReadResult],
        newest: Sequence[bool],
    ) -> None:
        unsettled = sum(not standing.settled for _, standing, _ in group)
        if unsettled:
            self._metrics.fills_fenced.inc(unsettled)
        entries = {
            read.value_key: CacheEntry(
                standing.nonce, answer.observed_at.timestamp(), read.fresh_for_s, answer.value
            )
            for (read, standing, _), answer, is_newest in zip(group, answers, newest, strict=True)
            if standing.settled and is_newest and not isinstance(answer, GatewayError)
        }
        if entries:
            try:
                await self._values.put(entries)
            except CacheUnavailable:
                logger.warning("cache.put_failed", extra={"entries": len(entries)})
            except Exception:
                # What was read is answered all the same.
                logger.exception("cache.defect")
