"""Responses that contradict Layer's pages: each is rejected, and none is shown or guessed."""

from dataclasses import replace
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind, Side
from balance_gateway.domain.errors import (
    ProviderBadResponse,
)
from tests.providers.conftest import make_account
from tests.providers.fake_servers import (
    FakeLayerServer,
    Reply,
)

LAYER = make_account(ProviderKind.LAYER, normal_balance=Side.DEBIT)


@pytest.mark.parametrize(
    "changes",
    [
        {"balance": "432100"},
        {"balance": None},
        {"balance": 1.5},
        {"balance": True},
        {"effective_at": "2023-11-07T05:31:56"},
        {"effective_at": "2023-11-07"},
        {"effective_at": 1699335116},
    ],
)
async def test_layer_field_that_decides_the_figure_must_have_its_type(
    make: Any, fake_layer: FakeLayerServer, changes: dict[str, Any]
) -> None:
    fake_layer.reply_with(Reply(200, fake_layer.opening | changes))

    with pytest.raises(ProviderBadResponse):
        await make.layer(fake_layer.url).opening_balance(LAYER)


@pytest.mark.parametrize(
    ("field", "value", "left"),
    [
        ("created_at", "2023-13-07T05:31:56Z", None),
        ("updated_at", "0001-01-01T00:00:00+14:00", None),
        ("updated_at", 1699335116, None),
        ("transaction_tags", {}, ()),
        ("transaction_tags", ["x"], ()),
        ("memo", 5, None),
        ("memo", "\ud800", None),
        ("metadata", [1], None),
        ("metadata", "text", None),
        ("metadata", {"a": "\udfff"}, None),
        ("reference_number", [], None),
    ],
)
async def test_layer_malformed_decoration_is_dropped_and_logged(
    make: Any,
    fake_layer: FakeLayerServer,
    caplog: pytest.LogCaptureFixture,
    field: str,
    value: Any,
    left: Any,
) -> None:
    """A wrong memo once made the whole opening balance unreadable."""
    name = {"transaction_tags": "tags"}.get(field, field)
    whole = await make.layer(fake_layer.url).opening_balance(LAYER)
    fake_layer.reply_with(Reply(200, fake_layer.opening | {field: value}))

    opening = await make.layer(fake_layer.url).opening_balance(LAYER)

    assert opening == replace(whole, **{name: left})
    [record] = [one for one in caplog.records if one.message == "provider.field_dropped"]
    assert (record.account_id, record.field) == (LAYER.id, field)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "change", [{"definition_id": None}, {"key": 5}, {"archived_at": "2023"}, {"value": "\ud800"}]
)
async def test_layer_malformed_tag_costs_neither_amount_nor_other_tags(
    make: Any, fake_layer: FakeLayerServer, change: dict[str, Any]
) -> None:
    [tag] = fake_layer.opening["transaction_tags"]
    tags = [tag | change, tag]
    fake_layer.reply_with(Reply(200, fake_layer.opening | {"transaction_tags": tags}))

    opening = await make.layer(fake_layer.url).opening_balance(LAYER)

    assert opening.amount.minor_units == 432100
    assert [one.definition_id for one in opening.tags] == [tag["definition_id"]]


async def test_layer_accepts_unknown_enums_and_fields(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    fake_layer.opening |= {"external_account_source": "NEW_BANK", "later": {"x": [1.5]}}

    assert await make.layer(fake_layer.url).opening_balance(LAYER) is not None
