"""Asset's normal side is configured, learned or remembered; it is never assumed."""

from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind, Side
from balance_gateway.domain.errors import GatewayError, ProviderBadResponse, SideUnknown
from tests.providers.conftest import MemorySides, make_account, make_write
from tests.providers.fake_servers import FakeAssetServer, Reply

ASSET = make_account(ProviderKind.ASSET)


@pytest.mark.parametrize("status", [404, 405])
async def test_write_with_an_unknown_side_is_not_sent(
    make: Any, fake_asset: FakeAssetServer, status: int
) -> None:
    """The side was once taken as debit: −500.00 owed by a card was sent as −500.00."""
    fake_asset.reply_with(Reply(status, {}))

    with pytest.raises(SideUnknown, match="normal_balance") as caught:
        await make.asset(fake_asset.url).set_opening_balance(
            make_write(ASSET, -500_00, effective_at=None)
        )

    assert caught.value.account_id == ASSET.id
    assert fake_asset.calls("PUT") == []


@pytest.mark.parametrize("status", [403, 404, 503])
async def test_write_uses_the_remembered_side_while_asset_cannot_be_asked(
    make: Any, fake_asset: FakeAssetServer, status: int
) -> None:
    sides = MemorySides()
    fake_asset.reply_with(Reply(200, {"data": {"debit_credit": "credit"}}))
    first = make.asset(fake_asset.url, dependencies={"sides": sides})
    assert await first.normal_balance(ASSET) is Side.CREDIT
    fake_asset.reply_with(Reply(status, {}))
    restarted = make.asset(fake_asset.url, dependencies={"sides": sides})

    await restarted.set_opening_balance(make_write(ASSET, -500_00, effective_at=None))

    [put] = fake_asset.calls("PUT")
    assert put.json() == {"amount": "500.00"}


@pytest.mark.parametrize("side", ["both", "DEBIT", None, 5])
async def test_unreadable_side_is_an_error_whatever_is_remembered(
    make: Any, fake_asset: FakeAssetServer, side: Any
) -> None:
    fake_asset.reply_with(Reply(200, {"data": {"debit_credit": side}}))
    sides = MemorySides({ASSET.id: Side.CREDIT})

    with pytest.raises(ProviderBadResponse):
        await make.asset(fake_asset.url, dependencies={"sides": sides}).normal_balance(ASSET)


async def test_configured_side_is_neither_asked_nor_remembered(
    make: Any, fake_asset: FakeAssetServer
) -> None:
    sides = MemorySides()
    asset = make.asset(fake_asset.url, dependencies={"sides": sides})
    configured = make_account(ProviderKind.ASSET, normal_balance=Side.CREDIT)

    assert await asset.normal_balance(configured) is Side.CREDIT
    assert (fake_asset.received, sides.written) == ([], [])


async def test_malformed_ids_are_an_error_and_nothing_is_sent(
    make: Any, fake_asset: FakeAssetServer
) -> None:
    account = make_account(ProviderKind.ASSET, remote={"business_id": "../x", "ledger_id": "l"})

    with pytest.raises(GatewayError, match="business_id"):
        await make.asset(fake_asset.url).normal_balance(account)

    assert fake_asset.received == []
