"""Layer's adapter needs no endpoint except those of its opening-balance and token pages."""

from datetime import UTC, datetime
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind, Side
from balance_gateway.domain.errors import (
    ProviderRejected,
    Unsupported,
)
from balance_gateway.domain.money import Money
from tests.providers.conftest import make_account, make_write
from tests.providers.fake_servers import FakeLayerServer, Reply

LAYER = make_account(ProviderKind.LAYER, normal_balance=Side.DEBIT)


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
