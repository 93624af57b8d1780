"""What a figure from Layer's ledger tree counts: a parent includes its children."""

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import MissingReason
from balance_gateway.domain.money import Money
from tests.providers.conftest import SANDBOX, SandboxServer, make_query, sandbox_account

DAY = "2026-01-01"


def with_ledger_id(account: Account, ledger_id: str, account_id: str) -> Account:
    remote = MappingProxyType({**account.remote, "ledger_account_id": ledger_id})
    return replace(account, id=account_id, remote=remote)


@pytest.mark.parametrize("ids", ["text", "object"])
async def test_a_parent_has_the_beginning_of_its_childrens_paths(
    connect: Any, sandbox: SandboxServer, ids: str
) -> None:
    sandbox.options(layer_account_ids=ids)
    layer = connect("layer")
    names = [one.name for one in SANDBOX.list_accounts("layer", "acme")]
    accounts = [sandbox_account("layer", name) for name in names]
    figures = await layer.balances([make_query(one, DAY) for one in accounts])
    operating = accounts[names.index("Operating checking")]
    parent_path = figures[names.index("Operating checking")].remote_path[:-1]
    of_banks = [one for one in figures if one.remote_path[:-1] == parent_path]
    parent = with_ledger_id(operating, parent_path[-1], "acct_parent")

    [of_parent] = await layer.balances([make_query(parent, DAY)])

    assert of_parent.remote_path == parent_path
    assert parent_path[0] == operating.remote["business_id"]
    assert 1 < len(of_banks) < len(figures)
    total = sum(one.ledger.minor_units for one in of_banks)
    assert of_parent.ledger == Money(total, "USD") != Money(0, "USD")


async def test_a_ledger_account_that_is_looked_up_has_the_same_path(connect: Any) -> None:
    configured = sandbox_account("layer", "Company card")
    without = sandbox_account("layer", "Company card", without=("ledger_account_id",))
    layer = connect("layer")

    first, second = await layer.balances([make_query(one, DAY) for one in (configured, without)])

    assert first.remote_path == second.remote_path
    assert first.remote_path[-1] == configured.remote["ledger_account_id"]
    assert first.bank_missing is first.difference_missing is MissingReason.NOT_OFFERED
