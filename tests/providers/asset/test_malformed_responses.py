"""Responses that contradict Asset's pages: each is rejected, and none is shown or guessed."""

import json
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind, Side
from balance_gateway.domain.errors import (
    GatewayError,
    ProviderBadResponse,
)
from tests.providers import fake_servers
from tests.providers.conftest import make_account, make_query, make_write
from tests.providers.fake_servers import (
    FakeAssetServer,
    Reply,
)

ASSET = make_account(ProviderKind.ASSET, normal_balance=Side.DEBIT)
RAW = "SOMETHING-THE-PROVIDER-SAID"


@pytest.mark.parametrize(
    "data",
    [
        b'{"ledger_id": "%s", "amount": 0.050000000000000001}' % fake_servers.LEDGER.encode(),
        b'{"ledger_id": "%s", "amount": "0.05"}' % fake_servers.LEDGER.encode(),
        b'{"ledger_id": "%s", "amount": 0.06}' % fake_servers.LEDGER.encode(),
        b'{"ledger_id": "%s", "amount": 1e400}' % fake_servers.LEDGER.encode(),
        b'{"ledger_id": "%s", "amount": null}' % fake_servers.LEDGER.encode(),
        b'{"ledger_id": "%s", "amount": true}' % fake_servers.LEDGER.encode(),
        b'{"ledger_id": "%s"}' % fake_servers.LEDGER.encode(),
        b'{"ledger_id": "ldg_other", "amount": 0.05}',
        b"null",
        b"[]",
    ],
)
async def test_asset_write_with_wrong_response_is_uncertain(
    make: Any, fake_asset: FakeAssetServer, data: bytes
) -> None:
    fake_asset.reply_with(Reply(200, b'{"data": ' + data + b"}"))

    with pytest.raises(ProviderBadResponse) as caught:
        await make.asset(fake_asset.url).set_opening_balance(
            make_write(ASSET, 5, effective_at=None)
        )

    assert caught.value.maybe_applied
    assert len(fake_asset.calls("PUT")) == 1


async def test_asset_error_with_200_is_rejected(make: Any, fake_asset: FakeAssetServer) -> None:
    record = {"ledger_id": fake_servers.LEDGER, "amount": 0.05}
    fake_asset.reply_with(Reply(200, {"error": RAW, "data": record}))

    with pytest.raises(ProviderBadResponse) as caught:
        await make.asset(fake_asset.url).set_opening_balance(
            make_write(ASSET, 5, effective_at=None)
        )

    assert caught.value.maybe_applied
    assert RAW not in str(caught.value)


@pytest.mark.parametrize(
    "number", ["0.05", "0.0500", "5e-2", "0.50E-1", "0.05000000000000000000000000000000000000"]
)
async def test_asset_number_is_read_in_any_notation(
    make: Any, fake_asset: FakeAssetServer, number: str
) -> None:
    body = f'{{"data": {{"ledger_id": "{fake_servers.LEDGER}", "amount": {number}}}}}'
    fake_asset.reply_with(Reply(200, body.encode()))

    stored = await make.asset(fake_asset.url).set_opening_balance(
        make_write(ASSET, 5, effective_at=None)
    )

    assert stored.amount.minor_units == 5


ROW = {"ledger_id": fake_servers.LEDGER, "debit": 10, "credit": 0, "ledger_type": "NEW"}


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [ROW | {"ledger_id": "ldg_other"}],
        [ROW, ROW],
        [ROW | {"debit": "10"}],
        [ROW | {"credit": None}],
        [{"ledger_id": fake_servers.LEDGER, "debit": 1}],
        [ROW | {"debit": True}],
        b'[{"ledger_id": "%s", "debit": 10.001, "credit": 0}]' % fake_servers.LEDGER.encode(),
        b'[{"ledger_id": "%s", "debit": NaN, "credit": 0}]' % fake_servers.LEDGER.encode(),
        b'[{"ledger_id": "%s", "debit": 1e400, "credit": 0}]' % fake_servers.LEDGER.encode(),
        b'[{"ledger_id": "%s", "debit": 1, "debit": 2, "credit": 0}]'
        % fake_servers.LEDGER.encode(),
        [5],
        {},
        None,
    ],
)
async def test_asset_trial_balance_requires_exactly_one_valid_row(
    make: Any, fake_asset: FakeAssetServer, rows: Any
) -> None:
    encoded = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
    fake_asset.reply_with(Reply(200, b'{"data": ' + encoded + b"}"))

    try:
        [result] = await make.asset(fake_asset.url).balances([make_query(ASSET, "2026-05-07")])
    except GatewayError as error:
        result = error

    assert isinstance(result, ProviderBadResponse)
