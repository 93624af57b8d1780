"""Light's adapter needs no endpoint except those of its balance page."""

from datetime import date, datetime
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.balances import OpeningBalanceSource
from balance_gateway.domain.errors import (
    BadInput,
    Unsupported,
)
from balance_gateway.domain.money import Money
from balance_gateway.domain.secret import Secret
from tests.providers import fake_servers
from tests.providers.conftest import make_account, make_query, make_write
from tests.providers.fake_servers import FakeLightServer, Reply

LIGHT = make_account(ProviderKind.LIGHT)


async def test_light_read_returns_both_balances(make: Any, fake_light: FakeLightServer) -> None:
    [figures] = await make.light(fake_light.url).balances([make_query(LIGHT, "2026-05-07")])

    assert (figures.bank, figures.ledger) == (Money(12500, "EUR"), Money(9000, "EUR"))


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
