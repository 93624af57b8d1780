"""What a cached read is made of: what it asks for, what the cache said, and what it is answered.

Nothing here waits for anybody or keeps anything: data, and decisions about it.
"""

import asyncio
import enum
import random
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import (
    BalanceQuery,
)
from balance_gateway.domain.errors import (
    GatewayError,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    with_account,
)
from balance_gateway.pipeline.cache.cache_keys import (
    AccountKeys,
    balance_value_key,
    opening_value_key,
    pending_read_key,
)
from balance_gateway.pipeline.cache.cache_store import CacheEntry
from balance_gateway.pipeline.cache.fence import FenceState
from balance_gateway.ports.cache_validity import (
    CacheTerms,
    CacheValidity,
    LocalCacheVersions,
)
from balance_gateway.ports.reads import (
    BalanceRequest,
    FreshnessState,
    Observed,
    OnStale,
)

#: A value in use is read anew from this part of its lifetime on.
REFRESH_FROM = (0.75, 0.95)


class ValueKind(enum.Enum):
    """The kinds of cached values; the texts are the ``kind`` label of the metrics."""

    BALANCE = "balance"
    OPENING_BALANCE = "opening_balance"


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long values are fresh, and how old a stale value may be, in seconds."""

    today_s: float
    other_days_s: float
    opening_balance_s: float
    stale_s: float

    def fresh_for_s(self, kind: ValueKind, *, is_today: bool = False) -> float:
        """Return for how many seconds a value is fresh.

        Args:
            kind: what the value is.
            is_today: whether a balance is of the account's current day; past days change less.
        """
        if kind is ValueKind.OPENING_BALANCE:
            return self.opening_balance_s
        return self.today_s if is_today else self.other_days_s

    @property
    def retention_s(self) -> float:
        """For how many seconds the shared cache must keep a value: fresh or served stale."""
        return max(self.stale_s, self.opening_balance_s, self.other_days_s, 1.0)


@dataclass(frozen=True, slots=True)
class CachedRead:
    """One value to be had: its account, what of it, and how it is kept."""

    account: Account
    keys: AccountKeys
    value_key: str
    fresh_for_s: float
    query: BalanceQuery | None
    max_age_s: int | None = None
    on_stale: OnStale = OnStale.SERVE

    @property
    def kind(self) -> ValueKind:
        """What is read."""
        return ValueKind.OPENING_BALANCE if self.query is None else ValueKind.BALANCE


#: Of a value, and of all values of its account.
ValidityPair = tuple[CacheValidity, CacheValidity]


@dataclass(frozen=True, slots=True)
class CacheLookup:
    """What the cache said of a read as it started; the entry, if any, is under the fence.

    The marks are None where others may replace the entry without its being noticed here.
    """

    standing: FenceState
    entry: CacheEntry | None
    marks: ValidityPair | None = None


ReadResult = Observed[Any] | GatewayError

#: A read, the standing it started under, and the flight it waits for.
PendingRead = tuple[CachedRead, FenceState, "asyncio.Future[ReadResult]"]


def build_balance_read(
    request: BalanceRequest, keys: AccountKeys, lifetimes: Lifetimes
) -> CachedRead:
    """The read that answers a request for a balance."""
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
    """The read that tells an account's opening balance."""
    return CachedRead(
        account=account,
        keys=keys,
        value_key=opening_value_key(keys),
        fresh_for_s=lifetimes.fresh_for_s(ValueKind.OPENING_BALANCE),
        query=None,
    )


def build_flight_key(read: CachedRead) -> Hashable:
    """Reads with different demands of age may need different flights."""
    return pending_read_key(read.value_key, requires_live=read.max_age_s == 0)


def find_cached_result(read: CachedRead, seen: CacheLookup, now_s: float) -> ReadResult | None:
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
    kept = None
    if seen.marks is not None:
        kept = CacheTerms(*seen.marks, refresh_due_s(entry.observed_at_s, read))
    return build_observed(entry, FreshnessState.CACHED, None, kept)


def current_validity(nonces: LocalCacheVersions, read: CachedRead, fence: str) -> ValidityPair:
    """The marks that stand now of what is read."""
    return nonces.validity(fence, read.value_key), nonces.validity(fence, read.keys.value)


def refresh_due_s(observed_at_s: float, read: CachedRead) -> float:
    """When a value has to be asked for again, that it can be read anew before it expires."""
    return observed_at_s + read.fresh_for_s * REFRESH_FROM[0]


def needs_refresh(entry: CacheEntry, now_s: float) -> bool:
    """Whether a fresh value is near its expiry; with jitter, so that not all go at once."""
    age_s = now_s - entry.observed_at_s
    starts_s = entry.fresh_for_s * random.uniform(*REFRESH_FROM)  # noqa: S311
    return starts_s <= age_s < entry.fresh_for_s


def build_observed(
    entry: CacheEntry, state: FreshnessState, reason: str | None, kept: CacheTerms | None = None
) -> Observed[Any]:
    """A kept value as it is handed out."""
    observed_at = datetime.fromtimestamp(entry.observed_at_s, UTC)
    return Observed(entry.value, observed_at, state, reason, kept)


def deadline_error() -> ProviderTimeout:
    """What a reader is told that has waited long enough."""
    return ProviderTimeout("The provider did not answer within the request's deadline.")


def allows_stale(error: GatewayError) -> bool:
    """Whether a kept value may stand in: the provider failed, rather than said no."""
    return isinstance(error, ProviderError) and not isinstance(error, ProviderRejected)


def attach_account(account: Account, error: GatewayError) -> GatewayError:
    """The error, told of this account."""
    return with_account(error, account_id=account.id, provider=account.provider.name)
