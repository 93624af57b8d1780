"""The context of a request for resolvers: caller, use cases, time, deadline and loaders."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property, partial
from typing import Any

from strawberry.types import Info as StrawberryInfo

from balance_gateway.api.request.dependencies import Dependencies
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.request.loaders import Deadline, Loader
from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.balances import BalanceFigures, OpeningBalance
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.domain.calendar_days import day_end_exclusive, today
from balance_gateway.domain.writes import UnsettledWrite, WriteRecord
from balance_gateway.ports.audit_log import AuditLog
from balance_gateway.ports.cache_validity import Validity
from balance_gateway.ports.reads import BalanceRequest, Observed, OnStale
from balance_gateway.ports.write_journal import WriteHistory
from balance_gateway.service.directory import Connector, Directory
from balance_gateway.service.gateway import Gateway
from balance_gateway.service.reported_balances import ReportedBalance, read_reported_balances

_LOADERS = (
    "balances",
    "opening_balances",
    "bank_feeds",
    "reported_balances",
    "normal_balances",
    "unsettled_writes",
)

#: So many turns of the event loop pass at most between the result of one read and the next read
#: that a field below it asks for.
_IDLE_TURNS = 16


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request.

    Attributes:
        principal: the authenticated caller.
        request_id: the id of the request in the logs.
    """

    principal: Principal
    request_id: str


class RequestContext:
    """The context of one request.

    Attributes:
        gateway: the use cases.
        principal: the authenticated caller.
        request_id: the id of the request in the logs.
        limits: the limits of arguments.
        now: the current time for the whole request, aware.
        dependencies: what the response depends on.
        storage_validity: the validity of what is read from the storage from now on; None if it is
            unknown.
    """

    def __init__(
        self, gateway: Gateway, caller: Caller, limits: Limits, request_timeout_s: float
    ) -> None:
        self._gateway = gateway
        self.principal = caller.principal
        self.request_id = caller.request_id
        self.limits = limits
        # Read once, so that every "today" and every age in one response agree.
        self.now: datetime = gateway.clock()
        self._request_timeout_s = request_timeout_s
        self.dependencies = Dependencies()
        self.storage_validity: Validity | None = None
        self._todays: dict[str, date] = {}

    @property
    def gateway(self) -> Gateway:
        """The use cases. A response that is made with them directly is not kept."""
        self.dependencies.forbid_keeping()
        return self._gateway

    @property
    def history(self) -> WriteHistory:
        """The recorded writes; a response that is made with them is kept until the next change."""
        self.dependencies.add_validity(self.storage_validity)
        return self._gateway.history

    @property
    def audit_log(self) -> AuditLog:
        """The audit log; a response that is made with it is kept until the next change."""
        self.dependencies.add_validity(self.storage_validity)
        return self._gateway.audit_log

    @property
    def environment(self) -> str:
        """The configured name of the environment; empty without one."""
        return self._gateway.environment

    def get_connector(self, name: str) -> Connector:
        """Return a connector by its name."""
        return self._gateway.directory.connector(name)

    @cached_property
    def deadline(self) -> Deadline:
        """The deadline of the request's reads; it starts with the first of them."""
        return Deadline(self._request_timeout_s)

    @cached_property
    def balances(self) -> Loader[BalanceRequest, Observed[BalanceFigures]]:
        """The loader of balances."""
        return Loader(self._gateway.reads.balances, self.deadline, self._record)

    @cached_property
    def opening_balances(self) -> Loader[Account, Observed[OpeningBalance | None]]:
        """The loader of opening balances."""
        return Loader(self._gateway.reads.opening_balances, self.deadline, self._record)

    @cached_property
    def bank_feeds(self) -> Loader[Account, Observed[BankFeed | None]]:
        """The loader of bank feeds."""
        return Loader(self._gateway.reads.bank_feeds, self.deadline, self._record)

    @cached_property
    def reported_balances(self) -> Loader[Account, Observed[ReportedBalance | None]]:
        """The loader of the latest bank balances."""
        return Loader(
            partial(read_reported_balances, self._gateway.reads), self.deadline, self._record
        )

    @cached_property
    def normal_balances(self) -> Loader[Account, Side]:
        """The loader of normal sides."""
        return Loader(self.read_sides, self.deadline, self._record)

    @cached_property
    def unsettled_writes(self) -> Loader[Account, UnsettledWrite | WriteRecord | None]:
        """The loader of writes that may or may not have been applied."""
        return Loader(self.find_unsettled, self.deadline, self._record)

    def balance_request(
        self,
        account: Account,
        as_of: date | None,
        max_age_s: int | None = None,
        on_stale: OnStale = OnStale.SERVE,
    ) -> BalanceRequest:
        """Build the request for a balance.

        Args:
            account: the account.
            as_of: the day; None for today in the account's time zone.
            max_age_s: the maximum age of the balance; None for the configured one.
            on_stale: the behaviour when only a stale balance is available.
        """
        current = self.today(account)
        day = current if as_of is None else as_of
        return BalanceRequest(account, day, day == current, max_age_s, on_stale)

    def today(self, account: Account) -> date:
        """Return the current day in the account's time zone, the same for the whole request."""
        zone = account.time_zone
        day = self._todays.get(zone.key)
        if day is None:
            day = self._todays[zone.key] = today(self.now, zone)
            self.dependencies.expire_at(day_end_exclusive(day, zone).timestamp())
        return day

    def directory_for_reading(self) -> Directory:
        """Return the directory if the caller may read balances.

        Every read reaches its accounts through this method, on graphql-core's path and on the
        compiled one, so that the read scope is checked here and nowhere else.

        Raises:
            Forbidden: the caller lacks the scope balances:read.
        """
        self.principal.require(Scope.BALANCES_READ)
        return self._gateway.directory

    def reset_after_write(self) -> None:
        """Drop every value that was read before a write, and restart the deadline of reads."""
        for loader in (
            self.balances,
            self.opening_balances,
            self.bank_feeds,
            self.reported_balances,
            self.unsettled_writes,
        ):
            loader.clear()
        self.deadline.restart()

    async def wait_for_reads(self) -> None:
        """Wait until the request reads nothing from providers, so that their state shows it.

        Of ``connectors`` and balances in one document, the balances are read first, wherever they
        stand: compiled plans write the state of connectors last as well.
        """
        idle_turns = 0
        while idle_turns < _IDLE_TURNS:
            loaders = self._list_loaders()
            calls = [call for loader in loaders for call in loader.calls_in_progress]
            if calls:
                await asyncio.wait(calls)
            else:
                await asyncio.sleep(0)
            idle_turns = idle_turns + 1 if all(one.is_idle for one in loaders) else 0

    def close(self) -> None:
        """Cancel the reads in progress."""
        for loader in self._list_loaders():
            loader.close()

    def _list_loaders(self) -> Sequence[Loader[Any, Any]]:
        # Only loaders that exist: reading the property would create one.
        return [self.__dict__[name] for name in _LOADERS if name in self.__dict__]

    def _record(self, key: object, result: object) -> None:
        self.dependencies.add_result(key, result, self.now)

    async def find_unsettled(
        self, accounts: Sequence[Account]
    ) -> Sequence[UnsettledWrite | WriteRecord | None]:
        """Return the unsettled write of each account, or None, in order."""
        found = await self._gateway.reconciler.find_unsettled(accounts)
        return [found.get(account.id) for account in accounts]

    async def read_sides(self, accounts: Sequence[Account]) -> Sequence[Side | Exception]:
        """Return the normal side of each account, or the error, in order."""
        reads = (self._gateway.reads.normal_balance(account) for account in accounts)
        sides = await asyncio.gather(*reads, return_exceptions=True)
        # ``gather`` also returns a CancelledError, which is not an Exception.
        return [side if isinstance(side, Side | Exception) else Exception() for side in sides]


Info = StrawberryInfo[RequestContext, None]
