"""Layer's normal side is configured, learned or remembered; it is never assumed."""

from typing import Any

import pytest

from balance_gateway.domain.accounts import Account, ProviderKind, Side
from balance_gateway.domain.errors import ProviderUnavailable, SideUnknown
from balance_gateway.domain.money import Money
from tests.providers.conftest import (
    MemorySides,
    SandboxServer,
    make_account,
    make_query,
    make_write,
    sandbox_account,
)
from tests.providers.fake_servers import FakeLayerServer, Reply


def without_ledger_account(name: str) -> Account:
    """Return the account of the sandbox; its ledger account must be looked up."""
    full = sandbox_account("layer", name)
    remote = {key: id_ for key, id_ in full.remote.items() if key != "ledger_account_id"}
    return make_account(ProviderKind.LAYER, full.currency, remote=remote)


async def test_side_is_looked_up_through_the_external_account(
    connect: Any, sandbox: SandboxServer
) -> None:
    """The opening balance of a card was once read as +4512.90, and −500.00 sent as −50000."""
    card = without_ledger_account("Company card")
    layer = connect("layer", upsert_route="bank_account")

    assert await layer.normal_balance(card) is Side.CREDIT
    assert (await layer.opening_balance(card)).amount == Money(-4_512_90, "USD")
    stored = await layer.set_opening_balance(make_write(card, -500_00))

    assert stored.amount == Money(-500_00, "USD")
    state = sandbox.state("layer", card.remote["external_account_id"])
    assert int(state["opening"]["amount"]) == 500_00


TREE = (
    '{"data": {"accounts": [{"id": "p", "normality": "DEBIT", "balance": 30},'
    ' {"id": "twice", "normality": "DEBIT", "balance": 1},'
    ' {"id": "twice", "normality": "CREDIT", "balance": 1},'
    ' {"id": "odd", "normality": "BOTH", "balance": 10}, {"id": "none", "balance": 10}]}}'
)


@pytest.mark.parametrize("ledger_id", ["twice", "odd", "none", "missing"])
async def test_side_that_the_tree_leaves_open_is_unknown(
    make: Any, fake_layer: FakeLayerServer, ledger_id: str
) -> None:
    """Also where a side is remembered: Layer's answer is newer, and contradicts it."""
    account = account_at(ledger_id)
    sides = MemorySides({account.id: Side.CREDIT})
    fake_layer.reply_with(Reply(200, TREE.encode()))
    layer = make.layer(fake_layer.url, dependencies={"sides": sides})

    with pytest.raises(SideUnknown, match="normal_balance") as caught:
        await layer.normal_balance(account)

    assert (caught.value.account_id, caught.value.provider) == (account.id, "LAYER")


def account_at(ledger_id: str, **options: Any) -> Account:
    remote = {
        **make_account(ProviderKind.LAYER).remote,
        "ledger_account_id": ledger_id,
        "custom_account_id": "custom",
    }
    return make_account(ProviderKind.LAYER, remote=remote, **options)


@pytest.mark.parametrize("status", [404, 405])
async def test_without_the_ledger_endpoint_no_side_is_assumed(
    make: Any, fake_layer: FakeLayerServer, status: int
) -> None:
    account = account_at("led-1")
    layer = make.layer(fake_layer.url)
    fake_layer.reply_with(Reply(200, fake_layer.opening), *[Reply(status, {})] * 2)

    with pytest.raises(SideUnknown, match="normal_balance"):
        await layer.opening_balance(account)
    with pytest.raises(SideUnknown, match="normal_balance"):
        await layer.set_opening_balance(make_write(account, 1))

    assert fake_layer.calls("POST") == []


async def test_external_account_without_ledger_account_has_no_side(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    fake_layer.reply_with(Reply(200, {"data": {"id": "x", "ledger_account_id": None}}))

    with pytest.raises(SideUnknown, match="normal_balance"):
        await make.layer(fake_layer.url).normal_balance(make_account(ProviderKind.LAYER))


async def test_opening_balance_that_is_not_set_needs_no_side(
    connect: Any, sandbox: SandboxServer
) -> None:
    sandbox.fault("503", provider="layer", path="ledger/balances", times=None)

    assert await connect("layer").opening_balance(sandbox_account("layer", "New savings")) is None


@pytest.mark.parametrize("reply", [Reply(503, {}), Reply(404, {}), Reply(401, {}), Reply(429, {})])
async def test_remembered_side_is_used_while_layer_cannot_be_asked(
    make: Any, fake_layer: FakeLayerServer, reply: Reply
) -> None:
    account = account_at("p")
    sides = MemorySides()
    fake_layer.reply_with(Reply(200, TREE.encode()))
    first = make.layer(fake_layer.url, dependencies={"sides": sides})
    assert await first.normal_balance(account) is Side.DEBIT
    assert sides.found == {account.id: Side.DEBIT}

    fake_layer.reply_with(*[reply] * 4)
    restarted = make.layer(fake_layer.url, dependencies={"sides": sides})

    assert await restarted.normal_balance(account) is Side.DEBIT


async def test_without_a_remembered_side_the_providers_error_is_raised(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    fake_layer.reply_with(Reply(503, {}))
    layer = make.layer(fake_layer.url, dependencies={"sides": MemorySides()})

    with pytest.raises(ProviderUnavailable):
        await layer.normal_balance(account_at("p"))


async def test_balance_read_remembers_the_sides_of_its_accounts_once(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    accounts = [account_at("p"), account_at("odd", id="acct_odd")]
    sides = MemorySides()
    fake_layer.reply_with(*[Reply(200, TREE.encode())] * 2)
    layer = make.layer(fake_layer.url, dependencies={"sides": sides})

    for _ in range(2):
        await layer.balances([make_query(one, "2026-01-01") for one in accounts])

    assert sides.written == [("acct_1", Side.DEBIT)]
