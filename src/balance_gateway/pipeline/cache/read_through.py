"""Make upstream calls for groups of reads, and store the results where the fence allows it."""

import asyncio
import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import CacheUnavailable, GatewayError, Internal
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.cache.bank_feed_groups import BankFeedGroups
from balance_gateway.pipeline.cache.cache_entry_rules import (
    CachedRead,
    PendingRead,
    ReadResult,
    ValueKind,
    current_validity,
    date_recorded,
    deadline_error,
    refresh_due_s,
)
from balance_gateway.pipeline.cache.cache_keys import single_flight_key
from balance_gateway.pipeline.cache.cache_store import CacheEntry, CacheStore, Value
from balance_gateway.pipeline.cache.fence import UNKNOWN_FENCE_STATE, FenceState
from balance_gateway.pipeline.cache.replica_coalescing import ReplicaCoalescer
from balance_gateway.pipeline.cache.single_flight import SingleFlight
from balance_gateway.ports.bank_feeds import BankFeedReader
from balance_gateway.ports.cache_validity import CacheTerms, LocalCacheVersions
from balance_gateway.ports.call_context import (
    Priority,
    PriorityBoost,
    account_ids,
    caller_name,
    set_call_context,
)
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.ports.reads import FreshnessState, Observed

logger = logging.getLogger(__name__)

#: How long a read waits for the rate limit, in seconds: an interactive reader is better refused.
BUDGET_WAIT_S = 1.0

#: How many calls of one request are begun in a turn of the event loop: others have their turns too.
CALLS_PER_TURN = 16


class ReadThrough:
    """Reads from providers, or takes the results of another replica's call.

    Args:
        providers: by connector name.
        feed_readers: the providers that report bank feeds, by connector name.
        feed_groups: the accounts that one call for bank feeds serves.
        store: stores the results.
        coalescer: shares calls with the replicas that share the cache.
        single_flight: the calls in flight; decides whether a call is the newest of its value.
        clock: returns the current time.
        metrics: counts results that could not be stored.
        deadline_s: for all attempts of one upstream read together.
        versions: the cache versions to invalidate; None where replicas share the cache.
    """

    def __init__(
        self,
        *,
        providers: Mapping[str, BalanceProvider],
        feed_readers: Mapping[str, BankFeedReader],
        feed_groups: BankFeedGroups,
        store: CacheStore,
        coalescer: ReplicaCoalescer,
        single_flight: SingleFlight[ReadResult],
        clock: Clock,
        metrics: Metrics,
        deadline_s: float,
        versions: LocalCacheVersions | None,
    ) -> None:
        self._providers = providers
        self._feed_readers = feed_readers
        self._feed_groups = feed_groups
        self._store = store
        self._coalescer = coalescer
        self._single_flight = single_flight
        self._clock = clock
        self._metrics = metrics
        self._deadline_s = deadline_s
        self._versions = versions

    def build_group_key(self, read: CachedRead) -> Hashable:
        """Return a key that is equal for reads that one upstream call answers together."""
        if read.kind is ValueKind.OPENING_BALANCE:
            return read.value_key
        provider = self._providers[read.account.connector]
        # A query that cannot be grouped is called, and fails, alone: grouping must not raise here.
        try:
            if read.query is None:
                return read.kind, self._feed_groups.get_key(read.account)
            return read.account.connector, provider.balance_group(read.query)
        except GatewayError:
            return read.value_key
        except Exception:
            logger.exception("provider.defect", extra={"connector": provider.connector})
            return read.value_key

    async def read_side(self, account: Account) -> Side:
        """Return the account's normal side; changes the context of the task's calls."""
        self._set_call_context(account, self._deadline_s)
        return await self._providers[account.connector].normal_balance(account)

    async def read_alone(self, read: CachedRead) -> Value | GatewayError:
        """Read a value without sharing or storing it; changes the context of the task's calls."""
        self._set_call_context(read.account, self._deadline_s)
        account_ids.set((read.account.id,))
        [value] = await self._call_provider([read])
        return value

    async def refresh(self, group: Sequence[PendingRead], boost: PriorityBoost) -> None:
        """Run an upstream call in the background, until ``boost`` is requested."""
        set_call_context(priority=Priority.BACKGROUND, boost=boost)
        await self.run(group, max_wait_s=0.0)

    async def run_optional(self, group: Sequence[PendingRead]) -> None:
        """Run an upstream call for bank feeds: behind all others, and never waiting for budget."""
        set_call_context(priority=Priority.BACKGROUND, is_optional=True)
        await self.run(group, max_wait_s=0.0)

    async def run(self, group: Sequence[PendingRead], max_wait_s: float, turn: int = 0) -> None:
        """Make one upstream call for a group of reads and complete every future of it.

        Args:
            group: reads with the same group key.
            max_wait_s: how long the call may wait for a rate limit, in seconds.
            turn: how many turns of the event loop other requests have first.
        """
        self._set_call_context(group[0].read.account, max_wait_s)
        account_ids.set(tuple(pending.read.account.id for pending in group))
        started_at = self._clock()
        results: Sequence[ReadResult] = []
        try:
            for _ in range(turn):
                await asyncio.sleep(0)
            results = await self._coalescer.wait_for_results(group)
            if not results:
                results = await self._read_from_provider(group, started_at)
        finally:
            # Also when this task is cancelled: readers must not wait for their whole deadline.
            for index, pending in enumerate(group):
                if not pending.future.done():
                    cancelled = Internal("The read was cancelled.")
                    pending.future.set_result(results[index] if index < len(results) else cancelled)

    def _set_call_context(self, account: Account, max_wait_s: float) -> None:
        set_call_context(
            max_wait_s=max_wait_s,
            max_budget_wait_s=BUDGET_WAIT_S,
            read_timeout_s=self._deadline_s,
            tenant=account.tenant,
            caller=caller_name.get(),
        )

    async def _read_from_provider(
        self, group: Sequence[PendingRead], started_at: datetime
    ) -> Sequence[ReadResult]:
        values = await self._call_provider([pending.read for pending in group])
        results: list[ReadResult] = [
            value
            if isinstance(value, GatewayError)
            else Observed(value, started_at, FreshnessState.LIVE)
            for value in values
        ]
        if self._store.is_enabled:
            newest = [self._is_newest(pending) for pending in group]
            await self._store_results(group, results, newest)
            await self._drop_overlapping(group, results, newest)
            results = self._attach_cache_terms(group, results, newest)
        await self._coalescer.release(group)
        return [
            result if isinstance(result, GatewayError) else date_recorded(result)
            for result in results
        ]

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
        if self._versions is None:
            return
        for (read, fence_state, _), result, is_newest in zip(group, results, newest, strict=True):
            fence = read.keys.fence
            if is_newest or fence is None or isinstance(result, GatewayError):
                continue
            self._single_flight.retire(single_flight_key(read.value_key, fence_state.nonce))
            try:
                await self._expire_other_value(read, fence_state, result)
            except CacheUnavailable:
                continue
            self._versions.invalidate(fence, read.value_key)
            self._versions.invalidate(fence, read.keys.value)

    async def _expire_other_value(
        self, read: CachedRead, fence_state: FenceState, result: Observed[Any]
    ) -> None:
        """Replace a stored value that differs from the result; it is only served as stale then."""
        [entry] = await self._store.get([read.value_key])
        if entry is None or entry.nonce != fence_state.nonce or entry.value == result.value:
            return
        observed_at_s = result.observed_at.timestamp()
        expired = CacheEntry(fence_state.nonce, observed_at_s, 0.0, result.value)
        await self._store.put({read.value_key: expired})

    def _attach_cache_terms(
        self, group: Sequence[PendingRead], results: Sequence[ReadResult], newest: Sequence[bool]
    ) -> list[ReadResult]:
        """Invalidate responses built from older values, and attach cache terms to the results."""
        # Storing in memory does not suspend, so no other task runs between storing and this.
        versions = self._versions
        if versions is None:
            return list(results)
        for pending, is_newest in zip(group, newest, strict=True):
            keys = pending.read.keys
            if is_newest and keys.fence is not None:
                versions.invalidate(keys.fence, pending.read.value_key)
                versions.invalidate(keys.fence, keys.value)
        return [
            result
            if isinstance(result, GatewayError) or not is_newest
            else replace(result, cache_terms=self._build_cache_terms(versions, pending, result))
            for result, pending, is_newest in zip(results, group, newest, strict=True)
        ]

    def _build_cache_terms(
        self, versions: LocalCacheVersions, pending: PendingRead, result: Observed[Any]
    ) -> CacheTerms | None:
        """Return the terms of a stored value; None when it is not stored or no longer valid."""
        read, fence_state, _ = pending
        fence = read.keys.fence
        if fence is None or not fence_state.settled:
            return None
        if versions.by_fence.get(fence) != fence_state.nonce:
            return None
        until_s = refresh_due_s(result.observed_at.timestamp(), read)
        return CacheTerms(*current_validity(versions, read, fence), until_s)

    async def _call_provider(self, reads: Sequence[CachedRead]) -> Sequence[Value | GatewayError]:
        """Return the provider's values, in order; a failed call is the error of each read."""
        connector = reads[0].account.connector
        provider = self._providers[connector]
        values: Sequence[Value | GatewayError]
        try:
            async with asyncio.timeout(self._deadline_s):
                if reads[0].is_bank_feed:
                    accounts = [read.account for read in reads]
                    values = await self._feed_readers[connector].bank_feeds(accounts)
                elif reads[0].query is None:
                    return [await provider.opening_balance(reads[0].account)]
                else:
                    queries = [read.query for read in reads if read.query]
                    values = await provider.balances(queries)
            assert len(values) == len(reads)
            return values
        except GatewayError as error:
            return [error] * len(reads)
        except TimeoutError:
            return [deadline_error()] * len(reads)
        except Exception:
            logger.exception("provider.defect", extra={"connector": provider.connector})
            return [Internal("The gateway could not read the provider's response.")] * len(reads)

    async def _store_results(
        self,
        group: Sequence[PendingRead],
        results: Sequence[ReadResult],
        newest: Sequence[bool],
    ) -> None:
        # Values of the embedded ledger have no fence and are never stored; with an unknown state
        # no write is known that prevented it.
        fenced = [
            pending
            for pending in group
            if not pending.fence_state.settled and pending.fence_state is not UNKNOWN_FENCE_STATE
        ]
        if fenced:
            self._metrics.fills_fenced.inc(len(fenced))
        entries = {
            read.value_key: CacheEntry(
                fence_state.nonce, result.observed_at.timestamp(), read.fresh_for_s, result.value
            )
            for (read, fence_state, _), result, is_newest in zip(
                group, results, newest, strict=True
            )
            if fence_state.settled and is_newest and not isinstance(result, GatewayError)
        }
        if entries:
            try:
                await self._store.put(entries)
            except CacheUnavailable:
                logger.warning("cache.put_failed", extra={"entries": len(entries)})
            except Exception:
                # A defect of the cache must not fail the read: its result is already there.
                logger.exception("cache.defect")
