"""Reads through the cache: kept values under the write fence, single flight, stale when failing.

The order of one read is that of ``fence.py``: standing first, then the kept value, then the
provider; what was read is kept under the standing that was remembered. Errors are never kept.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    OpeningBalance,
)
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import CacheUnavailable, GatewayError, TooStale
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.cache.cache_entry_rules import (
    CachedRead,
    CacheLookup,
    Lifetimes,
    PendingRead,
    ReadResult,
    ValidityPair,
    allows_stale,
    attach_account,
    build_balance_read,
    build_flight_key,
    build_observed,
    build_opening_read,
    current_validity,
    deadline_error,
    find_cached_result,
    needs_refresh,
)
from balance_gateway.pipeline.cache.cache_keys import AccountKeys, single_flight_key
from balance_gateway.pipeline.cache.cache_store import CacheStore
from balance_gateway.pipeline.cache.fence import UNKNOWN_FENCE_STATE, Fences
from balance_gateway.pipeline.cache.read_through import ReadThrough
from balance_gateway.pipeline.cache.replica_coalescing import ReplicaCoalescer
from balance_gateway.pipeline.cache.single_flight import SingleFlight
from balance_gateway.pipeline.cache.upstream_leases import NoLeases, UpstreamLeases
from balance_gateway.ports.cache_validity import (
    LocalCacheVersions,
)
from balance_gateway.ports.call_context import (
    PriorityBoost,
)
from balance_gateway.ports.providers import (
    BalanceProvider,
)
from balance_gateway.ports.reads import (
    BalanceRequest,
    FreshnessState,
    Observed,
    OnStale,
)

logger = logging.getLogger(__name__)


class CachedReads:
    """The read pipeline, and the write fence around it.

    Args:
        providers: by connector name.
        keys: by account id.
        fences: see ``fence.py``.
        values: where values are kept.
        lifetimes: how long.
        clock: tells the time.
        claims: share upstream calls with other replicas; None: there are none.
        metrics: told where values came from.
        deadline_s: for all attempts of one upstream read together.
    """

    def __init__(
        self,
        *,
        providers: Mapping[str, BalanceProvider],
        keys: Mapping[str, AccountKeys],
        fences: Fences,
        values: CacheStore,
        lifetimes: Lifetimes,
        clock: Clock,
        claims: UpstreamLeases | None = None,
        metrics: Metrics | None = None,
        deadline_s: float = 30.0,
    ) -> None:
        self._providers = providers
        self._keys = keys
        self._fences = fences
        self._values = values
        self._lifetimes = lifetimes
        self._clock = clock
        self._metrics = metrics or Metrics()
        self._deadline_s = deadline_s
        self._flights: SingleFlight[ReadResult] = SingleFlight()
        self._upstream = ReadThrough(
            providers=providers,
            values=values,
            others=ReplicaCoalescer(claims or NoLeases(), values, clock, self._metrics),
            flights=self._flights,
            clock=clock,
            metrics=self._metrics,
            deadline_s=deadline_s,
            nonces=fences.nonces,
        )

    async def balances(
        self, requests: Sequence[BalanceRequest]
    ) -> Sequence[Observed[BalanceFigures] | GatewayError]:
        """One answer per request, in order."""
        return await self._answer_all(
            [
                build_balance_read(request, self._keys[request.account.id], self._lifetimes)
                for request in requests
            ]
        )

    async def opening_balances(
        self, accounts: Sequence[Account]
    ) -> Sequence[Observed[OpeningBalance | None] | GatewayError]:
        """One answer per account, in order."""
        return await self._answer_all(
            [
                build_opening_read(account, self._keys[account.id], self._lifetimes)
                for account in accounts
            ]
        )

    async def normal_balance(self, account: Account) -> Side:
        """The account's normal side, as the provider adapter remembers it."""
        try:
            return await self._providers[account.connector].normal_balance(account)
        except GatewayError as error:
            raise attach_account(account, error) from error

    def local_cache_versions(self) -> LocalCacheVersions | None:
        """The nonces of accounts, live, where they are this process's alone."""
        return self._fences.nonces

    async def begin_write(self, account: Account, write_id: str) -> None:
        """Raises the fence, or CacheUnavailable: then the write must not start."""
        if fence := self._keys[account.id].fence:
            await self._fences.begin_write(fence, write_id)

    async def end_write(self, account: Account, write_id: str) -> None:
        """Lowers the fence after a definite answer. If it cannot, the fence expires by itself."""
        try:
            if fence := self._keys[account.id].fence:
                await self._fences.end_write(fence, write_id)
        except CacheUnavailable:
            logger.warning("fence.end_failed", extra={"account_id": account.id})

    async def hold(self, account: Account, write_id: str, seconds: float) -> None:
        """Holds the fence up for a write that an earlier process began and did not end."""
        if fence := self._keys[account.id].fence:
            await self._fences.hold(fence, write_id, seconds)

    async def aclose(self) -> None:
        """Gives up what is in the air."""
        await self._flights.aclose()

    async def _answer_all(self, reads: Sequence[CachedRead]) -> list[Any]:
        seen = await self._look_up({read.value_key: read for read in reads})
        now_s = self._clock().timestamp()
        answers: list[ReadResult | None] = [
            find_cached_result(read, seen[read.value_key], now_s) for read in reads
        ]
        served = [read for read, answer in zip(reads, answers, strict=True) if answer is not None]
        self._refresh_ahead(served, seen, now_s)
        misses = [read for read, answer in zip(reads, answers, strict=True) if answer is None]
        if misses:
            flights = self._join_or_start(misses, seen, now_s)
            # One provider that hangs must not take the answers of the others with it.
            await asyncio.wait(set(flights.values()), timeout=self._deadline_s)
            for index, read in enumerate(reads):
                if answers[index] is None:
                    flight = flights[build_flight_key(read)]
                    landed = flight.result() if flight.done() else deadline_error()
                    answers[index] = self._choose_result(read, seen[read.value_key], landed)
        self._count(reads, answers)
        return answers

    def _refresh_ahead(
        self, reads: Sequence[CachedRead], seen: Mapping[str, CacheLookup], now_s: float
    ) -> None:
        """Reads values that were served anew in the background when they are about to expire.

        A read that takes no such value is a call of its own: it is waited for, and must not be
        put off with what the budget leaves to the background.
        """
        groups: dict[Hashable, tuple[PriorityBoost, list[PendingRead]]] = {}
        for read in reads:
            standing, entry = seen[read.value_key].standing, seen[read.value_key].entry
            if entry is None or not standing.settled or not needs_refresh(entry, now_s):
                continue
            key = single_flight_key(read.value_key, standing.nonce)
            if self._flights.in_flight(key) is None:
                hurry, group = groups.setdefault(
                    self._upstream.group_key(read), (PriorityBoost(), [])
                )
                group.append((read, standing, self._flights.open(key, now_s, hurry)))
        for hurry, group in groups.values():
            self._metrics.refreshes.inc(len(group))
            self._flights.run(self._upstream.refresh(group, hurry))

    def _count(self, reads: Sequence[CachedRead], answers: Sequence[ReadResult | None]) -> None:
        counts: Counter[tuple[str, str]] = Counter()
        for read, answer in zip(reads, answers, strict=True):
            state = answer.state.value if isinstance(answer, Observed) else "failed"
            counts[read.kind.value, state] += 1
        for (kind, state), count in counts.items():
            self._metrics.reads.labels(kind, state).inc(count)

    async def _look_up(self, reads: Mapping[str, CachedRead]) -> dict[str, CacheLookup]:
        """The mark, the standing and the kept value of each read, each older than the next."""
        seen = dict.fromkeys(reads, CacheLookup(UNKNOWN_FENCE_STATE, None))
        fenced = {key: read.keys.fence for key, read in reads.items() if read.keys.fence}
        if not fenced:
            return seen
        fences = list(dict.fromkeys(fenced.values()))
        nonces = self._fences.nonces
        marks: Mapping[str, ValidityPair] = {}
        if nonces is not None and self._values.is_enabled:
            marks = {
                key: current_validity(nonces, reads[key], fence) for key, fence in fenced.items()
            }
        try:
            standings = dict(zip(fences, await self._fences.states(fences), strict=True))
            entries = await self._values.get(list(fenced))
        except CacheUnavailable:
            return seen
        for (key, fence), entry in zip(fenced.items(), entries, strict=True):
            standing = standings[fence]
            valid = entry is not None and entry.nonce == standing.nonce
            seen[key] = CacheLookup(standing, entry if valid else None, marks.get(key))
        return seen

    def _join_or_start(
        self, misses: Sequence[CachedRead], seen: Mapping[str, CacheLookup], now_s: float
    ) -> dict[Hashable, "asyncio.Future[ReadResult]"]:
        """A flight for each miss: one that is in the air and may be shared, or a new one."""
        flights: dict[Hashable, asyncio.Future[ReadResult]] = {}
        groups: dict[Hashable, list[PendingRead]] = {}
        for read in misses:
            name = build_flight_key(read)
            if name in flights:
                continue
            standing = seen[read.value_key].standing
            key = single_flight_key(read.value_key, standing.nonce) if standing.settled else None
            flight = self._find_joinable(key, read, now_s)
            if flight is not None:
                self._metrics.reads_coalesced.inc()
            else:
                flight = self._flights.open(key, now_s)
                groups.setdefault(self._upstream.group_key(read), []).append(
                    (read, standing, flight)
                )
            flights[name] = flight
        for group in groups.values():
            # Whoever has an older value to fall back on need not wait for a spent budget.
            excused = all(
                self._can_serve_stale(read, seen[read.value_key], now_s) for read, _, _ in group
            )
            patience = 0.0 if excused else self._deadline_s
            self._flights.run(self._upstream.run(group, patience))
        return flights

    def _find_joinable(
        self, key: Hashable | None, read: CachedRead, now_s: float
    ) -> "asyncio.Future[ReadResult] | None":
        """A flight in the air that brings what is young enough for this reader."""
        in_air = self._flights.in_flight(key) if key is not None else None
        if in_air is None:
            return None
        # At an age of exactly zero a demand of zero still means: go and look.
        if read.max_age_s is not None and now_s - in_air.started_s >= read.max_age_s:
            return None
        if in_air.hurry is not None:
            in_air.hurry.request(self._deadline_s)
        return in_air.flight

    def _can_serve_stale(self, read: CachedRead, seen: CacheLookup, now_s: float) -> bool:
        """Whether the kept value would be this reader's answer if the provider failed."""
        if seen.entry is None or read.on_stale is OnStale.ERROR:
            return False
        return now_s - seen.entry.observed_at_s <= self._lifetimes.stale_s

    def _choose_result(self, read: CachedRead, seen: CacheLookup, landed: ReadResult) -> ReadResult:
        """What a reader gets of a flight: its value, or the kept one when the provider failed."""
        if not isinstance(landed, GatewayError):
            return landed
        error = attach_account(read.account, landed)
        if seen.entry is None or not allows_stale(landed):
            return error
        age_s = self._clock().timestamp() - seen.entry.observed_at_s
        if age_s > self._lifetimes.stale_s:
            return error
        if read.on_stale is OnStale.ERROR:
            stale = TooStale(
                f"The last value is {int(age_s)} s old and no newer one can be had:"
                f" {landed.message}",
                retry_after_s=landed.retry_after_s,
            )
            return attach_account(read.account, stale)
        return build_observed(seen.entry, FreshnessState.STALE, landed.message)
