"""Layer's external accounts: state, times and latest balance, in both envelopes."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.bank_feeds import BankFeed, BankFeedState, ReportedFigure
from balance_gateway.domain.errors import ProviderBadResponse, ProviderRejected
from balance_gateway.domain.secret import Secret
from tests.providers.conftest import ProviderFactory, SandboxServer, make_account
from tests.providers.fake_servers import (
    ACCESS_TOKEN,
    EXTERNAL,
    LAYER_BUSINESS,
    FakeLayerServer,
    Reply,
)
from tests.providers.layer.contract_case import CASE

AT, CREATED = "2023-11-07T05:31:56Z", "2023-11-08T01:00:00Z"
INSTANT = datetime(2023, 11, 7, 5, 31, 56, tzinfo=UTC)
CREATED_AT = datetime(2023, 11, 8, 1, tzinfo=UTC)
BALANCE = {"external_account_source": "UNIT", "balance": 123, "at": AT, "created_at": CREATED}
#: The documented example while the link works.
ROW: dict[str, Any] = {
    "id": EXTERNAL,
    "external_account_source": "UNIT",
    "latest_balance_timestamp": BALANCE,
    "current_ledger_balance": 999,
    "notifications": [],
    "connection_needs_repair_as_of": None,
    "reconnect_with_new_credentials": False,
    "requires_user_confirmation_as_of": None,
    "is_syncing": False,
    "archived_at": None,
}
FEED = BankFeed(BankFeedState.CONNECTED, CREATED_AT, None, False, ReportedFigure(123, INSTANT))
BROKEN = {"state": BankFeedState.NEEDS_REPAIR, "needs_attention": True}


async def read(server: FakeLayerServer, make: ProviderFactory, *replies: Reply) -> Any:
    server.reply_with(*replies)
    provider = make.layer(server.url, access_token=Secret(ACCESS_TOKEN))
    [feed] = await provider.bank_feeds([make_account(ProviderKind.LAYER, "USD")])
    return feed


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"is_syncing": True}, {"state": BankFeedState.SYNCING}),
        ({"connection_needs_repair_as_of": AT}, {**BROKEN, "disconnected_at": INSTANT}),
        ({"reconnect_with_new_credentials": True, "is_syncing": True}, BROKEN),
        ({"requires_user_confirmation_as_of": AT}, {"needs_attention": True}),
        ({"notifications": [{"type": "OPENING_BALANCE_MISSING"}]}, {"needs_attention": True}),
        (
            {"archived_at": AT, "connection_needs_repair_as_of": CREATED},
            {
                "state": BankFeedState.DISCONNECTED,
                "disconnected_at": INSTANT,
                "needs_attention": True,
            },
        ),
        ({"latest_balance_timestamp": None}, {"last_synced_at": None, "latest": None}),
        (
            {"latest_balance_timestamp": {**BALANCE, "created_at": None}},
            {"last_synced_at": INSTANT},
        ),
        (
            {"latest_balance_timestamp": {**BALANCE, "balance": 2**63}},
            {"latest": ReportedFigure(2**63, INSTANT)},
        ),
        (
            {"latest_balance_timestamp": {**BALANCE, "balance": 1.5}},
            {"latest": None, "latest_problem": "balance is not an integer"},
        ),
        # Older captures of the page list these fields only.
        (dict.fromkeys(("notifications", "is_syncing", "reconnect_with_new_credentials")), {}),
    ],
)
@pytest.mark.parametrize("in_data", [False, True])
async def test_feed_has_the_documented_fields(
    changes: dict[str, Any],
    expected: dict[str, Any],
    in_data: bool,
    fake_layer: FakeLayerServer,
    make: ProviderFactory,
) -> None:
    rows = [7, {"id": None}, {**ROW, **changes}]

    feed = await read(fake_layer, make, Reply(body={"data": rows} if in_data else rows))

    assert feed == replace(FEED, **expected)
    assert [call.path for call in fake_layer.calls()] == [
        f"/v1/businesses/{LAYER_BUSINESS}/external-accounts"
    ]


async def test_another_spelling_of_the_id_is_the_same_account(
    fake_layer: FakeLayerServer, make: ProviderFactory
) -> None:
    row = {**ROW, "id": {"type": "ExternalAccountId", "id": EXTERNAL.upper()}}

    assert await read(fake_layer, make, Reply(body=[row])) == FEED


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([], "no external account with this id"),
        ([ROW, ROW], "several external accounts with this id"),
        ([{**ROW, "is_syncing": "yes"}], "is_syncing is not a boolean"),
        ([{**ROW, "archived_at": 7}], "archived_at is not a string"),
    ],
)
async def test_a_doubtful_external_account_is_an_error_of_its_account(
    rows: list[Any], problem: str, fake_layer: FakeLayerServer, make: ProviderFactory
) -> None:
    feed = await read(fake_layer, make, Reply(body=rows))

    assert isinstance(feed, ProviderBadResponse)
    assert problem in feed.message
    assert feed.account_id == "acct_1"


async def test_pages_are_followed_and_bounded(
    fake_layer: FakeLayerServer, make: ProviderFactory
) -> None:
    first = Reply(body={"data": [], "meta": {"pagination": {"has_more": True, "cursor": "c1"}}})
    last = Reply(body={"data": [ROW], "meta": {"pagination": {"has_more": False}}})

    assert await read(fake_layer, make, first, last) == FEED
    assert [call.query for call in fake_layer.calls()] == [{}, {"cursor": "c1"}]
    with pytest.raises(ProviderBadResponse, match="more than 20 pages"):
        await read(fake_layer, make, *[first] * 21)


async def test_errors_with_200_fail_the_listing(
    fake_layer: FakeLayerServer, make: ProviderFactory
) -> None:
    with pytest.raises(ProviderRejected):
        await read(fake_layer, make, Reply(body={"errors": [{"type": "BadRequest"}]}))


async def test_the_sandbox_changes_an_external_account(
    connect: Any, sandbox: SandboxServer
) -> None:
    path = f"feeds/layer/{CASE.operating.remote['external_account_id']}"
    sandbox.control("PUT", path, {"connection_needs_repair_as_of": AT})

    changed, other = await connect("layer").bank_feeds([CASE.operating, CASE.owed])

    assert (changed.state, changed.disconnected_at) == (BankFeedState.NEEDS_REPAIR, INSTANT)
    assert other.state is BankFeedState.CONNECTED
