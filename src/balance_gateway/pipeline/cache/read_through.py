"""Make upstream calls for groups of reads, and store the results where the fence allows it."""

import asyncio
import logging
import time
from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import GatewayError, Internal
from balance_gateway.pipeline.cache.bank_feed_groups import BankFeedGroups
from balance_gateway.pipeline.cache.cache_entry_rules import (
    CachedRead,
    PendingRead,
    ReadResult,
    ValueKind,
    date_recorded,
    deadline_error,
)
from balance_gateway.pipeline.cache.cache_store import Value
from balance_gateway.pipeline.cache.replica_coalescing import ReplicaCoalescer
from balance_gateway.pipeline.cache.result_keeping import ResultKeeper
from balance_gateway.ports.bank_feeds import BankFeedReader
from balance_gateway.ports.begun_balances import BalanceBeginner, BegunBalance
from balance_gateway.ports.call_context import (
    Priority,
    PriorityBoost,
    account_ids,
    caller_name,
    set_call_context,
)
from balance_gateway.ports.opening_balances_reader import OpeningBalancesReader
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.ports.reads import FreshnessState, Observed

logger = logging.getLogger(__name__)

#: How long a read waits for the rate limit, in seconds: an interactive reader is better refused.
BUDGET_WAIT_S = 1.0


class FirstAttempt(NamedTuple):
    """The first attempt of a call, which was begun without a task and has ended.

    Attributes:
        beginner: the provider that began it.
        begun: the attempt.
        started_at: when it began.
    """

    beginner: BalanceBeginner
    begun: BegunBalance
    started_at: datetime


class ReadThrough:
    """Reads from providers, or takes the results of another replica's call.

    Args:
        providers: by connector name.
        feed_readers: the providers that report bank feeds, by connector name.
        feed_groups: the accounts that one call for bank feeds serves.
        keeper: stores the results.
        coalescer: shares calls with the replicas that share the cache.
        clock: returns the current time.
        deadline_s: for all attempts of one upstream read together.
        opening_readers: the providers that read several opening balances at once, by connector
            name.
    """

    def __init__(
        self,
        *,
        providers: Mapping[str, BalanceProvider],
        feed_readers: Mapping[str, BankFeedReader],
        feed_groups: BankFeedGroups,
        keeper: ResultKeeper,
        coalescer: ReplicaCoalescer,
        clock: Clock,
        deadline_s: float,
        opening_readers: Mapping[str, OpeningBalancesReader] = MappingProxyType({}),
    ) -> None:
        self._providers = providers
        self._feed_readers = feed_readers
        self._feed_groups = feed_groups
        self._keeper = keeper
        self._coalescer = coalescer
        self._clock = clock
        self._deadline_s = deadline_s
        self._opening_readers = opening_readers

    def build_group_key(self, read: CachedRead) -> Hashable:
        """Return a key that is equal for reads that one upstream call answers together."""
        if read.kind is ValueKind.OPENING_BALANCE:
            is_shared = read.account.connector in self._opening_readers
            return (read.kind, read.account.connector) if is_shared else read.value_key
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
        self.set_call_context(account, self._deadline_s)
        return await self._providers[account.connector].normal_balance(account)

    async def read_alone(self, read: CachedRead) -> Value | GatewayError:
        """Read a value without sharing or storing it; changes the context of the task's calls."""
        self.set_call_context(read.account, self._deadline_s)
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

    async def run(self, group: Sequence[PendingRead], max_wait_s: float) -> None:
        """Make one upstream call for a group of reads and complete every future of it.

        Args:
            group: reads with the same group key.
            max_wait_s: how long the call may wait for a rate limit, in seconds.
        """
        self.set_call_context(group[0].read.account, max_wait_s)
        account_ids.set(tuple(pending.read.account.id for pending in group))
        started_at = self._clock()
        results: Sequence[ReadResult] = []
        try:
            results = await self._coalescer.wait_for_results(group)
            if not results:
                results = await self._read_from_provider(group, started_at)
        finally:
            # Also when this task is cancelled: readers must not wait for their whole deadline.
            complete(group, results)

    async def continue_call(self, group: Sequence[PendingRead], first: FirstAttempt) -> None:
        """Do what ``run`` does, from the end of the first attempt on; in the context of before."""
        results: Sequence[ReadResult] = []
        try:
            results = await self._read_from_provider(group, first.started_at, first)
        finally:
            complete(group, results)

    async def keep(self, group: Sequence[PendingRead], results: Sequence[ReadResult]) -> None:
        """Store the results of a call and complete every future of it."""
        kept: Sequence[ReadResult] = []
        try:
            stored = await self._keeper.store(group, results, self._keeper.begin())
            kept = self._keeper.finish(group, results, stored)
        finally:
            complete(group, kept)

    def set_call_context(self, account: Account, max_wait_s: float) -> None:
        """Set the limits of the current context's calls for readers of the account's tenant."""
        set_call_context(
            max_wait_s=max_wait_s,
            max_budget_wait_s=BUDGET_WAIT_S,
            read_timeout_s=self._deadline_s,
            tenant=account.tenant,
            caller=caller_name.get(),
        )

    async def _read_from_provider(
        self,
        group: Sequence[PendingRead],
        started_at: datetime,
        first: FirstAttempt | None = None,
    ) -> Sequence[ReadResult]:
        began = self._keeper.begin()
        values = await self._call_provider([pending.read for pending in group], first)
        results: list[ReadResult] = [
            value
            if isinstance(value, GatewayError)
            else Observed(value, started_at, FreshnessState.LIVE)
            for value in values
        ]
        stored = await self._keeper.store(group, results, began)
        await self._coalescer.release(group)
        # Nothing is awaited from here on until the readers have the results.
        results = self._keeper.finish(group, results, stored)
        return [
            result if isinstance(result, GatewayError) else date_recorded(result)
            for result in results
        ]

    async def _call_provider(
        self, reads: Sequence[CachedRead], first: FirstAttempt | None = None
    ) -> Sequence[Value | GatewayError]:
        """Return the provider's values, in order; a failed call is the error of each read."""
        connector = reads[0].account.connector
        provider = self._providers[connector]
        values: Sequence[Value | GatewayError]
        used_s = 0.0 if first is None else time.monotonic() - first.begun.started_s
        try:
            async with asyncio.timeout(self._deadline_s - used_s):
                if first is not None:
                    assert reads[0].query is not None
                    [value] = await first.beginner.finish_balance(reads[0].query, first.begun)
                    return [value] * len(reads)
                if reads[0].is_bank_feed:
                    accounts = [read.account for read in reads]
                    values = await self._feed_readers[connector].bank_feeds(accounts)
                elif reads[0].query is None and len(reads) > 1:
                    accounts = [read.account for read in reads]
                    values = await self._opening_readers[connector].opening_balances(accounts)
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
            if reads[0].kind is ValueKind.OPENING_BALANCE and len(reads) > 1:
                # What is wrong with one account must not hide the others.
                alone = [await self._call_provider([read]) for read in reads]
                return [value for [value] in alone]
            logger.exception("provider.defect", extra={"connector": provider.connector})
            return [Internal("The gateway could not read the provider's response.")] * len(reads)


def complete(group: Sequence[PendingRead], results: Sequence[ReadResult]) -> None:
    """Give the readers of a call their results; without one, an error."""
    for index, pending in enumerate(group):
        if not pending.future.done():
            is_known = index < len(results)
            result = results[index] if is_known else Internal("The read was cancelled.")
            pending.future.set_result(result)
