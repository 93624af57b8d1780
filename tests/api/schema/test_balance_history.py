"""The field ``BankAccount.balanceHistory``: days, bounds, failures."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance_gateway.api.schema.history import HistoryStep, count_days, list_days
from balance_gateway.domain.errors import BadInput, ProviderTimeout
from tests.api.fakes import GatewayHarness, open_client

QUERY = """query ($from: Date!, $to: Date!, $step: HistoryStep) {
  bankAccounts { nodes { id balanceHistory(from: $from, to: $to, step: $step) { asOf } } } }"""


@given(
    st.dates(min_value=date(1900, 1, 1), max_value=date(2200, 1, 1)),
    st.integers(min_value=0, max_value=4000),
    st.sampled_from(HistoryStep),
)
def test_days_ascend_include_both_ends_and_are_bounded(start, length, step):
    end = start + timedelta(days=length)

    if count_days(start, end, step) > 366:
        with pytest.raises(BadInput, match="at most 366 days"):
            list_days(start, end, step, 366)
        return

    days = list_days(start, end, step, 366)

    assert days[0] == start
    assert days[-1] == end
    assert days == sorted(set(days))
    assert len(days) <= 366
    assert len(days) == count_days(start, end, step)


def test_month_steps_keep_the_day_or_use_the_last_day():
    days = list_days(date(2026, 1, 31), date(2026, 5, 5), HistoryStep.MONTH, 366)

    assert [str(day) for day in days] == [
        "2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-05",
    ]  # fmt: skip


async def test_all_days_of_all_accounts_are_read_in_one_call(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data(QUERY, {"from": "2026-01-01", "to": "2026-01-31"})

    assert len(harness.reads.calls) == 1
    assert len(harness.reads.calls[0]) == 31 * 5
    node = data["bankAccounts"]["nodes"][0]
    assert [point["asOf"] for point in node["balanceHistory"]][:2] == ["2026-01-01", "2026-01-02"]


@pytest.mark.parametrize(
    ("start", "end", "step"),
    [("2026-01-02", "2026-01-01", "DAY"), ("2020-01-01", "2026-01-01", "DAY"),
     ("1000-01-01", "2026-01-01", "MONTH"), ("0001-01-01", "0001-01-02", "DAY")],
)  # fmt: skip
async def test_invalid_range_error_names_from(harness: GatewayHarness, start, end, step):
    async with open_client(harness) as client:
        answer = await client.ask(
            "query ($from: Date!, $to: Date!, $step: HistoryStep) { bankAccount(id: "
            '"acct_yen") { balanceHistory(from: $from, to: $to, step: $step) { asOf } } }',
            {"from": start, "to": end, "step": step},
        )

    assert answer["data"] == {"bankAccount": {"balanceHistory": None}}
    assert answer["errors"][0]["extensions"]["field"] == "from"
    assert harness.reads.calls == []


async def test_failed_day_nulls_only_its_history(harness: GatewayHarness):
    harness.reads.balance_answers["acct_card"] = ProviderTimeout("Slow.", account_id="acct_card")

    async with open_client(harness) as client:
        answer = await client.ask(QUERY, {"from": "2026-01-01", "to": "2026-01-03"})

    nodes = answer["data"]["bankAccounts"]["nodes"]
    assert [node["balanceHistory"] is None for node in nodes] == [True, False, False, False, False]
    [error] = answer["errors"]
    assert error["path"] == ["bankAccounts", "nodes", 0, "balanceHistory"]
    assert error["extensions"]["code"] == "PROVIDER_TIMEOUT"
