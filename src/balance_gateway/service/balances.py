"""Sums balances per currency, each money once, and lists the accounts that a total lacks."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.domain.balances import BalanceFigures, BalanceQuery, MissingReason
from balance_gateway.domain.errors import ErrorCode, GatewayError
from balance_gateway.domain.money import Money
from balance_gateway.ports.reads import BalanceRequest, FreshnessState, Observed

Result = Observed[BalanceFigures] | GatewayError


@dataclass(frozen=True, slots=True)
class Missing:
    """An account without a balance in a total.

    Attributes:
        account: the account.
        code: the code of the error that prevented reading its balance; for an account that was
            read, UNSUPPORTED_BY_PROVIDER.
        reason: why an account that was read has neither balance for the day; None if it could not
            be read.
    """

    account: Account
    code: ErrorCode
    reason: MissingReason | None = None


@dataclass(frozen=True, slots=True)
class CurrencyTotal:
    """The sum of balances in one currency. Amounts are never converted or estimated.

    Attributes:
        currency: ISO 4217 code.
        bank: the sum of all known bank balances; None when none is known.
        ledger: the sum of all known ledger balances; None when none is known.
        included: number of accounts that were summed.
        bank_included: number of these accounts with a bank balance for the day, as summed in
            ``bank``.
        ledger_included: number of these accounts with a ledger balance, as summed in ``ledger``.
        missing: the accounts that could not be read, or have neither balance for the day, in the
            order of the requests.
        overlapping: the accounts that were left out because an account in this or another total is
            the same at the provider, or includes them, in the order of the requests.
        first_day: the earliest day of the included balances; without any, of the requests.
        last_day: the latest of these days.
        stale_included: number of included accounts with a stale balance.
        oldest_observed_at: the earliest observation among the included values; None without any.
        counted_accounts: the account of each included balance.
        counted_days: the day of each included balance, in the same order.
    """

    currency: str
    bank: Money | None
    ledger: Money | None
    included: int
    bank_included: int
    ledger_included: int
    missing: tuple[Missing, ...]
    overlapping: tuple[Account, ...]
    first_day: date
    last_day: date
    stale_included: int
    oldest_observed_at: datetime | None
    counted_accounts: tuple[Account, ...]
    counted_days: tuple[date, ...]

    def list_counted(self) -> list[BalanceQuery]:
        """Return the account and the day of each included balance."""
        return list(map(BalanceQuery, self.counted_accounts, self.counted_days))

    @property
    def complete(self) -> bool:
        """Whether the money of every requested account of the currency is in the total."""
        return not self.missing


def compute_totals(
    requests: Sequence[BalanceRequest], results: Sequence[Result]
) -> list[CurrencyTotal]:
    """Sum the results per currency.

    Args:
        requests: the requested balances.
        results: one result per request, in the same order.

    Returns:
        One total per currency, sorted by currency code. A currency with only failed accounts is
        included; its total lists them.
    """
    # Two lists instead of pairs: many kept tuples make the garbage collector run.
    by_currency: dict[str, tuple[list[BalanceRequest], list[Result]]] = {}
    for request, result in zip(requests, results, strict=True):
        currency = request.account.currency
        rows = by_currency.get(currency)
        if rows is None:
            rows = by_currency[currency] = ([], [])
        rows[0].append(request)
        rows[1].append(result)
    # Over all currencies: of one remote account in two of them, at most one can be right.
    overlapping = _find_overlapping(requests, results)
    return [
        _build_total(currency, *by_currency[currency], overlapping)
        for currency in sorted(by_currency)
    ]


def _has_figure(figures: BalanceFigures) -> bool:
    return figures.bank is not None or figures.ledger is not None


def _build_total(
    currency: str,
    requests: Sequence[BalanceRequest],
    results: Sequence[Result],
    overlapping: set[str],
) -> CurrencyTotal:
    missing: list[Missing] = []
    left_out: list[Account] = []
    accounts: list[Account] = []
    observed: list[Observed[BalanceFigures]] = []
    bank: list[int] = []
    ledger: list[int] = []
    for request, result in zip(requests, results, strict=True):
        account = request.account
        if isinstance(result, GatewayError):
            missing.append(Missing(account, result.code))
            continue
        figures = result.value
        of_bank, of_ledger = figures.bank, figures.ledger
        if of_bank is None and of_ledger is None:
            # Its money is not in the sum: such a total must not look complete.
            reason = figures.bank_missing or figures.ledger_missing
            missing.append(Missing(account, ErrorCode.UNSUPPORTED_BY_PROVIDER, reason))
            continue
        if overlapping and account.id in overlapping:
            left_out.append(account)
            continue
        accounts.append(account)
        observed.append(result)
        if of_bank is not None:
            bank.append(of_bank.minor_units)
        if of_ledger is not None:
            ledger.append(of_ledger.minor_units)
    days = [one.value.as_of for one in observed]
    distinct_days = set(days or [request.as_of for request in requests])
    return CurrencyTotal(
        currency=currency,
        bank=_sum(bank, currency),
        ledger=_sum(ledger, currency),
        included=len(observed),
        bank_included=len(bank),
        ledger_included=len(ledger),
        missing=tuple(missing),
        overlapping=tuple(left_out),
        first_day=min(distinct_days),
        last_day=max(distinct_days),
        stale_included=[one.state for one in observed].count(FreshnessState.STALE),
        oldest_observed_at=min([one.observed_at for one in observed], default=None),
        counted_accounts=tuple(accounts),
        counted_days=tuple(days),
    )


def _find_overlapping(requests: Sequence[BalanceRequest], results: Sequence[Result]) -> set[str]:
    """Return the ids of the accounts whose money another account of the list counts.

    Of equal accounts the first one counts.
    """
    counted: dict[ProviderKind, dict[tuple[str, ...], str]] = {kind: {} for kind in ProviderKind}
    found = set()
    for request, result in zip(requests, results, strict=True):
        if isinstance(result, GatewayError) or not _has_figure(result.value):
            continue
        account, path = request.account, result.value.remote_path
        if path and counted[account.provider].setdefault(path, account.id) != account.id:
            found.add(account.id)
    for by_path in counted.values():
        lengths = sorted(set(map(len, by_path)))
        if len(lengths) > 1:
            _add_included(by_path, lengths, found)
    return found


def _add_included(
    by_path: Mapping[tuple[str, ...], str], lengths: Sequence[int], found: set[str]
) -> None:
    """Add the accounts that another account of the same provider includes.

    Args:
        by_path: the first account of each path. An equal one is in ``found`` already.
        lengths: the lengths of the paths, in ascending order.
        found: the ids of the accounts that do not count.
    """
    for path, account_id in by_path.items():
        shorter = lengths[: bisect_left(lengths, len(path))]
        if any(path[:length] in by_path for length in shorter):
            found.add(account_id)


def _sum(minor_units: Sequence[int], currency: str) -> Money | None:
    # No known figure is not the same as a sum of zero.
    return Money(sum(minor_units), currency) if minor_units else None
