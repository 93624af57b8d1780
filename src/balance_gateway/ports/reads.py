"""Defines the read side for the use cases: requests, observed values, pipeline and fence."""

import enum
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Generic, Protocol, TypeVar

from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.balances import BalanceFigures, OpeningBalance
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.domain.errors import GatewayError
from balance_gateway.ports.cache_validity import CacheTerms, LocalCacheVersions

T = TypeVar("T")


class FreshnessState(enum.Enum):
    """Origin of a value: read just now, cached and fresh, or cached and past its freshness."""

    LIVE = "live"
    CACHED = "cached"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Observed(Generic[T]):
    """A value with the instant at which it was read and its freshness.

    Attributes:
        value: the value that was read.
        observed_at: the instant at which the call that read the value was *started*, so that an
            age is never understated.
        state: live, cached or stale.
        stale_reason: for STALE, a short sentence saying why no newer value was available;
            otherwise None.
        cache_terms: the terms under which the value is cached; None when it is not cached.
    """

    value: T
    observed_at: datetime
    state: FreshnessState
    stale_reason: str | None = None
    cache_terms: CacheTerms | None = field(default=None, compare=False, repr=False)


class OnStale(enum.Enum):
    """The caller's choice when only a stale value is available."""

    SERVE = "serve"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class BalanceRequest:
    """A request for one balance.

    Attributes:
        account: the account to read.
        as_of: the resolved day, in the account's time zone.
        is_today: whether that day is today for the account; such a value expires sooner.
        max_age_s: the maximum age of the value, in seconds; 0 forces a read from the provider;
            None applies the configured freshness.
        on_stale: whether a stale value is returned or an error.
    """

    account: Account
    as_of: date
    is_today: bool
    max_age_s: int | None = None
    on_stale: OnStale = OnStale.SERVE


class ReadPipeline(Protocol):
    """Reads through cache, request coalescing, call budgets and retries."""

    async def balances(
        self, requests: Sequence[BalanceRequest]
    ) -> Sequence[Observed[BalanceFigures] | GatewayError]:
        """Read balances; equal requests cost one upstream call.

        Returns:
            One item per request, in order: the observed figures or the error.
        """
        ...

    async def opening_balances(
        self, accounts: Sequence[Account]
    ) -> Sequence[Observed[OpeningBalance | None] | GatewayError]:
        """Read opening balances.

        Returns:
            One item per account, in order: the observed opening balance or the error. The
            observed value is None when the provider reports that none is set.
        """
        ...

    async def bank_feeds(
        self, accounts: Sequence[Account]
    ) -> Sequence[Observed[BankFeed | None] | GatewayError]:
        """Read the providers' links to the accounts' banks; one call serves a whole group.

        Only for accounts with ``Capability.READ_BANK_FEED``.

        Returns:
            One item per account, in order: the observed feed or the error. The observed value is
            None when the provider has no link to a bank for the account.
        """
        ...

    async def normal_balance(self, account: Account) -> Side:
        """Return the account's normal side.

        Raises:
            SideUnknown: it is not configured, and the provider does not report it.
            GatewayError: it is not configured, and reading it from the provider failed.
        """
        ...

    def is_in_storage(self, account: Account) -> bool:
        """Return whether the account's values depend on the gateway's own storage alone.

        Its balances and opening balance stay the same, and so does their absence, while
        ``ports.storage_changes`` shows no change; their observation time is that of the read.
        """
        ...

    def read_stored_now(
        self, requests: Sequence[BalanceRequest]
    ) -> Sequence[Observed[BalanceFigures] | GatewayError] | None:
        """Read balances of accounts in the storage without waiting, as ``balances`` would.

        Args:
            requests: at most ``STORED_BALANCES_MAX`` for accounts of which ``is_in_storage`` is
                True.

        Returns:
            None where ``balances`` has to read them, and reports what is wrong.
        """
        ...

    def local_cache_versions(self) -> LocalCacheVersions | None:
        """Return the live nonces and validities of all accounts; None when the cache is off."""
        ...

    def get_change_check(self) -> Callable[[], Awaitable[bool]] | None:
        """Return how to ask which values other processes have changed, and end their validities.

        Its result is whether every change that was acknowledged before the call is known; if not,
        nothing that was kept may be used. None: no other process changes values.
        """
        ...


class WriteFence(Protocol):
    """Prevents reads from caching outdated values around a write.

    ``pipeline/cache/fence.py`` explains the protocol.
    """

    async def begin_write(self, account: Account, write_id: str) -> None:
        """Drop the account's cached values and block caching until this write has ended.

        Raises:
            CacheUnavailable: the shared cache is unavailable; the write must not be sent.
        """
        ...

    async def end_write(self, account: Account, write_id: str) -> None:
        """Drop the account's cached values again and allow caching; never raises.

        Only for a write with a definite outcome from the provider itself.
        """
        ...

    async def hold(self, account: Account, write_id: str, seconds: float) -> None:
        """Block caching for a number of seconds.

        Used for a write of an earlier process that may still take effect.

        Raises:
            CacheUnavailable: the shared cache is unavailable.
        """
        ...
