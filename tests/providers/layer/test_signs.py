"""Layer's amounts: sign, day and side of what is read, and every field of an opening balance."""

from datetime import UTC, datetime
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    OpeningBalance,
    OpeningBalanceSource,
    Tag,
)
from balance_gateway.domain.errors import GatewayError, Unsupported
from balance_gateway.domain.money import Money
from balance_gateway.providers.layer.responses import find_side, parse_opening_balance
from tests.providers.conftest import SandboxServer, make_account, make_query, sandbox_account

DAY = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNT = make_account(ProviderKind.LAYER, "USD")
RECORD = {
    "balance": 1234,
    "effective_at": "2026-01-01T00:00:00Z",
    "created_at": "2026-01-02T00:00:00Z",
    "updated_at": "2026-01-03T00:00:00Z",
    "memo": "m",
    "reference_number": "r",
    "metadata": {"a": [1, "b"]},
    "transaction_tags": [
        {
            "id": "i",
            "key": "k",
            "value": "v",
            "dimension_id": "d",
            "definition_id": "f",
            "dimension_display_name": "D",
            "value_display_name": "V",
            "archived_at": "2026-01-04T00:00:00Z",
        }
    ],
}


@pytest.mark.parametrize(("side", "minor_units"), [(Side.DEBIT, 1234), (Side.CREDIT, -1234)])
def test_every_field_of_an_opening_balance_is_read(side: Side, minor_units: int) -> None:
    assert parse_opening_balance(RECORD, ACCOUNT, side) == OpeningBalance(
        Money(minor_units, "USD"),
        DAY,
        OpeningBalanceSource.PROVIDER,
        created_at=DAY.replace(day=2),
        updated_at=DAY.replace(day=3),
        memo="m",
        reference_number="r",
        tags=(Tag("i", "k", "v", "d", "f", "D", "V", DAY.replace(day=4)),),
        metadata={"a": [1, "b"]},
    )


def test_fields_that_are_missing_are_none() -> None:
    assert parse_opening_balance({"balance": 0}, ACCOUNT, Side.DEBIT) == OpeningBalance(
        Money(0, "USD"), None, OpeningBalanceSource.PROVIDER
    )


@pytest.mark.parametrize(
    ("normality", "side"),
    [
        ("DEBIT", Side.DEBIT),
        ("CREDIT", Side.CREDIT),
        ("debit", Side.DEBIT),
        ("credit", Side.CREDIT),
        ("", None),
        ("DEBITS", None),
        (None, None),
        (1, None),
    ],
)
def test_the_normality_is_one_of_two_sides_or_unknown(normality: object, side: Side | None) -> None:
    assert find_side({"normality": normality}) is side


@pytest.mark.parametrize("name", ["Operating checking", "Company card"])
async def test_figures_have_the_day_and_no_bank_balance(
    connect: Any, sandbox: SandboxServer, name: str
) -> None:
    account = sandbox_account("layer", name)
    query = make_query(account, "2026-05-07")

    [figures] = await connect("layer").balances([query])

    assert isinstance(figures, BalanceFigures)
    assert (figures.as_of, figures.bank) == (query.as_of, None)
    assert figures.ledger is not None
    assert figures.ledger.currency == account.currency
    assert (figures.ledger.minor_units < 0) is (name == "Company card")


async def test_an_account_missing_from_the_ledger_fails_alone_with_its_name(
    connect: Any, sandbox: SandboxServer
) -> None:
    known = sandbox_account("layer", "Operating checking")
    missing = {**known.remote, "ledger_account_id": "00000000-0000-4000-8000-000000000000"}
    unknown = make_account(ProviderKind.LAYER, "USD", remote=missing)
    layer = connect("layer")

    failed, figures = await layer.balances(
        [make_query(one, "2026-05-07") for one in (unknown, known)]
    )

    assert isinstance(failed, GatewayError)
    assert failed.account_id == unknown.id
    assert "no entry for this account; check ledger_account_id" in failed.message
    assert isinstance(figures, BalanceFigures)
    with pytest.raises(Unsupported, match="check the account's ledger_account_id") as caught:
        await layer.normal_balance(unknown)
    assert (caught.value.account_id, caught.value.provider) == (unknown.id, "LAYER")


async def test_a_configured_side_is_taken_without_asking_layer(
    connect: Any, sandbox: SandboxServer
) -> None:
    account = sandbox_account("layer", "Company card", configured_side=True)

    assert await connect("layer").normal_balance(account) is Side.CREDIT

    assert not [one for one in sandbox.requests() if "ledger" in one["path"]]


async def test_sides_of_a_business_are_read_once(connect: Any, sandbox: SandboxServer) -> None:
    layer = connect("layer")
    names = ("Company card", "Operating checking", "Company card")

    sides = [await layer.normal_balance(sandbox_account("layer", name)) for name in names]

    assert sides == [Side.CREDIT, Side.DEBIT, Side.CREDIT]
    assert len([one for one in sandbox.requests() if "ledger/balances" in one["path"]]) == 1
