"""The field ``BankAccount.balanceSeries``: a point for each day, with gaps."""

from datetime import date

from balance_gateway.api.schema.history import build_series
from balance_gateway.domain.balances import BalanceFigures
from balance_gateway.domain.errors import ProviderTimeout
from balance_gateway.domain.money import Money
from tests.api.fakes import ADMIN, NOW, GatewayHarness, account, observed, open_client

SERIES = """{ bankAccount(id: "acct_yen") { id
  balanceSeries(from: "2026-01-01", to: "%s") {
    points { day balance { asOf bank { amount } } problem { code message } } } } }"""


async def test_every_day_has_a_point_in_one_call(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data(SERIES % "2026-01-03")

    points = data["bankAccount"]["balanceSeries"]["points"]
    assert [point["day"] for point in points] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert [point["balance"]["asOf"] for point in points] == [point["day"] for point in points]
    assert [point["problem"] for point in points] == [None, None, None]
    assert len(harness.reads.calls) == 1


def test_a_failed_day_is_the_problem_of_its_point():
    """One bad day of balanceHistory once made the whole account null."""
    days = [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)]
    good = observed(BalanceFigures(days[0], Money(1, "EUR"), None))

    results = [good, ProviderTimeout("Slow."), ValueError("x")]

    series = build_series(days, results, account("acct_euro"), NOW, "request-1")

    assert [point.balance is None for point in series.points] == [False, True, True]
    problems = [point.problem for point in series.points]
    assert problems[0] is None
    assert [each.code.name for each in problems[1:]] == ["PROVIDER_TIMEOUT", "INTERNAL"]
    assert problems[1].message == "Slow."
    assert "request-1" in problems[2].message


async def test_a_series_of_a_provider_that_is_down_has_a_problem_for_each_day(
    harness: GatewayHarness,
):
    harness.reads.balance_answers["acct_yen"] = ProviderTimeout("Slow.")

    async with open_client(harness) as client:
        data = await client.data(SERIES % "2026-01-02")

    assert data["bankAccount"]["id"] == "acct_yen"
    assert data["bankAccount"]["balanceSeries"]["points"] == [
        {
            "day": day,
            "balance": None,
            "problem": {"code": "PROVIDER_TIMEOUT", "message": "Slow."},
        }
        for day in ("2026-01-01", "2026-01-02")
    ]


async def test_a_wrong_range_fails_only_the_series(harness: GatewayHarness):
    async with open_client(harness) as client:
        answer = await client.ask(SERIES % "2025-01-01")

    assert answer["data"] == {"bankAccount": {"id": "acct_yen", "balanceSeries": None}}
    assert answer["errors"][0]["extensions"]["field"] == "from"


async def test_the_outcomes_of_writes_stay_when_a_field_below_their_account_fails(
    harness: GatewayHarness,
):
    """Two applied writes once answered ``data: null`` because of a wrong range below them."""
    write = """upsertOpeningBalance(input: {accountId: "acct_yen",
      amount: {minorUnits: 5, currency: "JPY"}}) { __typename ... on OpeningBalanceApplied {
        bankAccount { id balanceHistory(from: "2026-02-01", to: "2026-01-01") { asOf }
          balanceSeries(from: "2026-02-01", to: "2026-01-01") { points { day } } } } }"""

    async with open_client(harness) as client:
        answer = await client.ask(f"mutation {{ one: {write} two: {write} }}", key=ADMIN)

    account = {"id": "acct_yen", "balanceHistory": None, "balanceSeries": None}
    outcome = {"__typename": "OpeningBalanceApplied", "bankAccount": account}
    assert answer["data"] == {"one": outcome, "two": outcome}
    assert len(harness.writer.requests) == 2
    assert len(answer["errors"]) == 4
