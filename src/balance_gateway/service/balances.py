"""Sums balances per currency, each money once, and lists the accounts that a total lacks."""

from collections.abc import Sequence
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
        counted: the account and the day of each included balance.
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
    counted: tuple[BalanceQuery, ...]

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
    by_currency: dict[str, list[tuple[BalanceRequest, Result]]] = {}
    for request, result in zip(requests, results, strict=True):
        by_currency.setdefault(request.account.currency, []).append((request, result))
    # Over all currencies: of one remote account in two of them, at most one can be right.
    overlapping = _find_overlapping(
        [
            (request.account, result)
            for request, result in zip(requests, results, strict=True)
            if not isinstance(result, GatewayError) and _has_figure(result.value)
        ]
    )
    return [
        _build_total(currency, by_currency[currency], overlapping)
        for currency in sorted(by_currency)
    ]


def _has_figure(figures: BalanceFigures) -> bool:
    return figures.bank is not None or figures.ledger is not None


def _build_total(
    currency: str, rows: Sequence[tuple[BalanceRequest, Result]], overlapping: set[str]
) -> CurrencyTotal:
    read: list[tuple[Account, Observed[BalanceFigures]]] = []
    missing: list[Missing] = []
    for request, result in rows:
        if isinstance(result, GatewayError):
            missing.append(Missing(request.account, result.code))
        elif not _has_figure(result.value):
            # Its money is not in the sum: such a total must not look complete.
            reason = result.value.bank_missing or result.value.ledger_missing
            missing.append(Missing(request.account, ErrorCode.UNSUPPORTED_BY_PROVIDER, reason))
        else:
            read.append((request.account, result))
    counted = [(account, result) for account, result in read if account.id not in overlapping]
    observed = [result for _, result in counted]
    bank = [one.value.bank for one in observed if one.value.bank is not None]
    ledger = [one.value.ledger for one in observed if one.value.ledger is not None]
    days = [one.value.as_of for one in observed] or [request.as_of for request, _ in rows]
    return CurrencyTotal(
        currency=currency,
        bank=_sum(bank, currency),
        ledger=_sum(ledger, currency),
        included=len(observed),
        bank_included=len(bank),
        ledger_included=len(ledger),
        missing=tuple(missing),
        overlapping=tuple(account for account, _ in read if account.id in overlapping),
        first_day=min(days),
        last_day=max(days),
        stale_included=sum(one.state is FreshnessState.STALE for one in observed),
        oldest_observed_at=min((one.observed_at for one in observed), default=None),
        counted=tuple(BalanceQuery(account, one.value.as_of) for account, one in counted),
    )


def _find_overlapping(read: Sequence[tuple[Account, Observed[BalanceFigures]]]) -> set[str]:
    """Return the ids of the accounts whose money another account of the list counts.

    Of equal accounts the first one counts.
    """
    counted: dict[tuple[ProviderKind, tuple[str, ...]], str] = {}
    for account, result in read:
        counted.setdefault((account.provider, result.value.remote_path), account.id)
    found = set()
    for account, result in read:
        path = result.value.remote_path
        parents = (path[:length] for length in range(1, len(path)))
        is_included = any((account.provider, parent) in counted for parent in parents)
        if path and (is_included or counted[account.provider, path] != account.id):
            found.add(account.id)
    return found


def _sum(figures: Sequence[Money], currency: str) -> Money | None:
    # No known figure is not the same as a sum of zero.
    if not figures:
        return None
    return Money(sum(figure.minor_units for figure in figures), currency)
