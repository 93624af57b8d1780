"""Asset's amounts: sign, day and side of what is read and written."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import BalanceFigures, MissingReason, OpeningBalanceSource
from balance_gateway.domain.errors import BadInput, GatewayError, ProviderRejected
from balance_gateway.domain.money import Money
from tests.providers.conftest import SandboxServer, make_query, make_write, sandbox_account


def count_writes(sandbox: SandboxServer) -> int:
    return len([one for one in sandbox.requests() if one["method"] == "PUT"])


@pytest.mark.parametrize("name", ["Operating checking", "Company card"])
async def test_figures_have_the_day_and_no_bank_balance(
    connect: Any, sandbox: SandboxServer, name: str
) -> None:
    account = sandbox_account("asset", name)
    query = make_query(account, "2026-05-07")

    [figures] = await connect("asset").balances([query])

    assert isinstance(figures, BalanceFigures)
    assert (figures.as_of, figures.bank) == (query.as_of, None)
    assert figures.bank_missing is MissingReason.NOT_OFFERED
    assert figures.remote_path == (account.remote["business_id"], account.remote["ledger_id"])
    assert figures.ledger is not None
    assert (figures.ledger.minor_units < 0) is (name == "Company card")


@pytest.mark.parametrize(
    ("name", "sent"), [("Operating checking", "-12.34"), ("Company card", "12.34")]
)
async def test_a_write_is_sent_on_the_normal_side_and_returned_on_the_holders(
    connect: Any, sandbox: SandboxServer, name: str, sent: str
) -> None:
    account = sandbox_account("asset", name)

    stored = await connect("asset").set_opening_balance(make_write(account, -12_34))

    assert (stored.amount, stored.source) == (Money(-12_34, "USD"), OpeningBalanceSource.PROVIDER)
    state = sandbox.state("asset", account.remote["ledger_id"])
    assert Decimal(state["opening"]["amount"]) == Decimal(sent)


async def test_an_amount_has_at_most_the_digits_that_can_be_read_back(
    connect: Any, sandbox: SandboxServer
) -> None:
    account = sandbox_account("asset", "Operating checking")
    asset = connect("asset")
    longest = -(10**100) + 1

    with pytest.raises(ProviderRejected):  # sent, and too long for the sandbox
        await asset.set_opening_balance(make_write(account, longest))
    with pytest.raises(BadInput, match="at most 100 digits") as caught:
        await asset.set_opening_balance(make_write(account, longest - 1))

    assert (caught.value.field, caught.value.account_id) == ("amount", account.id)
    assert count_writes(sandbox) == 1


def change_remote(account: Account, **ids: str) -> Account:
    return replace(account, remote={**account.remote, **ids})


async def test_an_account_without_a_row_fails_alone_with_its_name(
    connect: Any, sandbox: SandboxServer
) -> None:
    known = sandbox_account("asset", "Operating checking")
    unknown = change_remote(known, ledger_id="00000000-0000-4000-8000-000000000000")
    queries = [make_query(one, "2026-05-07") for one in (unknown, known)]

    failed, figures = await connect("asset").balances(queries)

    assert isinstance(failed, GatewayError)
    assert failed.account_id == unknown.id
    assert "no row for this ledger; check ledger_id" in failed.message
    assert isinstance(figures, BalanceFigures)
