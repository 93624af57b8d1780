"""The fields ``bankFeed``, ``latestBank`` and ``sourcedAt``."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from balance_gateway.domain.accounts import Capability, Side
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource
from balance_gateway.domain.bank_feeds import BankFeed, BankFeedState, ReportedFigure
from balance_gateway.domain.errors import ProviderUnavailable, Unsupported
from balance_gateway.domain.money import Money
from balance_gateway.ports.reads import FreshnessState
from tests.api.fakes import GatewayHarness, account, observed, open_client

SYNCED_AT = datetime(2026, 11, 19, 23, 30, tzinfo=UTC)
FEED = BankFeed(
    state=BankFeedState.NEEDS_REPAIR,
    last_synced_at=SYNCED_AT,
    disconnected_at=datetime(2026, 11, 20, tzinfo=UTC),
    needs_attention=True,
    latest=ReportedFigure(500_00, datetime(2026, 11, 18, tzinfo=UTC)),
)
CARD = """{ bankAccount(id: "acct_card") {
  bankFeed { state lastSyncedAt disconnectedAt needsAttention freshness { state sourcedAt } }
  latestBank { amount { amount currency } reportedAt freshness { state staleReason } } } }"""
WITH_FEED = frozenset({Capability.READ_BANK_FEED})


def build_harness(**changes: Any) -> GatewayHarness:
    """Build a harness with a card in US dollars and an account whose provider has no feeds."""
    facts: dict[str, Any] = {"currency": "USD", "capabilities": WITH_FEED, **changes}
    harness = GatewayHarness([account("acct_card", **facts), account("acct_plain")])
    harness.reads.feed_answers["acct_card"] = observed(FEED)
    harness.reads.sides["acct_card"] = Side.CREDIT
    return harness


async def ask(harness: GatewayHarness, query: str) -> Any:
    async with open_client(harness) as client:
        return await client.ask(query)


async def test_feed_and_latest_balance_are_shown_from_the_holders_side() -> None:
    harness = build_harness()

    answer = await ask(harness, CARD)

    assert answer == {
        "data": {
            "bankAccount": {
                "bankFeed": {
                    "state": "NEEDS_REPAIR",
                    "lastSyncedAt": "2026-11-19T23:30:00Z",
                    "disconnectedAt": "2026-11-20T00:00:00Z",
                    "needsAttention": True,
                    "freshness": {"state": "LIVE", "sourcedAt": None},
                },
                "latestBank": {
                    "amount": {"amount": "-500.00", "currency": "USD"},
                    "reportedAt": "2026-11-18T00:00:00Z",
                    "freshness": {"state": "LIVE", "staleReason": None},
                },
            }
        }
    }
    assert harness.reads.calls == []


async def test_a_stale_feed_is_labelled() -> None:
    harness = build_harness(normal_balance=Side.DEBIT)
    stale = {"state": FreshnessState.STALE, "stale_reason": "Down."}
    harness.reads.feed_answers["acct_card"] = observed(FEED, 400, **stale)

    answer = await ask(harness, CARD)

    latest = answer["data"]["bankAccount"]["latestBank"]
    assert latest["amount"]["amount"] == "500.00"
    assert latest["freshness"] == {"state": "STALE", "staleReason": "Down."}
    assert harness.reads.side_calls == []


async def test_without_the_capability_the_fields_are_null_without_a_call() -> None:
    harness = build_harness()

    answer = await ask(
        harness,
        """{ bankAccount(id: "acct_plain") { bankFeed { state } latestBank { reportedAt }
        balance { freshness { sourcedAt } } } }""",
    )

    nothing = {"bankFeed": None, "latestBank": None, "balance": {"freshness": {"sourcedAt": None}}}
    assert answer == {"data": {"bankAccount": nothing}}
    assert harness.reads.feed_calls == []


@pytest.mark.parametrize("feed", [None, replace(FEED, latest=None)])
async def test_no_latest_balance_is_null_without_an_error(feed: BankFeed | None) -> None:
    harness = build_harness()
    harness.reads.feed_answers["acct_card"] = observed(feed)

    answer = await ask(harness, CARD)

    assert answer["data"]["bankAccount"]["latestBank"] is None
    assert (answer["data"]["bankAccount"]["bankFeed"] is None) == (feed is None)
    assert "errors" not in answer
    assert harness.reads.side_calls == []


async def test_an_unknown_side_is_an_error_of_the_latest_balance_only() -> None:
    harness = build_harness()
    harness.reads.sides["acct_card"] = Unsupported("Configure normal_balance.")

    answer = await ask(harness, CARD)

    assert answer["data"]["bankAccount"]["latestBank"] is None
    assert answer["data"]["bankAccount"]["bankFeed"]["state"] == "NEEDS_REPAIR"
    [error] = answer["errors"]
    assert error["path"] == ["bankAccount", "latestBank"]
    assert error["extensions"]["code"] == "UNSUPPORTED_BY_PROVIDER"


async def test_an_unusable_latest_balance_is_an_error_of_its_field_only() -> None:
    harness = build_harness()
    broken = replace(FEED, latest=None, latest_problem="external_balance is not a number")
    harness.reads.feed_answers["acct_card"] = observed(broken)

    answer = await ask(harness, CARD)

    assert answer["data"]["bankAccount"]["bankFeed"]["state"] == "NEEDS_REPAIR"
    [error] = answer["errors"]
    assert error["path"] == ["bankAccount", "latestBank"]
    assert "external_balance is not a number" in error["message"]
    assert error["extensions"]["code"] == "PROVIDER_BAD_RESPONSE"
    assert error["extensions"]["accountId"] == "acct_card"


async def test_a_failed_listing_costs_no_figure() -> None:
    harness = build_harness()
    harness.reads.feed_answers["acct_card"] = ProviderUnavailable("Down.")

    answer = await ask(
        harness,
        """{ bankAccount(id: "acct_card") { name bankFeed { state } latestBank { reportedAt }
        balance { ledger { amount } freshness { state sourcedAt } } } }""",
    )

    assert answer["data"]["bankAccount"] == {
        "name": "acct card",
        "bankFeed": None,
        "latestBank": None,
        "balance": {
            "ledger": {"amount": "90.00"},
            "freshness": {"state": "LIVE", "sourcedAt": None},
        },
    }
    assert sorted(error["path"][-1] for error in answer["errors"]) == [
        "bankFeed", "latestBank", "sourcedAt",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        ("UTC", "2026-11-18", None),
        ("UTC", "2026-11-19", "2026-11-19T23:30:00Z"),
        ("UTC", "2026-11-25", "2026-11-19T23:30:00Z"),
        ("Asia/Tokyo", "2026-11-19", None),
        ("Asia/Tokyo", "2026-11-20", "2026-11-19T23:30:00Z"),
    ],
)
async def test_sourced_at_is_the_last_sync_from_its_day_on(
    zone: str, day: str, expected: str | None
) -> None:
    harness = build_harness(time_zone=ZoneInfo(zone))

    answer = await ask(
        harness,
        f"""{{ bankAccount(id: "acct_card") {{
        balance(asOf: "{day}") {{ freshness {{ sourcedAt }} }} }} }}""",
    )

    assert answer["data"]["bankAccount"]["balance"]["freshness"] == {"sourcedAt": expected}


async def test_each_day_of_a_history_has_its_own_source() -> None:
    harness = build_harness()

    answer = await ask(
        harness,
        """{ bankAccount(id: "acct_card") { balanceHistory(from: "2026-11-18", to: "2026-11-20") {
        freshness { sourcedAt } } } }""",
    )

    sources = [
        each["freshness"]["sourcedAt"] for each in answer["data"]["bankAccount"]["balanceHistory"]
    ]
    assert sources == [None, "2026-11-19T23:30:00Z", "2026-11-19T23:30:00Z"]
    assert harness.reads.feed_calls == [["acct_card"]]


async def test_an_opening_balance_has_no_source_and_needs_no_call() -> None:
    harness = build_harness()
    opening = OpeningBalance(Money(1, "USD"), None, OpeningBalanceSource.PROVIDER)
    harness.reads.opening_answers["acct_card"] = observed(opening)

    answer = await ask(
        harness,
        '{ bankAccount(id: "acct_card") { openingBalance { freshness { sourcedAt } } } }',
    )

    assert answer["data"]["bankAccount"]["openingBalance"]["freshness"] == {"sourcedAt": None}
    assert harness.reads.feed_calls == []


async def test_all_accounts_of_a_response_are_one_batch() -> None:
    harness = build_harness()
    fields = "bankFeed { state } latestBank { reportedAt }"
    ids = '["acct_card", "acct_card"]'

    await ask(harness, f"{{ nodes(ids: {ids}) {{ ... on BankAccount {{ {fields} }} }} }}")

    assert harness.reads.feed_calls == [["acct_card"], ["acct_card"]]


async def test_freshness_without_sourced_at_asks_for_no_feed() -> None:
    harness = build_harness()

    await ask(harness, '{ bankAccount(id: "acct_card") { balance { freshness { state } } } }')

    assert harness.reads.feed_calls == []


TOTAL = '{ balanceTotals(asOf: "%s") { currency included oldestSourcedAt } }'


async def test_a_total_has_the_oldest_sync_of_its_balances() -> None:
    harness = build_harness()
    harness.reads.feed_answers["acct_card"] = observed(replace(FEED, last_synced_at=SYNCED_AT))

    after = await ask(harness, TOTAL % "2026-11-19")
    before = await ask(harness, TOTAL % "2026-11-18")

    found = [
        {one["currency"]: one["oldestSourcedAt"] for one in answer["data"]["balanceTotals"]}
        for answer in (after, before)
    ]
    assert found[0]["USD"] == "2026-11-19T23:30:00Z"
    assert found[1]["USD"] is None


async def test_a_feed_that_cannot_be_read_costs_a_total_its_oldest_sync_only() -> None:
    harness = build_harness()
    harness.reads.feed_answers["acct_card"] = ProviderUnavailable("Down.")

    answer = await ask(harness, TOTAL % "2026-11-19")

    totals = {one["currency"]: one for one in answer["data"]["balanceTotals"]}
    assert (totals["USD"]["included"], totals["USD"]["oldestSourcedAt"]) == (1, None)
    [error] = answer["errors"]
    assert error["path"][-1] == "oldestSourcedAt"
    assert error["extensions"]["code"] == "PROVIDER_UNAVAILABLE"
