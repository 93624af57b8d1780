"""Rules for one cached read: its keys, its lifetime (TTL), and which cached values it accepts.

Everything here is data or a pure decision about it; nothing waits or stores.
"""

import asyncio
import enum
import random
from collections.abc import Hashable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import BalanceQuery, OpeningBalance
from balance_gateway.domain.errors import (
    GatewayError,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    TooStale,
    with_account,
)
from balance_gateway.pipeline.cache.cache_keys import (
    AccountKeys,
    balance_value_key,
    feed_value_key,
    opening_value_key,
    pending_read_key,
)
from balance_gateway.pipeline.cache.cache_store import CacheEntry
from balance_gateway.pipeline.cache.fence import FenceState
from balance_gateway.ports.cache_validity import CacheTerms, CacheValidity, LocalCacheVersions
from balance_gateway.ports.reads import BalanceRequest, FreshnessState, Observed, OnStale

#: Time in seconds by which a value may be newer than now: clocks of replicas differ a little.
AHEAD_MAX_S = 1.0

#: A value in use is refreshed from a random point in this range on, in parts of its lifetime.
REFRESH_FROM = (0.75, 0.95)


class ValueKind(enum.Enum):
    """The kinds of cached values; the texts are the ``kind`` label of the metrics."""

    BALANCE = "balance"
    OPENING_BALANCE = "opening_balance"
    BANK_FEED = "bank_feed"


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long values are fresh, and how old a stale value may be, in seconds.

    ``stale_patience_s`` is how long a reader that accepts a stale value waits for a newer one.
    """

    today_s: float
    other_days_s: float
    opening_balance_s: float
    stale_s: float
    bank_feed_s: float = 300.0
    stale_patience_s: float = 1.0

    def fresh_for_s(self, kind: ValueKind, *, is_today: bool = False) -> float:
        """Return for how many seconds a value is fresh.

        Args:
            kind: the kind of the value.
            is_today: whether a balance is of the account's current day; past days change less.
        """
        if kind is ValueKind.OPENING_BALANCE:
            return self.opening_balance_s
        if kind is ValueKind.BANK_FEED:
            return self.bank_feed_s
        return self.today_s if is_today else self.other_days_s

    @property
    def retention_s(self) -> float:
        """For how many seconds the shared cache must keep a value: fresh or served stale."""
        fresh_s = max(self.opening_balance_s, self.other_days_s, self.bank_feed_s)
        return max(self.stale_s, fresh_s, 1.0)


@dataclass(frozen=True, slots=True)
class CachedRead:
    """One value to read: its account, its keys, and the ages that the reader accepts.

    Attributes:
        account: the account.
        keys: the account's cache keys.
        value_key: the key of the value.
        fresh_for_s: for how many seconds the value is fresh.
        query: the balance to read; None for another kind of value.
        max_age_s: the oldest value accepted, in seconds; 0 = live only; None = as configured.
        on_stale: whether a stale value is accepted when the provider fails.
        is_bank_feed: whether the bank feed is read; without it and a query, the opening balance is.
    """

    account: Account
    keys: AccountKeys
    value_key: str
    fresh_for_s: float
    query: BalanceQuery | None
    max_age_s: int | None = None
    on_stale: OnStale = OnStale.SERVE
    is_bank_feed: bool = False

    @property
    def kind(self) -> ValueKind:
        """The kind of the value."""
        if self.query is not None:
            return ValueKind.BALANCE
        return ValueKind.BANK_FEED if self.is_bank_feed else ValueKind.OPENING_BALANCE


#: The validity of one value, and of all values of its account.
ValidityPair = tuple[CacheValidity, CacheValidity]


@dataclass(frozen=True, slots=True)
class CacheLookup:
    """The cache's state when a read starts.

    Attributes:
        fence_state: the state of the account's fence.
        entry: the cached entry, if one exists under the fence's current nonce.
        validity: None where nothing is stored.
    """

    fence_state: FenceState
    entry: CacheEntry | None
    validity: ValidityPair | None = None


ReadResult = Observed[Any] | GatewayError


class PendingRead(NamedTuple):
    """A read that waits for an upstream call.

    Attributes:
        read: the read.
        fence_state: the state of the fence when the read started.
        future: receives the result.
    """

    read: CachedRead
    fence_state: FenceState
    future: "asyncio.Future[ReadResult]"


def build_balance_read(
    request: BalanceRequest, keys: AccountKeys, lifetimes: Lifetimes
) -> CachedRead:
    """Build the read for a balance request."""
    return CachedRead(
        account=request.account,
        keys=keys,
        value_key=balance_value_key(keys, request.as_of),
        fresh_for_s=lifetimes.fresh_for_s(ValueKind.BALANCE, is_today=request.is_today),
        query=BalanceQuery(request.account, request.as_of),
        max_age_s=request.max_age_s,
        on_stale=request.on_stale,
    )


def build_opening_read(account: Account, keys: AccountKeys, lifetimes: Lifetimes) -> CachedRead:
    """Build the read for an account's opening balance."""
    return CachedRead(
        account=account,
        keys=keys,
        value_key=opening_value_key(keys),
        fresh_for_s=lifetimes.fresh_for_s(ValueKind.OPENING_BALANCE),
        query=None,
    )


def build_feed_read(account: Account, keys: AccountKeys, lifetimes: Lifetimes) -> CachedRead:
    """Build the read for an account's bank feed."""
    return CachedRead(
        account=account,
        keys=keys,
        value_key=feed_value_key(keys),
        fresh_for_s=lifetimes.fresh_for_s(ValueKind.BANK_FEED),
        query=None,
        is_bank_feed=True,
    )


def build_pending_key(read: CachedRead) -> Hashable:
    """Return the key by which a request's reads share an upstream call."""
    return pending_read_key(read.value_key, requires_live=read.max_age_s == 0)


def find_cached_result(read: CachedRead, lookup: CacheLookup, now_s: float) -> ReadResult | None:
    """Return the cached value if it is young enough for this reader; None otherwise."""
    entry = lookup.entry
    if entry is None:
        return None
    # The lifetime may have been shortened since the value was stored.
    max_age_s = min(entry.fresh_for_s, read.fresh_for_s)
    if read.max_age_s is not None:
        max_age_s = min(max_age_s, read.max_age_s)
    # ">=", not ">": with a maximum age of zero even a value of age zero must not be served.
    if now_s - entry.observed_at_s >= max_age_s or is_from_future(entry, now_s):
        return None
    terms = None
    if lookup.validity is not None:
        terms = CacheTerms(*lookup.validity, refresh_due_s(entry.observed_at_s, read))
    return build_observed(entry, FreshnessState.CACHED, None, terms)


def current_validity(versions: LocalCacheVersions, read: CachedRead, fence: str) -> ValidityPair:
    """Return the current validity of the value and of all values of its account."""
    return versions.validity(fence, read.value_key), versions.validity(fence, read.keys.value)


def refresh_due_s(observed_at_s: float, read: CachedRead) -> float:
    """Return when the cache must be asked again for a value, in seconds since 1970.

    This is the earliest point of its refresh, so that the value is refreshed before it expires.
    """
    return observed_at_s + read.fresh_for_s * REFRESH_FROM[0]


def is_from_future(entry: CacheEntry, now_s: float) -> bool:
    """Return whether a replica with a fast clock kept the value, so that its age is unknown."""
    return entry.observed_at_s > now_s + AHEAD_MAX_S


def needs_refresh(entry: CacheEntry, now_s: float) -> bool:
    """Return whether a fresh value is near its expiry."""
    age_s = now_s - entry.observed_at_s
    # The point is random, so that values that were read together are not refreshed together.
    starts_s = entry.fresh_for_s * random.uniform(*REFRESH_FROM)  # noqa: S311
    return starts_s <= age_s < entry.fresh_for_s


def build_observed(
    entry: CacheEntry, state: FreshnessState, reason: str | None, terms: CacheTerms | None = None
) -> Observed[Any]:
    """Build the result for a cached entry."""
    observed_at = datetime.fromtimestamp(entry.observed_at_s, UTC)
    return date_recorded(Observed(entry.value, observed_at, state, reason, terms))


def date_recorded(observed: Observed[Any]) -> Observed[Any]:
    """Return a recorded opening balance as CACHED since it was recorded, anything else unchanged.

    It was not read from the provider, however recently the journal was. For how long it is kept in
    the cache still depends on when the journal was read.
    """
    value = observed.value
    if not isinstance(value, OpeningBalance) or value.recorded_at is None:
        return observed
    state = FreshnessState.CACHED if observed.state is FreshnessState.LIVE else observed.state
    return replace(observed, observed_at=value.recorded_at, state=state)


def deadline_error() -> ProviderTimeout:
    """Build the error of a read that reached its deadline."""
    return ProviderTimeout("The provider did not answer within the request's deadline.")


def allows_stale(error: GatewayError) -> bool:
    """Return whether a stale value may replace this error.

    It may when the provider failed, and may not when the provider rejected the request.
    """
    return isinstance(error, ProviderError) and not isinstance(error, ProviderRejected)


def can_serve_stale(
    read: CachedRead, entry: CacheEntry | None, now_s: float, stale_s: float
) -> bool:
    """Return whether this reader would get the cached value if the provider failed."""
    if entry is None or read.on_stale is OnStale.ERROR:
        return False
    return now_s - entry.observed_at_s <= stale_s


def choose_result(
    read: CachedRead,
    entry: CacheEntry | None,
    upstream: ReadResult,
    now_s: float,
    stale_s: float,
) -> ReadResult:
    """Return the upstream result, or the cached value when the provider failed.

    Args:
        read: the read.
        entry: the cached value; None without one.
        upstream: the result of the call.
        now_s: the current time, in seconds since 1970.
        stale_s: the age in seconds up to which a stale value is served.
    """
    if not isinstance(upstream, GatewayError):
        return upstream
    error = attach_account(read.account, upstream)
    if entry is None or not allows_stale(upstream):
        return error
    age_s = now_s - entry.observed_at_s
    if age_s > stale_s:
        return error
    if read.on_stale is OnStale.ERROR:
        too_stale = TooStale(
            f"The last value is {int(age_s)} s old and no newer value is available:"
            f" {upstream.message}",
            retry_after_s=upstream.retry_after_s,
        )
        return attach_account(read.account, too_stale)
    return build_observed(entry, FreshnessState.STALE, upstream.message)


def attach_account(account: Account, error: GatewayError) -> GatewayError:
    """Return the error with the account's id and provider."""
    return with_account(error, account_id=account.id, provider=account.provider.name)
