"""The field ``balanceTotalsSeries``: a series per currency, with gaps; and grouped totals."""

from balance_gateway.api.request.limits import Limits
from balance_gateway.domain.balances import BalanceFigures
from balance_gateway.domain.errors import ProviderTimeout
from balance_gateway.domain.money import Money
from tests.api.fakes import DAY, GatewayHarness, account, observed, open_client

SERIES = """query ($from: Date!, $to: Date!, $step: HistoryStep, $filter: BankAccountFilter) {
  balanceTotalsSeries(from: $from, to: $to, step: $step, filter: $filter) {
    currency points { day total { currency included complete bank { amount } }
      problem { code message } } } }"""


async def test_each_currency_has_a_point_for_every_day_in_one_call(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data(SERIES, {"from": "2026-01-01", "to": "2026-01-03"})

    series = data["balanceTotalsSeries"]
    assert [each["currency"] for each in series] == ["EUR", "JPY", "KWD", "USD"]
    days = [[point["day"] for point in each["points"]] for each in series]
    assert days == [["2026-01-01", "2026-01-02", "2026-01-03"]] * 4
    assert series[0]["points"][1] == {
        "day": "2026-01-02",
        "total": {"currency": "EUR", "included": 2, "complete": True, "bank": {"amount": "200.00"}},
        "problem": None,
    }
    assert len(harness.reads.calls) == 1


async def test_a_day_without_any_balance_is_a_gap_with_its_reason(harness: GatewayHarness):
    harness.reads.balance_answers = {
        "acct_yen": ProviderTimeout("Slow.", account_id="acct_yen"),
        "acct_savings": ProviderTimeout("Slow.", account_id="acct_savings"),
        "acct_operating": observed(BalanceFigures(DAY, Money(7, "EUR"), None)),
    }

    async with open_client(harness) as client:
        data = await client.data(SERIES, {"from": "2026-01-01", "to": "2026-01-01"})

    points = {each["currency"]: each["points"][0] for each in data["balanceTotalsSeries"]}
    assert points["JPY"]["total"] is None
    assert points["JPY"]["problem"]["code"] == "PROVIDER_TIMEOUT"
    assert points["EUR"]["total"]["complete"] is False
    assert points["EUR"]["total"]["bank"] == {"amount": "0.07"}
    assert points["EUR"]["problem"] is None


async def test_no_accounts_are_no_series(harness: GatewayHarness):
    variables = {"from": "2026-01-01", "to": "2026-01-02", "filter": {"ids": []}}
    async with open_client(harness) as client:
        data = await client.data(SERIES, variables)

    assert data["balanceTotalsSeries"] == []


async def test_a_wrong_series_is_an_error_of_its_field_alone(harness: GatewayHarness):
    limits = Limits(totals_accounts=9)
    query = SERIES.replace(") {", ") { viewer { name }", 1)
    asked = [
        ("2026-01-02", "2026-01-01", "from", "BAD_USER_INPUT"),
        ("0001-01-01", "2026-01-01", "from", "BAD_USER_INPUT"),
        ("2026-01-01", "2029-01-01", "from", "BAD_USER_INPUT"),
        ("2026-01-01", "2026-01-03", "filter", "QUERY_TOO_EXPENSIVE"),
    ]
    for start, end, field, code in asked:
        async with open_client(harness, limits=limits) as client:
            answer = await client.ask(query, {"from": start, "to": end})

        assert answer["data"]["viewer"]["name"]
        assert answer["data"]["balanceTotalsSeries"] is None
        [error] = answer["errors"]
        assert error["path"] == ["balanceTotalsSeries"]
        assert (error["extensions"]["code"], error["extensions"]["field"]) == (code, field)
    assert harness.reads.calls == []


GROUPED = """query ($by: TotalGroup) {
  balanceTotals(groupBy: $by) { group currency included bank { amount } overlapping } }"""


async def test_totals_are_grouped_by_provider_or_connector():
    harness = GatewayHarness(
        [
            account("a"),
            account("b", connector="light_us"),
            account("c", connector="light_us", currency="USD"),
        ]
    )
    async with open_client(harness) as client:
        by_provider = await client.data(GROUPED, {"by": "PROVIDER"})
        by_connector = await client.data(GROUPED, {"by": "CONNECTOR"})
        ungrouped = await client.data(GROUPED)

    def summarize(data):
        return [
            (each["group"], each["currency"], each["included"]) for each in data["balanceTotals"]
        ]

    assert summarize(by_provider) == [("LIGHT", "EUR", 2), ("LIGHT", "USD", 1)]
    assert summarize(by_connector) == [
        ("light_eu", "EUR", 1), ("light_us", "EUR", 1), ("light_us", "USD", 1),
    ]  # fmt: skip
    assert summarize(ungrouped) == [(None, "EUR", 2), (None, "USD", 1)]
