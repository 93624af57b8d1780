"""Totals: balances summed per currency, saying what they lack."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import (
    BalanceFigures,
)
from balance_gateway.domain.errors import GatewayError
from balance_gateway.domain.money import Money
from balance_gateway.ports.reads import (
    BalanceRequest,
    Observed,
)


@dataclass(frozen=True, slots=True)
class Missing:
    """An account whose balance a total lacks, and the code of the reason."""

    account: Account
    code: str


@dataclass(frozen=True, slots=True)
class CurrencyTotal:
    """The sum of one currency's balances; never converted, never guessed.

    Attributes:
        currency: ISO 4217.
        bank: the sum of the bank figures that are known; None when not one is.
        ledger: the sum of the ledger figures that are known; None when not one is.
        included: how many accounts could be read.
        bank_included: of these, how many have a bank figure that day and are in ``bank``.
        ledger_included: of these, how many have a ledger figure and are in ``ledger``.
        missing: the accounts that could not, by account id.
        oldest_observed_at: of the values included; None when there are none.
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
        """Whether every account of the currency is in the sum."""
        return not self.missing


def compute_totals(
    requests: Sequence[BalanceRequest],
    answers: Sequence[Observed[BalanceFigures] | GatewayError],
) -> list[CurrencyTotal]:
    """Sums answers per currency, in the order of the codes; failures are named, not skipped."""
    by_currency: dict[str, list[tuple[Account, Observed[BalanceFigures] | GatewayError]]] = {}
    for request, answer in zip(requests, answers, strict=True):
        by_currency.setdefault(request.account.currency, []).append((request.account, answer))
    return [_total(currency, by_currency[currency]) for currency in sorted(by_currency)]


def _total(
    currency: str, rows: Sequence[tuple[Account, Observed[BalanceFigures] | GatewayError]]
) -> CurrencyTotal:
    observed = [answer for _, answer in rows if not isinstance(answer, GatewayError)]
    bank = [answer.value.bank for answer in observed if answer.value.bank is not None]
    ledger = [answer.value.ledger for answer in observed if answer.value.ledger is not None]
    return CurrencyTotal(
        currency=currency,
        bank=_sum(bank, currency),
        ledger=_sum(ledger, currency),
        included=len(observed),
        bank_included=len(bank),
        ledger_included=len(ledger),
        missing=tuple(
            Missing(account, answer.code)
            for account, answer in rows
            if isinstance(answer, GatewayError)
        ),
        oldest_observed_at=min((answer.observed_at for answer in observed), default=None),
    )


def _sum(figures: Sequence[Money], currency: str) -> Money | None:
    if not figures:
        return None
    return Money(sum(figure.minor_units for figure in figures), currency)
