"""Totals: every field of one, and results that do not match the requests."""

from datetime import UTC, date, datetime, timedelta

import pytest

from balance_gateway.domain.balances import BalanceFigures
from balance_gateway.domain.errors import ErrorCode, ProviderTimeout
from balance_gateway.domain.money import Money
from balance_gateway.ports.reads import BalanceRequest, FreshnessState, Observed
from balance_gateway.service.balances import CurrencyTotal, Missing
from tests.service.fakes import account, sum_up

DAY = date(2026, 5, 7)
AT = datetime(2026, 5, 7, 12, tzinfo=UTC)


def observe(bank: int | None, ledger: int | None, age_s: int = 0) -> Observed[BalanceFigures]:
    figures = BalanceFigures(
        DAY,
        None if bank is None else Money(bank, "EUR"),
        None if ledger is None else Money(ledger, "EUR"),
    )
    return Observed(figures, AT - timedelta(seconds=age_s), FreshnessState.LIVE)


def test_a_total_has_each_figure_in_its_place() -> None:
    accounts = [account(f"acct_{number}") for number in range(4)]
    requests = [BalanceRequest(one, DAY, True) for one in accounts]
    results = [observe(1, -20), ProviderTimeout("late"), observe(None, -300, 9), observe(4, None)]

    assert sum_up(requests, results) == [
        CurrencyTotal(
            currency="EUR",
            group=None,
            bank=Money(5, "EUR"),
            ledger=Money(-320, "EUR"),
            included=3,
            bank_included=2,
            ledger_included=2,
            missing=(Missing(accounts[1], ErrorCode.PROVIDER_TIMEOUT),),
            overlapping=(),
            first_day=DAY,
            last_day=DAY,
            stale_included=0,
            oldest_observed_at=AT - timedelta(seconds=9),
            counted_accounts=(accounts[0], accounts[2], accounts[3]),
            counted_days=(DAY, DAY, DAY),
            counted_rows=(0, 2, 3),
        )
    ]


def test_a_total_is_complete_when_no_account_is_missing() -> None:
    request = BalanceRequest(account(), DAY, True)

    complete = [
        total.complete
        for result in (observe(1, 1), ProviderTimeout("late"))
        for total in sum_up([request], [result])
    ]

    assert complete == [True, False]


@pytest.mark.parametrize("results", [[], [observe(1, 1), observe(1, 1)]])
def test_each_request_needs_one_result(results: list[Observed[BalanceFigures]]) -> None:
    with pytest.raises(ValueError, match="zip"):
        sum_up([BalanceRequest(account(), DAY, True)], results)
