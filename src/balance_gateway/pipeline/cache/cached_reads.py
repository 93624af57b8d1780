"""Serve reads from the cache: under the write fence, with single flight and stale fallback.

The order of one read follows ``fence.py``: read the fence state, then the cached value, then call
the provider, and store the result under the remembered fence state. Errors are never stored.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.balances import BalanceFigures, OpeningBalance
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import CacheUnavailable, GatewayError
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.cache.bank_feed_groups import BankFeedGroups
from balance_gateway.pipeline.cache.begun_reads import CallBeginner, CallGroup
from balance_gateway.pipeline.cache.cache_entry_rules import (
    CachedRead,
    CacheLookup,
    Lifetimes,
    PendingRead,
    ReadResult,
    ValidityPair,
    attach_account,
    build_balance_read,
    build_feed_read,
    build_opening_read,
    build_pending_key,
    can_serve_stale,
    choose_result,
    current_validity,
    find_cached_result,
    needs_refresh,
)
from balance_gateway.pipeline.cache.cache_keys import AccountKeys, single_flight_key
from balance_gateway.pipeline.cache.cache_store import LocalStore, RedisStore
from balance_gateway.pipeline.cache.fence import UNKNOWN_FENCE_STATE, Fences
from balance_gateway.pipeline.cache.read_counts import count_reads
from balance_gateway.pipeline.cache.read_through import ReadThrough
from balance_gateway.pipeline.cache.replica_coalescing import ReplicaCoalescer
from balance_gateway.pipeline.cache.result_keeping import build_keeper
from balance_gateway.pipeline.cache.single_flight import SingleFlight
from balance_gateway.pipeline.cache.stale_patience import AwaitedRead, wait_for_calls
from balance_gateway.pipeline.cache.stored_balances import read_stored_balances
from balance_gateway.pipeline.cache.upstream_leases import NoLeases, UpstreamLeases
from balance_gateway.ports.bank_feeds import BankFeedReader
from balance_gateway.ports.begun_balances import BalanceBeginner
from balance_gateway.ports.cache_validity import LocalCacheVersions
from balance_gateway.ports.call_context import PriorityBoost
from balance_gateway.ports.opening_balances_reader import OpeningBalancesReader
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.ports.reads import BalanceRequest, Observed
from balance_gateway.ports.stored_balances_reader import StoredBalancesReader

logger = logging.getLogger(__name__)


class CachedReads:
    """The read pipeline, and the write fence around it.

    Args:
        providers: by connector name.
        keys: the cache keys, by account id.
        fences: see ``fence.py``.
        values: stores the values.
        lifetimes: how long values are fresh, and how old a stale value may be.
        clock: returns the current time.
        claims: leases that share upstream calls between replicas; None: there are no replicas.
        metrics: counts reads by their source.
        deadline_s: for all attempts of one upstream read together.
        feed_readers: the providers that report bank feeds, by connector name.
        accounts: all accounts: one call for bank feeds serves every account of its group.
        in_storage: the ids of the accounts with values in the gateway's own storage alone.
        single_flight: the calls in flight; None for none yet. Pipelines of one cache share them.
        opening_readers: the providers that read several opening balances at once, by name.
        beginners: the providers that begin balance reads without a task, by name.
        stored_readers: the providers that read balances without waiting, by name.
    """

    def __init__(
        self,
        *,
        providers: Mapping[str, BalanceProvider],
        keys: Mapping[str, AccountKeys],
        fences: Fences,
        values: LocalStore | RedisStore,
        lifetimes: Lifetimes,
        clock: Clock,
        claims: UpstreamLeases | None = None,
        metrics: Metrics | None = None,
        deadline_s: float = 30.0,
        feed_readers: Mapping[str, BankFeedReader] = MappingProxyType({}),
        accounts: Sequence[Account] = (),
        in_storage: Collection[str] = frozenset(),
        single_flight: SingleFlight[ReadResult] | None = None,
        opening_readers: Mapping[str, OpeningBalancesReader] = MappingProxyType({}),
        beginners: Mapping[str, BalanceBeginner] = MappingProxyType({}),
        stored_readers: Mapping[str, StoredBalancesReader] = MappingProxyType({}),
    ) -> None:
        self._providers = providers
        self._keys = keys
        self._fences = fences
        self._store = values
        self._lifetimes = lifetimes
        self._clock = clock
        self._in_storage = in_storage
        self._stored_readers = stored_readers
        self._metrics = metrics or Metrics()
        self._deadline_s = deadline_s
        self._single_flight = SingleFlight() if single_flight is None else single_flight
        self._feed_groups = BankFeedGroups(feed_readers, accounts)
        leases = claims or NoLeases()
        keeper = build_keeper(values, fences, self._single_flight, self._metrics)
        self._read_through = ReadThrough(
            providers=providers,
            feed_readers=feed_readers,
            feed_groups=self._feed_groups,
            keeper=keeper,
            coalescer=ReplicaCoalescer(leases, values, clock, self._metrics, fences.owed),
            clock=clock,
            deadline_s=deadline_s,
            opening_readers=opening_readers,
        )
        self._calls = CallBeginner(
            read_through=self._read_through,
            # Another replica may make the call: that takes a look at Redis.
            beginners=beginners if isinstance(leases, NoLeases) else {},
            keeper=keeper,
            single_flight=self._single_flight,
            clock=clock,
            deadline_s=deadline_s,
        )

    async def balances(
        self, requests: Sequence[BalanceRequest]
    ) -> Sequence[Observed[BalanceFigures] | GatewayError]:
        """Return one result per request, in order."""
        return await self._read_all([self._build_balance_read(request) for request in requests])

    def _build_balance_read(self, request: BalanceRequest) -> CachedRead:
        return build_balance_read(request, self._keys[request.account.id], self._lifetimes)

    async def opening_balances(
        self, accounts: Sequence[Account]
    ) -> Sequence[Observed[OpeningBalance | None] | GatewayError]:
        """Return one result per account, in order."""
        return await self._read_all(
            [
                build_opening_read(account, self._keys[account.id], self._lifetimes)
                for account in accounts
            ]
        )

    async def bank_feeds(
        self, accounts: Sequence[Account]
    ) -> Sequence[Observed[BankFeed | None] | GatewayError]:
        """Return one result per account, in order; of connectors that report bank feeds."""
        return await self._read_all([self._build_feed_read(account) for account in accounts])

    def _build_feed_read(self, account: Account) -> CachedRead:
        return build_feed_read(account, self._keys[account.id], self._lifetimes)

    async def normal_balance(self, account: Account) -> Side:
        """Return the account's normal side; the provider adapter caches it."""
        reading = self._read_through.read_side(account)
        try:
            # In a task of its own: its context says for whom it is and how long it waits.
            return await asyncio.create_task(reading)
        except GatewayError as error:
            raise attach_account(account, error) from error

    async def look_up(self, read: CachedRead) -> CacheLookup:
        """Return what the cache has for a read; nothing is read from the provider."""
        return (await self._look_up({read.value_key: read}))[read.value_key]

    async def read_alone(self, read: CachedRead) -> Any:
        """Return a value, or its error, from the provider; see ``ReadThrough.read_alone``."""
        return await self._read_through.read_alone(read)

    def is_in_storage(self, account: Account) -> bool:
        """Return whether the account's values depend on the gateway's own storage alone."""
        return account.id in self._in_storage

    def read_stored_now(
        self, requests: Sequence[BalanceRequest]
    ) -> Sequence[Observed[BalanceFigures] | GatewayError] | None:
        """Read balances of accounts in the storage without waiting; None where that cannot be."""
        reads = [self._build_balance_read(request) for request in requests]
        now = self._clock()
        results = read_stored_balances(reads, self._stored_readers, now)
        if results is not None:
            count_reads(self._metrics, reads, results, now)
        return results

    def local_cache_versions(self) -> LocalCacheVersions | None:
        """Return the live nonces and validities of all accounts; None when the cache is off."""
        return self._fences.versions if self._store.is_enabled else None

    def get_change_check(self) -> Callable[[], Awaitable[bool]] | None:
        """Return how to ask which values other replicas have changed; see ``change_log.py``."""
        log = self._fences.change_log
        return None if log is None else log.check

    async def begin_write(self, account: Account, write_id: str) -> None:
        """Raise the fence.

        Raises:
            CacheUnavailable: the write must not start.
        """
        if fence := self._keys[account.id].fence:
            await self._fences.begin_write(fence, write_id)

    async def end_write(self, account: Account, write_id: str) -> None:
        """Lower the fence once the write can no longer take effect; else it expires by itself."""
        try:
            if fence := self._keys[account.id].fence:
                await self._fences.end_write(fence, write_id)
        except CacheUnavailable:
            logger.warning("fence.end_failed", extra={"account_id": account.id})

    async def hold(self, account: Account, write_id: str, seconds: float) -> None:
        """Hold the fence for a write that an earlier process began and did not end."""
        if fence := self._keys[account.id].fence:
            await self._fences.hold(fence, write_id, seconds)

    async def aclose(self) -> None:
        """Cancel all upstream reads in flight."""
        await self._single_flight.aclose()

    async def _read_all(self, reads: Sequence[CachedRead]) -> list[Any]:
        lookups = await self._look_up({read.value_key: read for read in reads})
        now_s = self._clock().timestamp()
        results: list[ReadResult | None] = [
            find_cached_result(read, lookups[read.value_key], now_s) for read in reads
        ]
        hits = [read for read, result in zip(reads, results, strict=True) if result is not None]
        self._refresh_ahead(hits, lookups, now_s)
        misses = [read for read, result in zip(reads, results, strict=True) if result is None]
        if misses:
            others = await self._find_missing_feeds(misses, lookups, now_s)
            futures = self._join_or_start([*misses, *others], lookups, now_s)
            awaited = [
                AwaitedRead(read, lookups[read.value_key].entry, futures[build_pending_key(read)])
                for read in misses
            ]
            chosen = iter(await self._choose_results(awaited, now_s))
            results = [next(chosen) if result is None else result for result in results]
        count_reads(self._metrics, reads, results, self._clock())
        return results

    async def _choose_results(
        self, awaited: Sequence[AwaitedRead], now_s: float
    ) -> list[ReadResult]:
        """Wait for the calls of the reads; return their results, or stale values instead."""
        stale_s = self._lifetimes.stale_s
        upstream = await wait_for_calls(
            awaited,
            now_s,
            patience_s=self._lifetimes.stale_patience_s,
            stale_s=stale_s,
            deadline_s=self._deadline_s,
        )
        now_s = self._clock().timestamp()
        return [
            choose_result(one.read, one.entry, result, now_s, stale_s)
            for one, result in zip(awaited, upstream, strict=True)
        ]

    async def _find_missing_feeds(
        self, misses: Sequence[CachedRead], lookups: dict[str, CacheLookup], now_s: float
    ) -> list[CachedRead]:
        """Return other accounts' feeds that the misses' calls bring; adds to the lookups."""
        accounts = [read.account for read in misses if read.is_bank_feed]
        if not accounts:
            return []
        members = map(self._build_feed_read, self._feed_groups.list_members(accounts))
        others = {each.value_key: each for each in members if each.value_key not in lookups}
        lookups.update(await self._look_up(others))
        return [
            read
            for key, read in others.items()
            if find_cached_result(read, lookups[key], now_s) is None
        ]

    def _refresh_ahead(
        self, reads: Sequence[CachedRead], lookups: Mapping[str, CacheLookup], now_s: float
    ) -> None:
        """Refresh values in the background when they were served and are about to expire."""
        # Only served reads count. A read that missed makes a foreground call of its own, which
        # must not be replaced by a refresh on the part of the rate limit left to the background.
        groups: dict[Hashable, tuple[PriorityBoost, list[PendingRead]]] = {}
        for read in reads:
            lookup = lookups[read.value_key]
            fence_state, entry = lookup.fence_state, lookup.entry
            # A bank feed is read only when a reader needs it.
            if (
                read.is_bank_feed
                or entry is None
                or not fence_state.settled
                or not needs_refresh(entry, now_s)
            ):
                continue
            key = single_flight_key(read.value_key, fence_state.nonce)
            if self._single_flight.find(key) is None:
                boost, group = groups.setdefault(
                    self._read_through.build_group_key(read), (PriorityBoost(), [])
                )
                future = self._single_flight.start(key, now_s, boost)
                group.append(PendingRead(read, fence_state, future))
        for boost, group in groups.values():
            self._metrics.refreshes.inc(len(group))
            self._single_flight.spawn(self._read_through.refresh(group, boost))

    async def _look_up(self, reads: Mapping[str, CachedRead]) -> dict[str, CacheLookup]:
        """Return the validity, the fence state and the cached entry of each read, by value key."""
        lookups = dict.fromkeys(reads, CacheLookup(UNKNOWN_FENCE_STATE, None))
        fence_by_key = {key: read.keys.fence for key, read in reads.items() if read.keys.fence}
        if not fence_by_key:
            return lookups
        fences = list(dict.fromkeys(fence_by_key.values()))
        versions, owed = self._fences.versions, self._fences.owed
        # The order matters: validity before fence state before entry. Each is then at least as
        # old as the next, so a change in between can only make a valid entry look invalid.
        validity: Mapping[str, ValidityPair] = {}
        if self._store.is_enabled:
            validity = {
                key: current_validity(versions, reads[key], fence)
                for key, fence in fence_by_key.items()
            }
        ignored = {key for key in fence_by_key if key in owed} if owed else set()
        try:
            states = dict(zip(fences, await self._fences.states(fences), strict=True))
            entries = await self._store.get(list(fence_by_key))
        except CacheUnavailable:
            return lookups
        for (key, fence), entry in zip(fence_by_key.items(), entries, strict=True):
            state = states[fence]
            is_valid = entry is not None and entry.nonce == state.nonce
            # What this process has shown meanwhile may be newer than the stored value.
            is_valid = is_valid and key not in ignored and key not in owed
            lookups[key] = CacheLookup(state, entry if is_valid else None, validity.get(key))
        return lookups

    def _join_or_start(
        self, misses: Sequence[CachedRead], lookups: Mapping[str, CacheLookup], now_s: float
    ) -> dict[Hashable, "asyncio.Future[ReadResult]"]:
        """Return a future for each miss: of a call in flight if possible, or of a new call."""
        futures: dict[Hashable, asyncio.Future[ReadResult]] = {}
        groups: dict[Hashable, list[PendingRead]] = {}
        for read in misses:
            pending_key = build_pending_key(read)
            if pending_key in futures:
                continue
            state = lookups[read.value_key].fence_state
            # Under an unsettled fence a call is not shared: a later read may see a newer value.
            key = single_flight_key(read.value_key, state.nonce) if state.settled else None
            future = self._find_joinable(key, read, now_s)
            if future is not None:
                self._metrics.reads_coalesced.inc()
            else:
                future = self._single_flight.start(key, now_s)
                groups.setdefault(self._read_through.build_group_key(read), []).append(
                    PendingRead(read, state, future)
                )
            futures[pending_key] = future
        calls: list[CallGroup] = []
        for group in groups.values():
            if group[0].read.is_bank_feed:
                self._single_flight.spawn(self._read_through.run_optional(group))
                continue
            # With a stale value to serve, waiting for an exhausted rate limit is pointless.
            has_stale = all(
                can_serve_stale(
                    one.read, lookups[one.read.value_key].entry, now_s, self._lifetimes.stale_s
                )
                for one in group
            )
            calls.append(CallGroup(group, 0.0 if has_stale else self._deadline_s))
        self._calls.begin(calls)
        return futures

    def _find_joinable(
        self, key: Hashable | None, read: CachedRead, now_s: float
    ) -> "asyncio.Future[ReadResult] | None":
        """Return the future of a call in flight with a result young enough for this reader."""
        call = self._single_flight.find(key) if key is not None else None
        # A call in flight may have begun before a value that has been shown and is not stored.
        if call is None or read.value_key in self._fences.owed:
            return None
        # ">=", not ">": with a maximum age of zero even a call that starts now is not joined.
        if read.max_age_s is not None and now_s - call.started_s >= read.max_age_s:
            return None
        if call.boost is not None:
            call.boost.request(self._deadline_s)
        return call.future
