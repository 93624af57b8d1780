"""Reads through the cache: kept values under the write fence, single flight, stale when failing.

The order of one read is that of ``fence.py``: standing first, then the kept value, then the
provider; what was read is kept under the standing that was remembered. Errors are never kept.
"""

import asyncio
import logging
import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    BalanceRequest,
    FreshnessState,
    Kept,
    LocalNonces,
    Observed,
    OnStale,
    OpeningBalance,
)
from balance_gateway.domain.days import Clock
from balance_gateway.domain.errors import (
    CacheUnavailable,
    GatewayError,
    Internal,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    TooStale,
    located,
)
from balance_gateway.domain.ports import BalanceProvider
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.claims import CLAIM_S, POLL_S, Claims, SingleProcess
from balance_gateway.pipeline.fence import UNKNOWN_STANDING, Fences, Standing
from balance_gateway.pipeline.flights import Flights
from balance_gateway.pipeline.keys import AccountKeys
from balance_gateway.pipeline.priority import Urgency, patience_s, urgency
from balance_gateway.pipeline.values import Entry, Value, Values

logger = logging.getLogger(__name__)

#: A value in use is read anew from this part of its lifetime on.
REFRESH_FROM = (0.75, 0.95)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """For how long values are fresh, and how old a stale one may be, in seconds."""

    today_s: float
    other_days_s: float
    opening_balance_s: float
    stale_s: float


@dataclass(frozen=True, slots=True)
class _Read:
    """One value to be had: its account, what of it, and how it is kept."""

    account: Account
    keys: AccountKeys
    value_key: str
    fresh_for_s: float
    query: BalanceQuery | None
    max_age_s: int | None = None
    on_stale: OnStale = OnStale.SERVE


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the cache said of a read as it started; the entry, if any, is under the fence."""

    standing: Standing
    entry: Entry | None


_Answer = Observed[Any] | GatewayError

#: A read, the standing it started under, and the flight it waits for.
_Boarded = tuple[_Read, Standing, "asyncio.Future[_Answer]"]


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
        values: Values,
        lifetimes: Lifetimes,
        clock: Clock,
        claims: Claims | None = None,
        metrics: Metrics | None = None,
        deadline_s: float = 30.0,
    ) -> None:
        self._providers = providers
        self._keys = keys
        self._fences = fences
        self._values = values
        self._lifetimes = lifetimes
        self._clock = clock
        self._claims = claims or SingleProcess()
        self._metrics = metrics or Metrics()
        self._deadline_s = deadline_s
        self._flights: Flights[_Answer] = Flights()

    async def balances(
        self, requests: Sequence[BalanceRequest]
    ) -> Sequence[Observed[BalanceFigures] | GatewayError]:
        """One answer per request, in order."""
        return await self._answer_all([self._balance_read(request) for request in requests])

    async def opening_balances(
        self, accounts: Sequence[Account]
    ) -> Sequence[Observed[OpeningBalance | None] | GatewayError]:
        """One answer per account, in order."""
        return await self._answer_all([self._opening_read(account) for account in accounts])

    async def normal_balance(self, account: Account) -> Side:
        """The account's normal side, as the provider adapter remembers it."""
        try:
            return await self._providers[account.connector].normal_balance(account)
        except GatewayError as error:
            raise _of(account, error) from error

    def nonces_here(self) -> LocalNonces | None:
        """The nonces of accounts, live, where they are this process's alone."""
        return self._fences.nonces

    async def nonces(self, fences: Sequence[str]) -> Mapping[str, str]:
        """The nonces of these accounts now."""
        try:
            standings = await self._fences.standings(fences)
        except CacheUnavailable:
            return {}
        return {fence: standing.nonce for fence, standing in zip(fences, standings, strict=True)}

    async def begin_write(self, account: Account) -> None:
        """Raises the fence, or CacheUnavailable: then the write must not start."""
        if fence := self._keys[account.id].fence:
            await self._fences.begin_write(fence)

    async def end_write(self, account: Account) -> None:
        """Lowers the fence after a definite answer. If it cannot, the fence expires by itself."""
        try:
            if fence := self._keys[account.id].fence:
                await self._fences.end_write(fence)
        except CacheUnavailable:
            logger.warning("fence.end_failed", extra={"account_id": account.id})

    async def hold(self, account: Account, seconds: float) -> None:
        """Holds the fence up for a write that an earlier process began and did not end."""
        if fence := self._keys[account.id].fence:
            await self._fences.hold(fence, seconds)

    async def aclose(self) -> None:
        """Gives up what is in the air."""
        await self._flights.aclose()

    def _balance_read(self, request: BalanceRequest) -> _Read:
        account, lifetimes = request.account, self._lifetimes
        keys = self._keys[account.id]
        return _Read(
            account=account,
            keys=keys,
            value_key=f"{keys.value}:balance:{request.as_of.isoformat()}",
            fresh_for_s=lifetimes.today_s if request.is_today else lifetimes.other_days_s,
            query=BalanceQuery(account, request.as_of),
            max_age_s=request.max_age_s,
            on_stale=request.on_stale,
        )

    def _opening_read(self, account: Account) -> _Read:
        keys = self._keys[account.id]
        return _Read(
            account=account,
            keys=keys,
            value_key=f"{keys.value}:opening",
            fresh_for_s=self._lifetimes.opening_balance_s,
            query=None,
        )

    async def _answer_all(self, reads: Sequence[_Read]) -> list[Any]:
        seen = await self._look({read.value_key: read for read in reads})
        now_s = self._clock().timestamp()
        answers: list[_Answer | None] = [_kept(read, seen[read.value_key], now_s) for read in reads]
        served = [read for read, answer in zip(reads, answers, strict=True) if answer is not None]
        self._refresh_ahead(served, seen, now_s)
        misses = [read for read, answer in zip(reads, answers, strict=True) if answer is None]
        if misses:
            flights = self._board(misses, seen)
            # One provider that hangs must not take the answers of the others with it.
            await asyncio.wait(set(flights.values()), timeout=self._deadline_s)
            for index, read in enumerate(reads):
                if answers[index] is None:
                    flight = flights[_flight_name(read)]
                    landed = flight.result() if flight.done() else _late()
                    answers[index] = self._settle(read, seen[read.value_key], landed)
        self._count(reads, answers)
        return answers

    def _refresh_ahead(
        self, reads: Sequence[_Read], seen: Mapping[str, _Seen], now_s: float
    ) -> None:
        """Reads values that were served anew in the background when they are about to expire.

        A read that takes no such value is a call of its own: it is waited for, and must not be
        put off with what the budget leaves to the background.
        """
        groups: dict[Hashable, list[_Boarded]] = {}
        for read in reads:
            standing, entry = seen[read.value_key].standing, seen[read.value_key].entry
            if entry is None or not standing.settled or not _is_aging(entry, now_s):
                continue
            key = (read.value_key, standing.nonce)
            if self._flights.join(key) is None:
                boarded = (read, standing, self._flights.open(key))
                groups.setdefault(self._group_of(read), []).append(boarded)
        for group in groups.values():
            self._metrics.refreshes.inc(len(group))
            self._flights.fly(self._fly(group, Urgency.BACKGROUND, 0.0))

    def _count(self, reads: Sequence[_Read], answers: Sequence[_Answer | None]) -> None:
        for read, answer in zip(reads, answers, strict=True):
            kind = "opening_balance" if read.query is None else "balance"
            state = answer.state.value if isinstance(answer, Observed) else "failed"
            self._metrics.reads.labels(kind, state).inc()

    async def _look(self, reads: Mapping[str, _Read]) -> dict[str, _Seen]:
        """The standing and the kept value of each read; the standing is older than the value."""
        seen = dict.fromkeys(reads, _Seen(UNKNOWN_STANDING, None))
        fenced = {key: read.keys.fence for key, read in reads.items() if read.keys.fence}
        if not fenced:
            return seen
        fences = list(dict.fromkeys(fenced.values()))
        try:
            standings = dict(zip(fences, await self._fences.standings(fences), strict=True))
            entries = await self._values.get(list(fenced))
        except CacheUnavailable:
            return seen
        for (key, fence), entry in zip(fenced.items(), entries, strict=True):
            standing = standings[fence]
            valid = entry is not None and entry.nonce == standing.nonce
            seen[key] = _Seen(standing, entry if valid else None)
        return seen

    def _board(
        self, misses: Sequence[_Read], seen: Mapping[str, _Seen]
    ) -> dict[Hashable, "asyncio.Future[_Answer]"]:
        """A flight for each miss: one that is in the air and may be shared, or a new one."""
        flights: dict[Hashable, asyncio.Future[_Answer]] = {}
        groups: dict[Hashable, list[_Boarded]] = {}
        for read in misses:
            name = _flight_name(read)
            if name in flights:
                continue
            standing = seen[read.value_key].standing
            key = (read.value_key, standing.nonce) if standing.settled else None
            flight = self._flights.join(key) if key and read.max_age_s != 0 else None
            if flight is not None:
                self._metrics.reads_coalesced.inc()
            else:
                flight = self._flights.open(key)
                groups.setdefault(self._group_of(read), []).append((read, standing, flight))
            flights[name] = flight
        for group in groups.values():
            # Whoever has an older value to fall back on need not wait for a spent budget.
            excusable = all(seen[read.value_key].entry is not None for read, _, _ in group)
            patience = 0.0 if excusable else self._deadline_s
            self._flights.fly(self._fly(group, Urgency.WAITED_FOR, patience))
        return flights

    def _group_of(self, read: _Read) -> Hashable:
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

    async def _fly(self, group: Sequence[_Boarded], urgent: Urgency, patience: float) -> None:
        """One upstream call for a group of reads; lands every flight of it, whatever happens."""
        urgency.set(urgent)
        patience_s.set(patience)
        started_at = self._clock()
        answers: Sequence[_Answer] = []
        try:
            answers = await self._from_another_replica(group)
            if not answers:
                answers = await self._from_provider(group, started_at)
        finally:
            for index, (_, _, flight) in enumerate(group):
                if not flight.done():
                    lost = Internal("The read was given up.")
                    flight.set_result(answers[index] if index < len(answers) else lost)

    async def _from_provider(
        self, group: Sequence[_Boarded], started_at: datetime
    ) -> Sequence[_Answer]:
        """The provider's answers, kept where the fence allows it."""
        found = await self._ask([read for read, _, _ in group])
        answers: list[_Answer] = [
            answer
            if isinstance(answer, GatewayError)
            else Observed(
                answer,
                started_at,
                FreshnessState.LIVE,
                kept=self._kept_as(read, standing, started_at.timestamp()),
            )
            for answer, (read, standing, _) in zip(found, group, strict=True)
        ]
        await self._keep(group, answers)
        await self._claims.release(self._claim_of(group))
        return answers

    def _kept_as(self, read: _Read, standing: Standing, observed_at_s: float) -> Kept | None:
        """How a value read under this standing is kept; None where it is not."""
        if not standing.settled or not self._values.keeps or read.keys.fence is None:
            return None
        until_s = observed_at_s + read.fresh_for_s * REFRESH_FROM[0]
        return Kept(read.keys.fence, standing.nonce, until_s)

    async def _from_another_replica(self, group: Sequence[_Boarded]) -> Sequence[_Answer]:
        """What another replica's call in the air brings; nothing when the call is ours to make."""
        if any(read.max_age_s is not None or not standing.settled for read, standing, _ in group):
            return []
        claim = self._claim_of(group)
        if await self._claims.take(claim):
            return []
        keys = [read.value_key for read, _, _ in group]
        nonces = [standing.nonce for _, standing, _ in group]
        since_s = self._clock().timestamp()
        is_in_air = True
        while is_in_air:
            await asyncio.sleep(POLL_S)
            is_in_air = await self._claims.is_taken(claim)
            try:
                entries = await self._values.get(keys)
            except CacheUnavailable:
                return []
            now_s = self._clock().timestamp()
            fresh = [
                _observed(entry, FreshnessState.CACHED, None)
                for entry, nonce in zip(entries, nonces, strict=True)
                if entry is not None
                and entry.nonce == nonce
                and entry.observed_at_s >= since_s - CLAIM_S
                and now_s - entry.observed_at_s < entry.fresh_for_s
            ]
            if len(fresh) == len(group):
                self._metrics.reads_coalesced.inc(len(group))
                return fresh
            if now_s - since_s > CLAIM_S:
                return []
        return []

    def _claim_of(self, group: Sequence[_Boarded]) -> str:
        return repr(self._group_of(group[0][0]))

    async def _ask(self, reads: Sequence[_Read]) -> Sequence[Value | GatewayError]:
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
            return [_late()] * len(reads)
        except Exception:
            logger.exception("provider.defect", extra={"connector": provider.connector})
            return [Internal("The gateway could not read the provider's answer.")] * len(reads)

    async def _keep(
        self,
        group: Sequence[_Boarded],
        answers: Sequence[_Answer],
    ) -> None:
        unsettled = sum(not standing.settled for _, standing, _ in group)
        if unsettled:
            self._metrics.fills_fenced.inc(unsettled)
        entries = {
            read.value_key: Entry(
                standing.nonce, answer.observed_at.timestamp(), read.fresh_for_s, answer.value
            )
            for (read, standing, _), answer in zip(group, answers, strict=True)
            if standing.settled and not isinstance(answer, GatewayError)
        }
        if entries:
            try:
                await self._values.put(entries)
            except CacheUnavailable:
                logger.warning("cache.put_failed", extra={"entries": len(entries)})

    def _settle(self, read: _Read, seen: _Seen, landed: _Answer) -> _Answer:
        """What a reader gets of a flight: its value, or the kept one when the provider failed."""
        if not isinstance(landed, GatewayError):
            return landed
        error = _of(read.account, landed)
        if seen.entry is None or not _excusable(landed):
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
            return _of(read.account, stale)
        return _observed(seen.entry, FreshnessState.STALE, landed.message)


def _flight_name(read: _Read) -> Hashable:
    """Reads with different demands of age may need different flights."""
    return read.value_key, read.max_age_s == 0


def _kept(read: _Read, seen: _Seen, now_s: float) -> _Answer | None:
    """The kept value if it is young enough for this reader."""
    entry = seen.entry
    if entry is None:
        return None
    oldest_s = entry.fresh_for_s
    if read.max_age_s is not None:
        oldest_s = min(oldest_s, read.max_age_s)
    # At an age of exactly zero a demand of zero still means: go and look.
    if now_s - entry.observed_at_s >= oldest_s:
        return None
    assert read.keys.fence is not None
    until_s = entry.observed_at_s + entry.fresh_for_s * REFRESH_FROM[0]
    kept = Kept(read.keys.fence, entry.nonce, until_s)
    return _observed(entry, FreshnessState.CACHED, None, kept)


def _is_aging(entry: Entry, now_s: float) -> bool:
    """Whether a fresh value is near its expiry; with jitter, so that not all go at once."""
    age_s = now_s - entry.observed_at_s
    starts_s = entry.fresh_for_s * random.uniform(*REFRESH_FROM)  # noqa: S311
    return starts_s <= age_s < entry.fresh_for_s


def _observed(
    entry: Entry, state: FreshnessState, reason: str | None, kept: Kept | None = None
) -> Observed[Any]:
    observed_at = datetime.fromtimestamp(entry.observed_at_s, UTC)
    return Observed(entry.value, observed_at, state, reason, kept)


def _late() -> ProviderTimeout:
    return ProviderTimeout("The provider did not answer within the request's deadline.")


def _excusable(error: GatewayError) -> bool:
    """Whether a kept value may stand in: the provider failed, rather than said no."""
    return isinstance(error, ProviderError) and not isinstance(error, ProviderRejected)


def _of(account: Account, error: GatewayError) -> GatewayError:
    return located(error, account_id=account.id, provider=account.provider.name)
