"""What a resolver can reach: the caller, the use cases, the request's one "now" and its loaders."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property

from strawberry.types import Info as StrawberryInfo

from balance_gateway.api.request.limits import Limits
from balance_gateway.api.request.loaders import Deadline, Loader
from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    OpeningBalance,
)
from balance_gateway.domain.calendar_days import today
from balance_gateway.ports.reads import (
    BalanceRequest,
    Observed,
    OnStale,
)
from balance_gateway.service.directory import Directory
from balance_gateway.service.gateway import Gateway


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, and the id under which the logs know it."""

    principal: Principal
    request_id: str


class RequestContext:
    """One request's view of the gateway.

    Attributes:
        gateway: the use cases.
        principal: who asks.
        request_id: under which the logs know the request.
        limits: of arguments.
        now: the instant that the whole request takes for the present.
        deadline: of the request's reads.
    """

    def __init__(
        self, gateway: Gateway, caller: Caller, limits: Limits, request_timeout_s: float
    ) -> None:
        self.gateway = gateway
        self.principal = caller.principal
        self.request_id = caller.request_id
        self.limits = limits
        self.now: datetime = gateway.clock()
        self._request_timeout_s = request_timeout_s
        self._todays: dict[str, date] = {}

    @cached_property
    def deadline(self) -> Deadline:
        """Of the request's reads; made when the first of them is."""
        return Deadline(self._request_timeout_s)

    @cached_property
    def balances(self) -> Loader[BalanceRequest, Observed[BalanceFigures]]:
        """Loads balances."""
        return Loader(self.gateway.reads.balances, self.deadline)

    @cached_property
    def opening_balances(self) -> Loader[Account, Observed[OpeningBalance | None]]:
        """Loads opening balances."""
        return Loader(self.gateway.reads.opening_balances, self.deadline)

    @cached_property
    def normal_balances(self) -> Loader[Account, Side]:
        """Loads normal sides."""
        return Loader(self._sides, self.deadline)

    def balance_request(
        self,
        account: Account,
        as_of: date | None,
        max_age_s: int | None = None,
        on_stale: OnStale = OnStale.SERVE,
    ) -> BalanceRequest:
        """A balance as of a day; without one as of today, which is the same all through."""
        current = self.today(account)
        day = current if as_of is None else as_of
        return BalanceRequest(account, day, day == current, max_age_s, on_stale)

    def today(self, account: Account) -> date:
        """The day it is for the account, resolved once per request and time zone."""
        zone = account.time_zone
        day = self._todays.get(zone.key)
        if day is None:
            day = self._todays[zone.key] = today(self.now, zone)
        return day

    def directory_for_reading(self) -> Directory:
        """Return the directory if the caller may read balances.

        Every read reaches its accounts through this method, on graphql-core's path and on the
        fast path, so that the read scope is checked here and nowhere else.

        Raises:
            Forbidden: the caller lacks the scope balances:read.
        """
        self.principal.require(Scope.BALANCES_READ)
        return self.gateway.directory

    def written(self) -> None:
        """To be called after a write: forgets what was read before it."""
        self.balances.forget()
        self.opening_balances.forget()
        self.deadline.restart()

    def close(self) -> None:
        """Cancels the reads that are under way."""
        for name in ("balances", "opening_balances", "normal_balances"):
            if name in self.__dict__:
                self.__dict__[name].close()

    async def _sides(self, accounts: Sequence[Account]) -> Sequence[Side | Exception]:
        reads = (self.gateway.reads.normal_balance(account) for account in accounts)
        sides = await asyncio.gather(*reads, return_exceptions=True)
        return [side if isinstance(side, Side | Exception) else Exception() for side in sides]


Info = StrawberryInfo[RequestContext, None]
