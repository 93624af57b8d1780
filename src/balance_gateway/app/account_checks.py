"""Ask each account at its provider, for the command ``check``."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

from balance_gateway.domain.accounts import Account, Capability
from balance_gateway.domain.balances import BalanceQuery
from balance_gateway.domain.calendar_days import Clock, today
from balance_gateway.domain.errors import GatewayError, Internal, Unsupported
from balance_gateway.ports.bank_feeds import BankFeedReader
from balance_gateway.ports.call_context import set_call_context
from balance_gateway.ports.providers import BalanceProvider

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Calls in flight per connector.
_CALLS_MAX = 8

#: Longest wait of a call, in seconds, for the budget. With a budget of one call per minute, all
#: calls in flight have had their turn by then.
_BUDGET_WAIT_MAX_S = 600.0

#: Receives the number of balances that have been read.
OnProgress = Callable[[int], None]


async def check_accounts(
    providers: Mapping[str, BalanceProvider],
    accounts: Sequence[Account],
    clock: Clock,
    on_progress: OnProgress,
    feed_readers: Mapping[str, BankFeedReader] = MappingProxyType({}),
) -> Mapping[str, Sequence[GatewayError]]:
    """Read the balance of today, the opening balance and the bank feed of each account.

    Values are read past the cache.

    Accounts of one group, such as a business, are read in one call where the provider can. Calls
    count against the connectors' budgets and wait for them.

    Args:
        providers: by connector name.
        accounts: the accounts to check.
        clock: returns the current time.
        on_progress: called whenever balances have been read.
        feed_readers: the providers that report bank feeds, by connector name.

    Returns:
        The different errors of each account, by id in the order of the accounts; empty for an
        account without any.
    """
    by_connector: dict[str, list[Account]] = defaultdict(list)
    for account in accounts:
        by_connector[account.connector].append(account)
    # Its calls have a context of their own, and so have those of each task that it starts.
    set_call_context(max_wait_s=_BUDGET_WAIT_MAX_S)
    failures: dict[str, list[GatewayError]] = {account.id: [] for account in accounts}
    progress = _Progress(on_progress)
    checks = [
        _ConnectorCheck(providers[name], feed_readers.get(name), clock, failures, progress).run(
            members
        )
        for name, members in by_connector.items()
    ]
    await asyncio.gather(*checks)
    return failures


class _Progress:
    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self._count = 0

    def advance(self, count: int) -> None:
        self._count += count
        self._on_progress(self._count)


class _ConnectorCheck:
    """Checks the accounts of one connector."""

    def __init__(
        self,
        provider: BalanceProvider,
        feed_reader: BankFeedReader | None,
        clock: Clock,
        failures: Mapping[str, list[GatewayError]],
        progress: _Progress,
    ) -> None:
        self._provider = provider
        self._feed_reader = feed_reader
        self._clock = clock
        self._failures = failures
        self._progress = progress
        self._places = asyncio.Semaphore(_CALLS_MAX)

    async def run(self, accounts: Sequence[Account]) -> None:
        now = self._clock()
        await self._check_balances(
            [BalanceQuery(account, today(now, account.time_zone)) for account in accounts]
        )
        # After the balances, which also bring the normal sides that opening balances need.
        derived = await asyncio.gather(*map(self._check_opening_balance, accounts))
        await self._check_balances([query for query in derived if query is not None])
        if self._feed_reader is not None:
            await self._check_bank_feeds(self._feed_reader, accounts)

    async def _check_balances(self, queries: Sequence[BalanceQuery]) -> None:
        groups: dict[Hashable, list[BalanceQuery]] = defaultdict(list)
        for query in queries:
            groups[self._get_group(query)].append(query)
        await asyncio.gather(*map(self._check_group, groups.values()))

    def _get_group(self, query: BalanceQuery) -> Hashable:
        try:
            return self._provider.balance_group(query)
        except GatewayError:
            # It is read, and fails, alone.
            return query.account.id

    async def _check_group(self, queries: Sequence[BalanceQuery]) -> None:
        results = await self._call(lambda: self._provider.balances(queries))
        for number, query in enumerate(queries):
            result = results if isinstance(results, GatewayError) else results[number]
            if isinstance(result, GatewayError):
                self._add(query.account, result)
        self._progress.advance(len(queries))

    async def _check_opening_balance(self, account: Account) -> BalanceQuery | None:
        """Check the provider's or the recorded opening balance.

        Returns:
            The balance from which it is derived instead: those of a group need one call.
        """
        recorded = replace(account, derive_opening_balance_as_of=None)
        result = await self._call(lambda: self._provider.opening_balance(recorded))
        is_offered = Capability.READ_OPENING_BALANCE in self._provider.capabilities
        if isinstance(result, Unsupported) and not is_offered:
            day = account.derive_opening_balance_as_of
            return None if day is None else BalanceQuery(account, day)
        if isinstance(result, GatewayError):
            self._add(account, result)
        return None

    async def _check_bank_feeds(self, reader: BankFeedReader, accounts: Sequence[Account]) -> None:
        groups: dict[Hashable, list[Account]] = defaultdict(list)
        for account in accounts:
            groups[reader.bank_feed_group(account)].append(account)
        await asyncio.gather(*(self._check_feed_group(reader, one) for one in groups.values()))

    async def _check_feed_group(self, reader: BankFeedReader, accounts: Sequence[Account]) -> None:
        # In a task of its own: no figure depends on a feed.
        set_call_context(is_optional=True)
        results = await self._call(lambda: reader.bank_feeds(accounts))
        for number, account in enumerate(accounts):
            result = results if isinstance(results, GatewayError) else results[number]
            if isinstance(result, GatewayError):
                self._add(account, result)

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T | GatewayError:
        async with self._places:
            try:
                return await call()
            except GatewayError as error:
                return error
            except Exception:
                # The traceback is for the log, the line for the table.
                logger.exception("provider.defect", extra={"connector": self._provider.connector})
                return Internal("The gateway could not read the provider's response.")

    def _add(self, account: Account, error: GatewayError) -> None:
        known = self._failures[account.id]
        if error.message not in [each.message for each in known]:
            known.append(error)
