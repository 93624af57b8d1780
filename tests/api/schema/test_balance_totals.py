"""The field ``balanceTotals``: totals per currency, with missing accounts."""

from datetime import date
from zoneinfo import ZoneInfo

from balance_gateway.api.request.limits import Limits
from balance_gateway.domain.balances import BalanceFigures, MissingReason
from balance_gateway.domain.errors import ProviderTimeout
from balance_gateway.domain.money import Money
from balance_gateway.ports.reads import FreshnessState
from tests.api.fakes import DAY, GatewayHarness, account, observed, open_client

TOTALS = """query ($filter: BankAccountFilter, $asOf: Date) {
  balanceTotals(filter: $filter, asOf: $asOf) {
    currency complete included bankIncluded ledgerIncluded oldestObservedAt
    overlapping firstDay lastDay staleIncluded oldestSourcedAt
    bank { amount } ledger { minorUnits } missing { code reason bankAccount { id } } } }"""


async def test_totals_are_per_currency_and_read_in_one_call(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data(TOTALS, {"asOf": "2026-11-20"})

    assert [total["currency"] for total in data["balanceTotals"]] == ["EUR", "JPY", "KWD", "USD"]
    assert data["balanceTotals"][0]["bank"] == {"amount": "200.00"}
    assert data["balanceTotals"][0]["complete"] is True
    [requests] = harness.reads.calls
    assert {request.as_of for request in requests} == {DAY}


async def test_total_lists_missing_accounts_and_counts_known_balances(harness: GatewayHarness):
    harness.reads.balance_answers = {
        "acct_operating": ProviderTimeout("Slow.", account_id="acct_operating"),
        "acct_savings": observed(BalanceFigures(DAY, None, Money(10**30, "EUR")), age_s=60),
    }

    async with open_client(harness) as client:
        data = await client.data(TOTALS, {"filter": {"currencies": ["EUR"]}})

    [total] = data["balanceTotals"]
    assert total["complete"] is False
    assert (total["included"], total["bankIncluded"], total["ledgerIncluded"]) == (1, 0, 1)
    assert total["bank"] is None
    assert total["ledger"] == {"minorUnits": str(10**30)}
    assert total["missing"] == [
        {"code": "PROVIDER_TIMEOUT", "reason": None, "bankAccount": {"id": "acct_operating"}}
    ]
    assert total["oldestObservedAt"] == "2026-11-21T11:59:00Z"


async def test_total_names_days_staleness_and_what_it_left_out(harness: GatewayHarness):
    harness.reads.balance_answers = {
        account_id: observed(
            BalanceFigures(day, None, Money(500, "EUR"), remote_path=("one account",)),
            state=FreshnessState.STALE,
            stale_reason="down",
        )
        for account_id, day in (("acct_operating", DAY), ("acct_savings", date(2026, 1, 1)))
    }
    async with open_client(harness) as client:
        data = await client.data(TOTALS, {"filter": {"currencies": ["EUR"]}})

    [total] = data["balanceTotals"]
    assert (total["ledger"], total["included"]) == ({"minorUnits": "500"}, 1)
    assert (total["overlapping"], total["complete"]) == (["acct_savings"], True)
    assert (total["firstDay"], total["lastDay"]) == ("2026-11-20", "2026-11-20")
    assert (total["staleIncluded"], total["oldestSourcedAt"]) == (1, None)


async def test_account_without_a_balance_is_missing_with_its_reason(harness: GatewayHarness):
    harness.reads.balance_answers["acct_savings"] = observed(
        BalanceFigures(DAY, None, None, MissingReason.NOT_IN_FILE, MissingReason.NOT_IN_FILE)
    )
    async with open_client(harness) as client:
        data = await client.data(TOTALS, {"filter": {"currencies": ["EUR"]}})

    [total] = data["balanceTotals"]
    assert (total["complete"], total["included"]) == (False, 1)
    assert total["missing"] == [
        {
            "code": "UNSUPPORTED_BY_PROVIDER",
            "reason": "NOT_IN_FILE",
            "bankAccount": {"id": "acct_savings"},
        }
    ]


async def test_today_of_several_time_zones_is_named(harness: GatewayHarness):
    accounts = [
        account("acct_apia", time_zone=ZoneInfo("Pacific/Apia")),
        account("acct_lima", time_zone=ZoneInfo("America/Lima")),
    ]
    async with open_client(GatewayHarness(accounts)) as client:
        data = await client.data(TOTALS, {})

    [total] = data["balanceTotals"]
    assert (total["firstDay"], total["lastDay"]) == ("2026-11-21", "2026-11-22")


async def test_no_accounts_give_no_totals(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data(TOTALS, {"filter": {"ids": []}})

    assert data == {"balanceTotals": []}


async def test_totals_have_a_maximum_number_of_accounts():
    harness = GatewayHarness([account(f"a{index}") for index in range(4)])

    async with open_client(harness, limits=Limits(totals_accounts=3)) as client:
        answer = await client.ask(TOTALS, {})

    assert answer["data"] is None
    assert answer["errors"][0]["extensions"]["code"] == "QUERY_TOO_EXPENSIVE"
    assert "Use a filter" in answer["errors"][0]["message"]
    assert harness.reads.calls == []
