"""Adapters at servers that offer few endpoints, and ids that never become part of a path."""

from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind, Side
from balance_gateway.domain.errors import (
    BadInput,
    Unsupported,
)
from tests.providers.conftest import make_account, make_query, make_write
from tests.providers.fake_servers import FakeAssetServer, FakeLayerServer, FakeLightServer

LIGHT = make_account(ProviderKind.LIGHT)
ASSET = make_account(ProviderKind.ASSET, normal_balance=Side.DEBIT)
LAYER = make_account(ProviderKind.LAYER, normal_balance=Side.DEBIT)


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
