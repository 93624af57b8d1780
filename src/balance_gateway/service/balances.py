"""Sums balances per currency and lists the accounts that a total lacks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import BalanceFigures
from balance_gateway.domain.errors import ErrorCode, GatewayError
from balance_gateway.domain.money import Money
from balance_gateway.ports.reads import BalanceRequest, Observed


@dataclass(frozen=True, slots=True)
class Missing:
    """An account without a balance in a total.

    Attributes:
        account: the account.
        code: the code of the error that prevented reading its balance.
    """

    account: Account
    code: ErrorCode


@dataclass(frozen=True, slots=True)
class CurrencyTotal:
    """The sum of balances in one currency. Amounts are never converted or estimated.

    Attributes:
        currency: ISO 4217 code.
        bank: the sum of all known bank balances; None when none is known.
        ledger: the sum of all known ledger balances; None when none is known.
        included: number of accounts that were read.
        bank_included: number of these accounts with a bank balance for the day, as summed in
            ``bank``.
        ledger_included: number of these accounts with a ledger balance, as summed in ``ledger``.
        missing: the accounts that could not be read, in the order of the requests.
        oldest_observed_at: the earliest observation among the included values; None without any.
    """

    currency: str
    bank: Money | None
    ledger: Money | None
    included: int
    bank_included: int
    ledger_included: int
    missing: tuple[Missing, ...]
    oldest_observed_at: datetime | None

    @property
    def complete(self) -> bool:
        """Whether every requested account of the currency was read."""
        return not self.missing


def compute_totals(
    requests: Sequence[BalanceRequest],
    results: Sequence[Observed[BalanceFigures] | GatewayError],
) -> list[CurrencyTotal]:
    """Sum the results per currency.

    Args:
        requests: the requested balances.
        results: one result per request, in the same order.

    Returns:
        One total per currency, sorted by currency code. A currency with only failed accounts is
        included; its total lists them.
    """
    by_currency: dict[str, list[tuple[Account, Observed[BalanceFigures] | GatewayError]]] = {}
    for request, result in zip(requests, results, strict=True):
        by_currency.setdefault(request.account.currency, []).append((request.account, result))
    return [_build_total(currency, by_currency[currency]) for currency in sorted(by_currency)]


def _build_total(
    currency: str, rows: Sequence[tuple[Account, Observed[BalanceFigures] | GatewayError]]
) -> CurrencyTotal:
    observed = [result for _, result in rows if not isinstance(result, GatewayError)]
    bank = [one.value.bank for one in observed if one.value.bank is not None]
    ledger = [one.value.ledger for one in observed if one.value.ledger is not None]
    return CurrencyTotal(
        currency=currency,
        bank=_sum(bank, currency),
        ledger=_sum(ledger, currency),
        included=len(observed),
        bank_included=len(bank),
        ledger_included=len(ledger),
        missing=tuple(
            Missing(account, result.code)
            for account, result in rows
            if isinstance(result, GatewayError)
        ),
        oldest_observed_at=min((one.observed_at for one in observed), default=None),
    )


def _sum(figures: Sequence[Money], currency: str) -> Money | None:
    # No known figure is not the same as a sum of zero.
    if not figures:
        return None
    return Money(sum(figure.minor_units for figure in figures), currency)
