"""The field ``balanceTotals``: totals per currency, with missing accounts."""

from balance_gateway.api.request.limits import Limits
from balance_gateway.domain.balances import BalanceFigures
from balance_gateway.domain.errors import ProviderTimeout
from balance_gateway.domain.money import Money
from tests.api.fakes import DAY, GatewayHarness, account, observed, open_client

TOTALS = """query ($filter: BankAccountFilter, $asOf: Date) {
  balanceTotals(filter: $filter, asOf: $asOf) {
    currency complete included bankIncluded ledgerIncluded oldestObservedAt
    bank { amount } ledger { minorUnits } missing { code bankAccount { id } } } }"""


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
        {"code": "PROVIDER_TIMEOUT", "bankAccount": {"id": "acct_operating"}}
    ]
    assert total["oldestObservedAt"] == "2026-11-21T11:59:00Z"


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
