"""Adapters against fake servers with only the endpoints of the balance pages."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind, Side
from balance_gateway.domain.balances import BalanceFigures, OpeningBalanceSource
from balance_gateway.domain.errors import (
    BadInput,
    ProviderCredentialsRejected,
    ProviderRejected,
    Unsupported,
)
from balance_gateway.domain.money import Money
from balance_gateway.domain.secret import Secret
from tests.providers import fake_servers
from tests.providers.conftest import make_account, make_query, make_write
from tests.providers.fake_servers import FakeAssetServer, FakeLayerServer, FakeLightServer, Reply

LIGHT = make_account(ProviderKind.LIGHT)
ASSET = make_account(ProviderKind.ASSET)
LAYER = make_account(ProviderKind.LAYER)


async def test_light_read_returns_both_balances(make: Any, fake_light: FakeLightServer) -> None:
    [figures] = await make.light(fake_light.url).balances([make_query(LIGHT, "2026-05-07")])

    assert figures == BalanceFigures(date(2026, 5, 7), Money(12500, "EUR"), Money(9000, "EUR"))


async def test_light_read_sends_raw_key_and_explicit_day(
    make: Any, fake_light: FakeLightServer
) -> None:
    await make.light(fake_light.url).balances([make_query(LIGHT, "2026-05-07")])

    [call] = fake_light.calls()
    assert call.headers["authorization"] == f"Basic {fake_servers.API_KEY}"
    assert call.query == {"asOf": "2026-05-07"}
    assert call.headers["content-type"] == "application/json;charset=UTF-8"


async def test_light_accepts_access_token_instead_of_key(
    make: Any, fake_light: FakeLightServer
) -> None:
    light = make.light(fake_light.url, access_token=Secret(fake_servers.ACCESS_TOKEN))

    await light.balances([make_query(LIGHT, "2026-05-07")])

    assert fake_light.calls()[0].headers["authorization"] == f"Bearer {fake_servers.ACCESS_TOKEN}"


@pytest.mark.parametrize("bank", [None, 0, -5, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)])
async def test_light_null_zero_and_large_balances_are_distinct(
    make: Any, fake_light: FakeLightServer, bank: int | None
) -> None:
    fake_light.opening = bank

    [figures] = await make.light(fake_light.url).balances([make_query(LIGHT, "2026-05-07")])

    assert figures.bank == (None if bank is None else Money(bank, "EUR"))


async def test_light_write_sends_instant_in_utc(make: Any, fake_light: FakeLightServer) -> None:
    at = datetime.fromisoformat("2026-01-01T01:30:00.250000+02:00")

    stored = await make.light(fake_light.url).set_opening_balance(
        make_write(LIGHT, 2**53 + 1, effective_at=at)
    )

    [call] = fake_light.calls()
    assert call.json() == {"balance": 2**53 + 1, "balanceAt": "2025-12-31T23:30:00.250000Z"}
    assert stored.amount == Money(2**53 + 1, "EUR")
    assert stored.effective_at == at
    assert stored.source is OpeningBalanceSource.PROVIDER


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_light_accepts_any_2xx(make: Any, fake_light: FakeLightServer, status: int) -> None:
    """The page declares its responses as `default` only."""
    body = {"bankAccountId": fake_servers.LIGHT_ID.upper(), "balance": 1}
    fake_light.reply_with(Reply(status, body | {"balanceAt": "2026-01-01T00:00:00Z"}))

    stored = await make.light(fake_light.url).set_opening_balance(make_write(LIGHT, 1))

    assert stored.amount.minor_units == 1


@pytest.mark.parametrize("amount", [2**63, -(2**63) - 1])
async def test_light_amount_outside_int64_is_never_sent(
    make: Any, fake_light: FakeLightServer, amount: int
) -> None:
    with pytest.raises(BadInput) as caught:
        await make.light(fake_light.url).set_opening_balance(make_write(LIGHT, amount))

    assert caught.value.field == "amount"
    assert fake_light.received == []


async def test_light_opening_balance_requires_configured_day(
    make: Any, fake_light: FakeLightServer
) -> None:
    light = make.light(fake_light.url)
    configured = make_account(ProviderKind.LIGHT, derive_opening_balance_as_of=date(2025, 12, 31))

    with pytest.raises(Unsupported, match="derive_opening_balance_as_of"):
        await light.opening_balance(LIGHT)
    derived = await light.opening_balance(configured)
    fake_light.opening = None

    assert derived.amount == Money(12500, "EUR")
    assert (derived.source, derived.effective_at) == (OpeningBalanceSource.DERIVED, None)
    assert fake_light.calls()[0].query == {"asOf": "2025-12-31"}
    assert await light.opening_balance(configured) is None


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
            make_write(ASSET, 1, effective_at=None)
        )

    assert not caught.value.maybe_applied  # type: ignore[attr-defined]
    assert fake_asset.calls("PUT") == []


async def test_layer_opening_balance_has_every_documented_field(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    opening = await make.layer(fake_layer.url).opening_balance(LAYER)

    assert opening.amount == Money(432100, "EUR")
    assert opening.effective_at == datetime(2023, 11, 7, 5, 31, 56, tzinfo=UTC)
    assert opening.created_at == datetime(2023, 11, 7, 5, 31, 57, tzinfo=UTC)
    assert opening.updated_at == datetime(2023, 11, 8, 5, 31, 58, tzinfo=UTC)
    assert (opening.memo, opening.reference_number) == ("<string>", "<string>")
    assert opening.metadata == fake_layer.opening["metadata"]
    [tag] = opening.tags
    assert (tag.key, tag.value) == ("ExampleTagKey", "ExampleTagValue")
    assert tag.archived_at == datetime(2023, 11, 7, 5, 31, 56, tzinfo=UTC)


@pytest.mark.parametrize("status", [200, 400, 404])
@pytest.mark.parametrize("listed", [False, True])
async def test_layer_no_opening_balance_found_is_none(
    make: Any, fake_layer: FakeLayerServer, status: int, listed: bool
) -> None:
    """The enum is stable; no page documents its status."""
    error = {"type": "BadRequest", "description": "", "error_enum": "NoOpeningBalanceFound"}
    fake_layer.reply_with(Reply(status, {"errors": [error]} if listed else error))

    assert await make.layer(fake_layer.url).opening_balance(LAYER) is None


async def test_layer_other_404_is_an_error_with_provider_code(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    error = {"type": "ResourceNotFound", "description": "x", "error_enum": "SpecifiedIdNotFound"}
    fake_layer.reply_with(Reply(404, error))

    with pytest.raises(ProviderRejected) as caught:
        await make.layer(fake_layer.url).opening_balance(LAYER)

    assert caught.value.provider_code == "SpecifiedIdNotFound"


async def test_layer_errors_with_200_are_a_failure(make: Any, fake_layer: FakeLayerServer) -> None:
    error = {"type": "InvalidState", "description": "x", "error_enum": None}
    fake_layer.reply_with(Reply(200, {"data": fake_layer.opening, "errors": [error]}))

    with pytest.raises(ProviderRejected):
        await make.layer(fake_layer.url).opening_balance(LAYER)


async def test_layer_reads_bare_and_wrapped_envelope(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    layer = make.layer(fake_layer.url)
    bare = await layer.opening_balance(LAYER)
    data = {"type": "Opening_Balance", **fake_layer.opening}
    fake_layer.reply_with(Reply(200, {"data": data, "meta": {}}))

    assert await layer.opening_balance(LAYER) == bare


async def test_layer_credit_account_opens_negative(make: Any, fake_layer: FakeLayerServer) -> None:
    card = make_account(ProviderKind.LAYER, normal_balance=Side.CREDIT)

    opening = await make.layer(fake_layer.url).opening_balance(card)

    assert opening.amount == Money(-432100, "EUR")


async def test_layer_without_ledger_endpoint_uses_debit_side(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    remote = {**LAYER.remote, "ledger_account_id": "led-1"}
    account = make_account(ProviderKind.LAYER, remote=remote)
    layer = make.layer(fake_layer.url)

    assert (await layer.opening_balance(account)).amount.minor_units == 432100
    assert await layer.normal_balance(account) is Side.DEBIT


async def test_layer_nulls_and_missing_dates_are_none(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    fake_layer.opening = {"balance": 0, "memo": None, "metadata": None, "transaction_tags": None}

    opening = await make.layer(fake_layer.url).opening_balance(LAYER)

    assert opening.amount.minor_units == 0
    assert (opening.effective_at, opening.memo, opening.metadata) == (None, None, None)
    assert opening.tags == ()


async def test_layer_metadata_numbers_keep_their_digits(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    raw = b'{"balance": 1, "metadata": {"a": 0.1, "b": 70368744177664.01, "c": 1e400, "d": 9e18}}'
    fake_layer.reply_with(Reply(200, raw))

    opening = await make.layer(fake_layer.url).opening_balance(LAYER)

    assert opening.metadata == {"a": 0.1, "b": "70368744177664.01", "c": "1E+400", "d": 9e18}


async def test_layer_write_without_route_names_missing_setting(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    with pytest.raises(Unsupported, match="custom_account_id"):
        await make.layer(fake_layer.url).set_opening_balance(make_write(LAYER, 1))
    with pytest.raises(Unsupported, match="bank_account_id"):
        await make.layer(fake_layer.url, upsert_route="bank_account").set_opening_balance(
            make_write(LAYER, 1)
        )

    assert fake_layer.received == []


@pytest.mark.parametrize("note", [{"memo": "x"}, {"reference_number": "x"}])
async def test_unsupported_notes_are_rejected_before_sending(
    make: Any, fake_light: FakeLightServer, note: dict[str, str]
) -> None:
    for provider, account in (
        (make.light(fake_light.url), LIGHT),
        (make.asset(fake_light.url), ASSET),
        (make.layer(fake_light.url), LAYER),
    ):
        with pytest.raises(Unsupported) as caught:
            await provider.set_opening_balance(make_write(account, 1, **note))
        assert caught.value.field in {"memo", "referenceNumber"}

    assert fake_light.received == []


async def test_probe_without_its_endpoint_is_unsupported(
    make: Any, fake_light: FakeLightServer, fake_asset: FakeAssetServer, fake_layer: FakeLayerServer
) -> None:
    for provider in (
        make.light(fake_light.url),
        make.asset(fake_asset.url),
        make.layer(fake_layer.url),
    ):
        with pytest.raises(Unsupported):
            await provider.probe()


@pytest.mark.parametrize(
    "bad", ["..", ".", "", "a/b", "../../admin", "a%2fb", "a?b", "a\r\nHost: x", "x" * 129, "é"]
)
async def test_ids_that_change_the_path_are_never_sent(
    make: Any, fake_light: FakeLightServer, bad: str
) -> None:
    light = make_account(ProviderKind.LIGHT, remote={"bank_account_id": bad})
    asset = make_account(ProviderKind.ASSET, remote={"business_id": bad, "ledger_id": "l"})
    layer = make_account(
        ProviderKind.LAYER, remote={"business_id": "b", "external_account_id": bad}
    )

    with pytest.raises(BadInput):
        await make.light(fake_light.url).balances([make_query(light, "2026-05-07")])
    with pytest.raises(BadInput):
        await make.asset(fake_light.url).balances([make_query(asset, "2026-05-07")])
    with pytest.raises(BadInput):
        await make.layer(fake_light.url).opening_balance(layer)
    assert fake_light.received == []
