"""The read side as the use cases see it: requests, observed values, the pipeline, the fence."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Generic, Protocol, TypeVar

from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.balances import BalanceFigures, OpeningBalance
from balance_gateway.domain.errors import GatewayError
from balance_gateway.ports.cache_validity import CacheTerms, LocalCacheVersions

T = TypeVar("T")


class FreshnessState(enum.Enum):
    """Where a value comes from: asked for just now, kept and still fresh, or kept and old."""

    LIVE = "live"
    CACHED = "cached"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Observed(Generic[T]):
    """A value, when the provider told it, and in what state it is handed out.

    Attributes:
        value: what was read.
        observed_at: the instant at which the call that read it was *started*, so that an age is
            never understated.
        state: live, cached or stale.
        stale_reason: for STALE, why no newer value could be had, as a short sentence; else None.
        kept: under what it is kept; None where it is not.
    """

    value: T
    observed_at: datetime
    state: FreshnessState
    stale_reason: str | None = None
    kept: CacheTerms | None = field(default=None, compare=False, repr=False)


class OnStale(enum.Enum):
    """What a caller wants when only a stale value can be had."""

    SERVE = "serve"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class BalanceRequest:
    """One balance that a caller asks for.

    Attributes:
        account: whose.
        as_of: the resolved day, in the account's time zone.
        is_today: whether that day is today for the account; today's values live shorter.
        max_age_s: the oldest value taken, in seconds; 0 = go and look; None = as configured.
        on_stale: what to do when only a stale value can be had.
    """

    account: Account
    as_of: date
    is_today: bool
    max_age_s: int | None = None
    on_stale: OnStale = OnStale.SERVE


class ReadPipeline(Protocol):
    """What lies between the use cases and the providers: cache, flights, budgets, retries."""

    async def balances(
        self, requests: Sequence[BalanceRequest]
    ) -> Sequence[Observed[BalanceFigures] | GatewayError]:
        """One answer per request, in order; equal requests cost one upstream call."""
        ...

    async def opening_balances(
        self, accounts: Sequence[Account]
    ) -> Sequence[Observed[OpeningBalance | None] | GatewayError]:
        """One answer per account, in order. None: the provider says that none is set."""
        ...

    async def normal_balance(self, account: Account) -> Side:
        """The account's normal side."""
        ...

    def local_cache_versions(self) -> LocalCacheVersions | None:
        """The nonces and marks of accounts as they stand at any moment.

        None: they are shared with other processes, and what was answered says nothing of what
        would be answered now.
        """
        ...


class WriteFence(Protocol):
    """What keeps reads honest around a write; see ``pipeline/cache/fence.py``."""

    async def begin_write(self, account: Account, write_id: str) -> None:
        """Drops what is kept of the account, and lets nothing be kept until this write has ended.

        Raises:
            CacheUnavailable: the write must not be started.
        """
        ...

    async def end_write(self, account: Account, write_id: str) -> None:
        """Drops it again; only after the provider's own definite answer. Raises nothing."""
        ...

    async def hold(self, account: Account, write_id: str, seconds: float) -> None:
        """Lets nothing be kept for so long: this write of an earlier process may still land.

        Raises:
            CacheUnavailable: the shared cache is out of reach.
        """
        ...
