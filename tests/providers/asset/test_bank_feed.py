"""Asset's external accounts: which one is the account's, its state, times and latest balance."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.bank_feeds import BankFeed, BankFeedState, ReportedFigure
from balance_gateway.domain.errors import ProviderBadResponse, ProviderRejected
from balance_gateway.domain.secret import Secret
from tests.providers.asset.contract_case import CASE
from tests.providers.conftest import ProviderFactory, SandboxServer, make_account
from tests.providers.fake_servers import ACCESS_TOKEN, BUSINESS, LEDGER, FakeAssetServer, Reply

AT = "2023-11-07T05:31:56Z"
INSTANT = datetime(2023, 11, 7, 5, 31, 56, tzinfo=UTC)
#: The documented example, with the account's ledger.
ROW: dict[str, Any] = {
    "business_id": BUSINESS,
    "type": "business",
    "source": "plaid",
    "external_id": None,
    "disconnected_at": None,
    "last_synced_at": AT,
    "last_balanced_at": AT,
    "external_balance": 3512.85,
    "last_statement_end_date": AT,
    "id": "eac_Ns6rRRLYVZPh4cVB7MDby5",
    "ledger_id": LEDGER,
    "contribution_ledger_id": None,
    "distribution_ledger_id": None,
    "metadata_": {},
    "name": "ABC Business Checking",
    "mask": "1234",
    "linked_item_id": None,
    "status": "connected",
}
FEED = BankFeed(BankFeedState.CONNECTED, INSTANT, None, False, ReportedFigure(351_285, INSTANT))
OTHER_LEDGER = "ldg_00000000000000000000ab"


async def read(
    server: FakeAssetServer, make: ProviderFactory, *replies: Reply, **remote: str
) -> Any:
    server.reply_with(*replies)
    account = make_account(ProviderKind.ASSET, "USD")
    account = replace(account, remote={**account.remote, **remote})
    provider = make.asset(server.url, access_token=Secret(ACCESS_TOKEN))
    [feed] = await provider.bank_feeds([account])
    return feed


def listing(*rows: Any) -> Reply:
    return Reply(body={"data": list(rows)})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"status": "untracked"}, {"state": BankFeedState.UNTRACKED}),
        ({"status": "paused"}, {"state": BankFeedState.UNKNOWN}),
        ({"status": None}, {"state": BankFeedState.UNKNOWN}),
        ({"status": ["connected"]}, {"state": BankFeedState.UNKNOWN}),
        (
            {"status": "disconnected", "disconnected_at": AT},
            {
                "state": BankFeedState.DISCONNECTED,
                "disconnected_at": INSTANT,
                "needs_attention": True,
            },
        ),
        ({"disconnected_at": AT}, {}),
        ({"last_synced_at": None}, {"last_synced_at": None}),
        ({"external_balance": None}, {"latest": None}),
        ({"external_balance": 0}, {"latest": ReportedFigure(0, INSTANT)}),
        ({"external_balance": -1}, {"latest": ReportedFigure(-100, INSTANT)}),
        (
            {"last_balanced_at": "2023-11-09T00:00:00Z"},
            {"latest": ReportedFigure(351_285, INSTANT)},
        ),
        (
            {"last_balanced_at": None, "last_statement_end_date": None},
            {"latest": ReportedFigure(351_285, None)},
        ),
        (
            {"external_balance": 1.234},
            {
                "latest": None,
                "latest_problem": "external_balance has more decimals than USD allows",
            },
        ),
        (
            {"external_balance": "3512.85"},
            {"latest": None, "latest_problem": "external_balance is not a number"},
        ),
    ],
)
async def test_feed_has_the_documented_fields(
    changes: dict[str, Any],
    expected: dict[str, Any],
    fake_asset: FakeAssetServer,
    make: ProviderFactory,
) -> None:
    feed = await read(fake_asset, make, listing({**ROW, **changes}))

    assert feed == replace(FEED, **expected)
    assert [call.path for call in fake_asset.calls()] == [
        f"/v0/business/{BUSINESS}/external-account"
    ]


async def test_a_ledger_without_an_external_account_has_no_feed(
    fake_asset: FakeAssetServer, make: ProviderFactory
) -> None:
    assert await read(fake_asset, make, listing({**ROW, "ledger_id": None}, 7, None)) is None


@pytest.mark.parametrize(
    ("rows", "external_id", "problem"),
    [
        ([ROW, {**ROW, "id": "eac_other"}], None, "configure external_account_id"),
        ([ROW], "eac_missing", "no such external account"),
        ([ROW, ROW], ROW["id"], "several external accounts with this id"),
        ([{**ROW, "ledger_id": OTHER_LEDGER}], ROW["id"], "feeds another ledger"),
        ([{**ROW, "last_synced_at": "2023-11-07"}], None, "last_synced_at is not a date-time"),
    ],
)
async def test_a_doubtful_external_account_is_an_error_of_its_account(
    rows: list[Any],
    external_id: str | None,
    problem: str,
    fake_asset: FakeAssetServer,
    make: ProviderFactory,
) -> None:
    remote = {} if external_id is None else {"external_account_id": external_id}

    feed = await read(fake_asset, make, listing(*rows), **remote)

    assert isinstance(feed, ProviderBadResponse)
    assert problem in feed.message
    assert feed.account_id == "acct_1"


async def test_the_configured_external_account_is_chosen_among_several(
    fake_asset: FakeAssetServer, make: ProviderFactory
) -> None:
    other = {**ROW, "id": "eac_other", "last_synced_at": None}

    feed = await read(fake_asset, make, listing(ROW, other), external_account_id="eac_other")

    assert feed == replace(FEED, last_synced_at=None)


async def test_pages_are_followed_and_bounded(
    fake_asset: FakeAssetServer, make: ProviderFactory
) -> None:
    first = Reply(body={"data": [], "pagination": {"next_page_token": "t1"}})
    last = Reply(body={"data": [ROW], "pagination": {"next_page_token": None}})

    assert await read(fake_asset, make, first, last) == FEED
    assert [call.query for call in fake_asset.calls()] == [{}, {"page_token": "t1"}]
    with pytest.raises(ProviderBadResponse, match="more than 20 pages"):
        await read(fake_asset, make, *[first] * 21)


async def test_a_listing_that_is_not_offered_is_an_error(
    fake_asset: FakeAssetServer, make: ProviderFactory
) -> None:
    with pytest.raises(ProviderRejected):
        await read(fake_asset, make)


async def test_the_sandbox_changes_an_external_account(
    connect: Any, sandbox: SandboxServer
) -> None:
    path = f"feeds/asset/{CASE.operating.remote['ledger_id']}"
    sandbox.control("PUT", path, {"status": "disconnected", "disconnected_at": AT})

    changed, other = await connect("asset").bank_feeds([CASE.operating, CASE.owed])
    sandbox.control("PUT", path, {})
    [restored] = await connect("asset").bank_feeds([CASE.operating])

    assert (changed.state, changed.disconnected_at) == (BankFeedState.DISCONNECTED, INSTANT)
    assert other.state is restored.state is BankFeedState.CONNECTED
