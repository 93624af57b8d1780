"""Finds the values of a request, and reads the missing ones in one batch per kind of value.

Writers ask for values while they write. A value that is neither known to the request nor kept from
an earlier one is MISSING and noted; ``read`` then reads all noted values at once, and the writers
run again. When graphql-core takes over, the request's loaders get what was read.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any

from balance_gateway.api.compiled.kept_values import KeptValues, StoredValidity
from balance_gateway.api.request.context import RequestContext
from balance_gateway.api.request.loaders import Loader
from balance_gateway.domain.accounts import Account
from balance_gateway.ports.cache_validity import CacheTerms
from balance_gateway.ports.reads import BalanceRequest, FreshnessState, Observed, OnStale
from balance_gateway.ports.stored_balances_reader import STORED_BALANCES_MAX
from balance_gateway.service.reported_balances import read_reported_balances

#: Stands for a value that has to be read first.
MISSING: Any = object()

_OPENING, _FEED, _REPORTED, _SIDE, _UNSETTLED = "opening", "feed", "reported", "side", "unsettled"
_NEVER_S = float("inf")


def is_stored(observed: Observed[Any]) -> bool:
    """Whether a value is in the gateway's storage, so that it is as of the request."""
    terms = observed.cache_terms
    return terms is not None and isinstance(terms.validity, StoredValidity)


class RequestValues:
    """The values of one request.

    Args:
        context: the context of the request.
        kept: the values that are kept between requests; None where nothing may be kept.

    Attributes:
        read_accounts: the ids of the accounts with values that this request has read itself.
    """

    def __init__(self, context: RequestContext, kept: KeptValues | None, now_s: float) -> None:
        self._context = context
        self._kept = kept
        self._now_s = now_s
        self._results: dict[Hashable, Any] = {}
        self.read_accounts: set[str] = set()
        self._missing_balances: dict[Hashable, BalanceRequest] = {}
        self._missing: dict[str, dict[Hashable, Account]] = {}
        #: Whether a missing value is none of a few balances in the storage.
        self._needs_calls = False

    def get_balance(
        self, account: Account, as_of: date | None, max_age_s: int | None, on_stale: OnStale
    ) -> Any:
        """Return the observed balance of a day, its error, or MISSING; ``as_of`` None is today."""
        day = self._context.today(account) if as_of is None else as_of
        if max_age_s is None and on_stale is OnStale.SERVE:
            key: Hashable = (account.id, day)
        else:
            key = (account.id, day, max_age_s, on_stale)
        result = self._results.get(key)
        if result is None:
            result = self._find_kept((account.id, day), max_age_s)
        if result is None:
            if key not in self._missing_balances:
                request = self._context.balance_request(account, day, max_age_s, on_stale)
                self._missing_balances[key] = request
                if not self._context.gateway.reads.is_in_storage(account):
                    self._needs_calls = True
            return MISSING
        return result

    def get_balances(self, accounts: Sequence[Account], days: Sequence[date]) -> list[Any] | None:
        """Return the observed balance of each account and day, or its error.

        Args:
            accounts: the accounts.
            days: the day of each account's balance, in the same order.

        Returns:
            None if one is missing; all missing ones have been noted then.
        """
        keys = [(account.id, day) for account, day in zip(accounts, days, strict=True)]
        found: list[Any] = [None] * len(keys)
        if self._kept is not None and not self._results:
            found = self._kept.find_all(keys, self._now_s)
        is_complete = True
        for index, result in enumerate(found):
            if result is None or type(result.cache_terms.validity) is StoredValidity:
                # Not kept, or dated by the request.
                account, day = accounts[index], days[index]
                found[index] = self.get_balance(account, day, None, OnStale.SERVE)
                is_complete = is_complete and found[index] is not MISSING
        return found if is_complete else None

    def get_opening_balance(self, account: Account) -> Any:
        """Return the observed opening balance, its error, or MISSING."""
        return self._get(_OPENING, account)

    def get_bank_feed(self, account: Account) -> Any:
        """Return the observed bank feed, its error, or MISSING."""
        return self._get(_FEED, account)

    def get_reported_balance(self, account: Account) -> Any:
        """Return the observed latest bank balance, its error, or MISSING."""
        return self._get(_REPORTED, account)

    def get_unsettled_write(self, account: Account) -> Any:
        """Return the observed unsettled write, its error, or MISSING."""
        return self._get(_UNSETTLED, account)

    def get_normal_balance(self, account: Account) -> Any:
        """Return the observed normal side, its error, or MISSING."""
        return self._get(_SIDE, account)

    def _get(self, kind: str, account: Account) -> Any:
        key = (account.id, kind)
        result = self._results.get(key)
        if result is None:
            result = self._find_kept(key, None)
        if result is None:
            self._missing.setdefault(kind, {})[key] = account
            self._needs_calls = True
            return MISSING
        return result

    def _find_kept(self, key: Hashable, max_age_s: int | None) -> Observed[Any] | None:
        if self._kept is None:
            return None
        observed = self._kept.find(key, self._now_s)
        if observed is None:
            return None
        if is_stored(observed):
            return replace(observed, observed_at=self._context.now)
        if max_age_s is not None and self._now_s - observed.observed_at.timestamp() >= max_age_s:
            return None
        return observed

    @property
    def has_read(self) -> bool:
        """Whether this request has read a value itself."""
        return bool(self.read_accounts)

    @property
    def has_missing(self) -> bool:
        """Whether a value has to be read."""
        return bool(self._missing_balances or self._missing)

    @property
    def can_read_now(self) -> bool:
        """Whether all missing values are balances in the storage, and not too many."""
        is_few = len(self._missing_balances) <= STORED_BALANCES_MAX
        return self._kept is not None and is_few and not self._needs_calls

    def read_now(self) -> bool:
        """Read the missing values without waiting, and return whether that was possible."""
        if not self.can_read_now:
            return False
        assert self._kept is not None
        keys, requests = list(self._missing_balances), list(self._missing_balances.values())
        # Before the read: a change after it must not count as seen.
        validity = self._kept.get_present_validity()
        if validity is None:
            return False
        results = self._context.gateway.reads.read_stored_now(requests)
        if results is None:
            return False
        self._missing_balances = {}
        for key, request, result in zip(keys, requests, results, strict=True):
            self._add(key, request, result, validity)
        return True

    async def read(self) -> None:
        """Read all missing values concurrently, one call for each kind."""
        reads = self._context.gateway.reads
        calls: list[Awaitable[None]] = []
        if self._missing_balances:
            balances, self._missing_balances = self._missing_balances, {}
            calls.append(self._read(balances, reads.balances, "balances"))
        missing, self._missing = self._missing, {}
        fetches: Mapping[str, tuple[Callable[..., Awaitable[Sequence[Any]]], str]] = {
            _OPENING: (reads.opening_balances, "opening_balances"),
            _FEED: (reads.bank_feeds, "bank_feeds"),
            _REPORTED: (partial(read_reported_balances, reads), "reported_balances"),
            _SIDE: (self._context.read_sides, "normal_balances"),
            _UNSETTLED: (self._context.find_unsettled, "unsettled_writes"),
        }
        for kind, accounts in missing.items():
            fetch, loader = fetches[kind]
            calls.append(self._read(accounts, fetch, loader))
        if len(calls) == 1:
            await calls[0]
        else:
            await asyncio.gather(*calls)

    async def _read(
        self,
        requests: Mapping[Hashable, Any],
        fetch: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]],
        loader: str,
    ) -> None:
        keys, asked = list(requests), list(requests.values())
        # Before the read: a change after it must not count as seen.
        validity = None if self._kept is None else await self._kept.look()
        results: Sequence[Any]
        try:
            results = await self._context.deadline.wait_for(fetch(asked))
        except Exception as error:
            results = [error] * len(asked)
        # graphql-core may still have to execute the operation, and must not read again.
        primed: Loader[Any, Any] = getattr(self._context, loader)
        primed.prime(dict(zip(asked, results, strict=True)))
        for key, request, result in zip(keys, asked, results, strict=True):
            self._add(key, request, result, validity)

    def _add(
        self, key: Hashable, request: Any, result: Any, validity: StoredValidity | None
    ) -> None:
        """Add a result to the request, and keep it for others if possible."""
        if not isinstance(result, Observed | Exception):
            # A side or a write, which has no age.
            result = Observed(result, self._context.now, FreshnessState.LIVE)
        if isinstance(result, Observed) and self._kept is not None:
            if validity is not None and self._is_stored(key, request):
                terms = CacheTerms(validity, validity, _NEVER_S)
                result = replace(result, observed_at=self._context.now, cache_terms=terms)
            if isinstance(request, BalanceRequest):
                # Whatever age the reader accepted, it is the value of the day.
                self._kept.put((request.account.id, request.as_of), result)
            else:
                self._kept.put(key, result)
        self._results[key] = result
        account = request.account if isinstance(request, BalanceRequest) else request
        self.read_accounts.add(account.id)

    def _is_stored(self, key: Hashable, request: Any) -> bool:
        account = request.account if isinstance(request, BalanceRequest) else request
        is_of_journal = isinstance(key, tuple) and key[1] == _UNSETTLED
        return is_of_journal or self._context.gateway.reads.is_in_storage(account)
