"""Bank feeds: the side of the latest figure, and the days whose source is the last sync."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from balance_gateway.domain.accounts import Account, ProviderKind, Side
from balance_gateway.domain.bank_feeds import BankFeed, BankFeedState, ReportedFigure
from balance_gateway.domain.money import Money


def build_account(zone: str) -> Account:
    return Account("a", "t", "c", ProviderKind.ASSET, "A", "USD", ZoneInfo(zone))


def build_feed(last_synced_at: datetime | None) -> BankFeed:
    return BankFeed(BankFeedState.CONNECTED, last_synced_at, None, False, None)


@pytest.mark.parametrize(("side", "shown"), [(Side.DEBIT, 500), (Side.CREDIT, -500)])
def test_a_figure_on_the_normal_side_is_shown_from_the_holders(side: Side, shown: int) -> None:
    assert ReportedFigure(500, None).to_holder_amount(side, "USD") == Money(shown, "USD")


@pytest.mark.parametrize(
    ("zone", "first_day"),
    [("UTC", date(2026, 5, 8)), ("America/Los_Angeles", date(2026, 5, 7))],
)
def test_a_sync_is_the_source_from_its_day_in_the_accounts_zone(zone: str, first_day: date) -> None:
    synced_at = datetime(2026, 5, 8, 3, 30, tzinfo=UTC)
    feed, account = build_feed(synced_at), build_account(zone)

    found = {day: feed.find_sync_for(account, date(2026, 5, day)) for day in (6, 7, 8, 9)}

    assert found == {day: synced_at if day >= first_day.day else None for day in found}


def test_without_a_sync_no_day_has_a_source() -> None:
    assert build_feed(None).find_sync_for(build_account("UTC"), date(2026, 5, 8)) is None


def test_a_sync_at_the_end_of_the_calendar_is_no_source() -> None:
    feed = build_feed(datetime(9999, 12, 31, 23, tzinfo=UTC))

    assert feed.find_sync_for(build_account("Asia/Tokyo"), date(2026, 5, 8)) is None
