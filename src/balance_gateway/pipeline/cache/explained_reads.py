"""Explain cached values: what is kept, and a read of its own that collects the evidence.

The evidence is not kept with a value: it is several times as large as the value, and every read
would build it for an explanation that is seldom asked for. So an explanation reads the source once
more, within the budget like any other read, and shows what that read found beside the kept value.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import BalanceFigures, OpeningBalance
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import GatewayError
from balance_gateway.pipeline.cache.cache_entry_rules import (
    CachedRead,
    Lifetimes,
    attach_account,
    build_balance_read,
    build_opening_read,
    choose_result,
    date_recorded,
    find_cached_result,
)
from balance_gateway.pipeline.cache.cache_keys import AccountKeys
from balance_gateway.pipeline.cache.cache_store import CacheEntry
from balance_gateway.pipeline.cache.cached_reads import CachedReads
from balance_gateway.ports.evidence import EvidenceCollector, collect_evidence
from balance_gateway.ports.explanations import Explained, KeptValue, Overlap, OverlapKind
from balance_gateway.ports.reads import BalanceRequest, FreshnessState, Observed


class ExplainedReads:
    """Implements ``ports.explanations.ReadExplainer``.

    Args:
        reads: the cached reads.
        keys: the cache keys, by account id.
        lifetimes: how long values are fresh, and how old a stale value may be.
        accounts: all accounts.
        clock: returns the current time.
    """

    def __init__(
        self,
        reads: CachedReads,
        keys: Mapping[str, AccountKeys],
        lifetimes: Lifetimes,
        accounts: Sequence[Account],
        clock: Clock,
    ) -> None:
        self._reads = reads
        self._keys = keys
        self._lifetimes = lifetimes
        self._accounts = accounts
        self._clock = clock

    async def explain_balance(self, request: BalanceRequest) -> Explained[BalanceFigures]:
        """Explain the balance that a request would get now."""
        keys = self._keys[request.account.id]
        return await self._explain(build_balance_read(request, keys, self._lifetimes))

    async def explain_opening_balance(self, account: Account) -> Explained[OpeningBalance | None]:
        """Explain the opening balance that would be returned now."""
        read = build_opening_read(account, self._keys[account.id], self._lifetimes)
        return await self._explain(read)

    async def find_overlaps(self, request: BalanceRequest) -> Sequence[Overlap]:
        """Return the other accounts of the tenant that reach the account's money, sorted by id."""
        account = request.account
        fence = self._keys[account.id].fence
        # A fence is what a write changes: no account behind another one has any of this money.
        others = [
            other
            for other in self._accounts
            if (other.tenant, other.provider) == (account.tenant, account.provider)
            and other.id != account.id
            and (self._is_same(other, account) or fence == self._keys[other.id].fence is not None)
        ]
        unread = [other for other in others if not self._is_same(other, account)]
        paths = await self._read_paths(request, [account, *unread]) if unread else {}
        return [
            Overlap(other, kind)
            for other in sorted(others, key=lambda other: other.id)
            if (kind := self._compare(account, other, paths)) is not None
        ]

    async def _explain(self, read: CachedRead) -> Explained[Any]:
        lookup = await self._reads.look_up(read)
        collector = EvidenceCollector(self._clock)
        # In a task of its own: its context says for whom it is and collects the evidence.
        value = await asyncio.create_task(self._read_alone(read, collector))
        now_s = self._clock().timestamp()
        answer = find_cached_result(read, lookup, now_s)
        if answer is None:
            answer = choose_result(read, lookup.entry, value, now_s, self._lifetimes.stale_s)
        return Explained(
            answer=answer,
            kept=None if lookup.entry is None else self._build_kept(read, lookup.entry),
            read=value,
            evidence=collector.build_evidence(),
        )

    async def _read_alone(
        self, read: CachedRead, collector: EvidenceCollector
    ) -> Observed[Any] | GatewayError:
        collect_evidence(collector)
        started_at = self._clock()
        value = await self._reads.read_alone(read)
        if isinstance(value, GatewayError):
            return attach_account(read.account, value)
        return date_recorded(Observed(value, started_at, FreshnessState.LIVE))

    def _build_kept(self, read: CachedRead, entry: CacheEntry) -> KeptValue[Any]:
        # The lifetime may have been shortened since the value was stored.
        fresh_for_s = min(entry.fresh_for_s, read.fresh_for_s)
        stale_for_s = max(self._lifetimes.stale_s, fresh_for_s)
        return KeptValue(
            entry.value,
            *(
                datetime.fromtimestamp(entry.observed_at_s + seconds, UTC)
                for seconds in (0.0, fresh_for_s, stale_for_s)
            ),
        )

    def _is_same(self, one: Account, other: Account) -> bool:
        return self._keys[one.id].remote == self._keys[other.id].remote

    async def _read_paths(
        self, request: BalanceRequest, accounts: Sequence[Account]
    ) -> dict[str, tuple[str, ...]]:
        """Return what each account's figures count at the provider, of those that can be read."""
        requests = [replace(request, account=one, max_age_s=None) for one in accounts]
        results = await self._reads.balances(requests)
        return {
            one.id: result.value.remote_path
            for one, result in zip(accounts, results, strict=True)
            if isinstance(result, Observed) and result.value.remote_path
        }

    def _compare(
        self, account: Account, other: Account, paths: Mapping[str, tuple[str, ...]]
    ) -> OverlapKind | None:
        if self._is_same(account, other):
            return OverlapKind.SAME
        own, theirs = paths.get(account.id), paths.get(other.id)
        if own is None or theirs is None:
            return OverlapKind.UNKNOWN
        if own == theirs:
            return OverlapKind.SAME
        if own[: len(theirs)] == theirs:
            return OverlapKind.INCLUDES
        return OverlapKind.INCLUDED if theirs[: len(own)] == own else None
