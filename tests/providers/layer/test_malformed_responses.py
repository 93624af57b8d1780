"""Responses that contradict Layer's pages: each is rejected, and none is shown or guessed."""

from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import (
    ProviderBadResponse,
)
from tests.providers.conftest import make_account
from tests.providers.fake_servers import (
    FakeLayerServer,
    Reply,
)

LAYER = make_account(ProviderKind.LAYER)


@pytest.mark.parametrize(
    "changes",
    [
        {"balance": "432100"},
        {"balance": None},
        {"balance": 1.0},
        {"balance": True},
        {"effective_at": "2023-11-07T05:31:56"},
        {"effective_at": "2023-11-07"},
        {"effective_at": 1699335116},
        {"created_at": "2023-13-07T05:31:56Z"},
        {"updated_at": "0001-01-01T00:00:00+14:00"},
        {"transaction_tags": {}},
        {"transaction_tags": [{"id": "x"}]},
        {"memo": 5},
        {"memo": "\ud800"},
        {"metadata": [1]},
        {"metadata": {"a": "\udfff"}},
        {"reference_number": []},
    ],
)
async def test_layer_field_of_wrong_type_is_a_bad_response(
    make: Any, fake_layer: FakeLayerServer, changes: dict[str, Any]
) -> None:
    fake_layer.reply_with(Reply(200, fake_layer.opening | changes))

    with pytest.raises(ProviderBadResponse):
        await make.layer(fake_layer.url).opening_balance(LAYER)


async def test_layer_accepts_unknown_enums_and_fields(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    fake_layer.opening |= {"external_account_source": "NEW_BANK", "later": {"x": [1.5]}}

    assert await make.layer(fake_layer.url).opening_balance(LAYER) is not None
