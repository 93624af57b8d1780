"""One named test for each pitfall of Asset's pages."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from balance_gateway.domain.accounts import Side
from balance_gateway.domain.errors import (
    BadInput,
    GatewayError,
    ProviderCredentialsRejected,
    SideUnknown,
)
from balance_gateway.domain.money import Money
from tests.providers.conftest import (
    ENTRIES_START,
    SandboxServer,
    make_query,
    make_write,
    sandbox_account,
)


async def test_asset_stores_owed_amount_on_normal_side(
    connect: Any, sandbox: SandboxServer
) -> None:
    card = sandbox_account("asset", "Company card")
    asset = connect("asset")

    stored = await asset.set_opening_balance(make_write(card, -500_00, effective_at=None))

    assert stored.effective_at is None
    state = sandbox.state("asset", card.remote["ledger_id"])
    assert Decimal(state["opening"]["amount"]) == 500
    configured = sandbox_account(
        "asset", "Company card", derive_opening_balance_as_of=ENTRIES_START.date()
    )
    assert (await asset.opening_balance(configured)).amount == Money(-500_00, "USD")


async def test_asset_opening_date_cannot_be_chosen(connect: Any, sandbox: SandboxServer) -> None:
    account = sandbox_account("asset", "Operating checking")
    asset = connect("asset")

    stored = await asset.set_opening_balance(make_write(account, 1, effective_at=ENTRIES_START))
    other = datetime(2026, 1, 2, tzinfo=UTC)
    with pytest.raises(BadInput, match="2026-01-01T00:00:00Z") as caught:
        await asset.set_opening_balance(make_write(account, 2, effective_at=other))

    assert stored.effective_at == ENTRIES_START
    assert caught.value.field == "effectiveAt"
    assert len([one for one in sandbox.requests() if one["method"] == "PUT"]) == 1


@pytest.mark.parametrize("status", [404, 405])
async def test_asset_entries_start_falls_back_to_documented_list(
    connect: Any, sandbox: SandboxServer, status: int
) -> None:
    """No page documents reading one business; the list is documented."""
    account = sandbox_account("asset", "Operating checking")
    sandbox.fault("status", provider="asset", path="/business/[^/]+$", status=status, times=None)

    stored = await connect("asset").set_opening_balance(make_write(account, 1))

    assert stored.effective_at == ENTRIES_START


async def test_asset_writes_nothing_if_entries_start_is_unreadable(
    connect: Any, sandbox: SandboxServer
) -> None:
    account = sandbox_account("asset", "Operating checking")
    sandbox.fault("503", provider="asset", path="/business/[^/]+$", times=None)

    with pytest.raises(GatewayError) as caught:
        await connect("asset").set_opening_balance(make_write(account, 1))

    assert not caught.value.maybe_applied  # type: ignore[attr-defined]
    assert not [one for one in sandbox.requests() if one["method"] == "PUT"]


async def test_asset_read_always_sends_basis(connect: Any, sandbox: SandboxServer) -> None:
    account = sandbox_account("asset", "Operating checking")

    await connect("asset").balances([make_query(account, "2026-05-07")])
    await connect("asset", basis="accrual").balances([make_query(account, "2026-05-07")])

    queries = [one["query"] for one in sandbox.requests() if "trial-balance" in one["path"]]
    assert "basis=modified_cash" in queries[0]
    assert "basis=accrual" in queries[1]
    assert "2026-05-07T23%3A59%3A59.999999Z" in queries[0]


async def test_asset_missing_scope_rejects_the_credentials(
    connect: Any, sandbox: SandboxServer
) -> None:
    account = sandbox_account("asset", "Operating checking")
    asset = connect("asset", credential="asset-acme-read-only")

    await asset.balances([make_query(account, "2026-05-07")])
    with pytest.raises(ProviderCredentialsRejected) as caught:
        await asset.set_opening_balance(make_write(account, 1, effective_at=None))

    assert not caught.value.maybe_applied


async def test_asset_side_that_is_not_offered_is_unknown_until_it_is(
    connect: Any, sandbox: SandboxServer
) -> None:
    """It was once taken as debit, which turned 500 owed into 500 held."""
    card = sandbox_account("asset", "Company card")
    asset = connect("asset")
    sandbox.fault("404", provider="asset", path="/ledger/[^/]+$", times=1)

    with pytest.raises(SideUnknown, match="normal_balance"):
        await asset.normal_balance(card)
    assert await asset.normal_balance(card) is Side.CREDIT
