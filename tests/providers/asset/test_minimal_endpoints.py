"""Asset's adapter needs no endpoint except those of its opening-balance and token pages."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind, Side
from balance_gateway.domain.errors import (
    BadInput,
    ProviderCredentialsRejected,
)
from balance_gateway.domain.money import Money
from tests.providers.conftest import make_account, make_write
from tests.providers.fake_servers import FakeAssetServer, Reply

ASSET = make_account(ProviderKind.ASSET, normal_balance=Side.DEBIT)
WITHOUT_SIDE = make_account(ProviderKind.ASSET)


async def test_asset_write_requires_only_documented_endpoint(
    make: Any, fake_asset: FakeAssetServer
) -> None:
    stored = await make.asset(fake_asset.url).set_opening_balance(
        make_write(ASSET, -123456, effective_at=None)
    )

    [put] = fake_asset.calls("PUT")
    assert put.json() == {"amount": "-1234.56"}
    assert stored.amount == Money(-123456, "EUR")
    assert stored.effective_at is None


@pytest.mark.parametrize(
    ("currency", "minor_units", "text"),
    [
        ("USD", 0, "0.00"),
        ("USD", 5, "0.05"),
        ("USD", 100_000, "1000.00"),
        ("JPY", 1000, "1000"),
        ("KWD", -1, "-0.001"),
        ("CLF", 10_001, "1.0001"),
        ("USD", 10**25 + 1, "1" + "0" * 22 + "0.01"),
    ],
)
async def test_asset_amounts_are_sent_as_plain_text_without_loss(
    make: Any, fake_asset: FakeAssetServer, currency: str, minor_units: int, text: str
) -> None:
    account = make_account(ProviderKind.ASSET, currency, normal_balance=Side.DEBIT)

    stored = await make.asset(fake_asset.url).set_opening_balance(
        make_write(account, minor_units, effective_at=None)
    )

    [put] = fake_asset.calls()
    assert put.json() == {"amount": text}
    assert stored.amount == Money(minor_units, currency)


async def test_asset_credit_normal_ledger_gets_the_opposite_sign(
    make: Any, fake_asset: FakeAssetServer
) -> None:
    """'Positive values represent the normal balance side of the ledger.'"""
    card = make_account(ProviderKind.ASSET, normal_balance=Side.CREDIT)

    stored = await make.asset(fake_asset.url).set_opening_balance(
        make_write(card, -50000, effective_at=None)
    )

    assert fake_asset.amount == Decimal("500.00")
    assert stored.amount == Money(-50000, "EUR")


async def test_asset_write_with_unverifiable_date_is_rejected(
    make: Any, fake_asset: FakeAssetServer
) -> None:
    with pytest.raises(BadInput) as caught:
        await make.asset(fake_asset.url).set_opening_balance(make_write(ASSET, 1))

    assert caught.value.field == "effectiveAt"
    assert fake_asset.calls("PUT") == []


async def test_asset_date_is_compared_with_configured_entries_start(
    make: Any, fake_asset: FakeAssetServer
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    asset = make.asset(fake_asset.url, entries_start=start)

    same = datetime.fromisoformat("2025-12-31T19:00:00-05:00")
    stored = await asset.set_opening_balance(make_write(ASSET, 1, effective_at=same))
    with pytest.raises(BadInput, match="2026-01-01T00:00:00Z"):
        await asset.set_opening_balance(
            make_write(ASSET, 2, effective_at=datetime(2026, 1, 2, tzinfo=UTC))
        )

    assert stored.effective_at == start
    assert len(fake_asset.calls("PUT")) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, ProviderCredentialsRejected), (403, ProviderCredentialsRejected)],
)
async def test_asset_forbidden_side_read_suggests_configuring_it(
    make: Any, fake_asset: FakeAssetServer, status: int, error: type[Exception]
) -> None:
    fake_asset.reply_with(*[Reply(status, {"error": "no", "data": None})] * 2)

    with pytest.raises(error, match="normal_balance") as caught:
        await make.asset(fake_asset.url).set_opening_balance(
            make_write(WITHOUT_SIDE, 1, effective_at=None)
        )

    assert not caught.value.maybe_applied  # type: ignore[attr-defined]
    assert fake_asset.calls("PUT") == []
