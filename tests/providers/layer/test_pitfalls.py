"""One named test for each pitfall of Layer's pages."""

from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind, Side
from balance_gateway.domain.errors import (
    GatewayError,
    ProviderBadResponse,
    ProviderError,
    ProviderRejected,
    Unsupported,
)
from balance_gateway.domain.money import Money
from tests.providers.conftest import (
    SandboxServer,
    make_account,
    make_query,
    make_write,
    sandbox_account,
)


@pytest.mark.parametrize("envelope", ["bare", "data"])
@pytest.mark.parametrize("ids", ["text", "object"])
@pytest.mark.parametrize("errors", ["bare", "list"])
@pytest.mark.parametrize("status", [400, 404])
async def test_layer_response_shapes_are_all_understood(
    connect: Any, sandbox: SandboxServer, envelope: str, ids: str, errors: str, status: int
) -> None:
    sandbox.options(
        layer_envelope=envelope,
        layer_account_ids=ids,
        layer_errors=errors,
        layer_no_opening_balance_status=status,
    )
    layer = connect("layer")
    card = sandbox_account("layer", "Company card")

    assert (await layer.opening_balance(card)).amount == Money(-4_512_90, "USD")
    assert await layer.opening_balance(sandbox_account("layer", "New savings")) is None
    [figures] = await layer.balances([make_query(card, "2026-01-01")])
    assert figures.ledger == Money(-4_512_90, "USD")
    unknown = make_account(ProviderKind.LAYER, remote={**card.remote, "external_account_id": "x"})
    with pytest.raises(ProviderRejected) as caught:
        await layer.opening_balance(unknown)
    assert caught.value.provider_code == "SpecifiedIdNotFound"


async def test_layer_finds_ledger_account_via_external_account(
    connect: Any, sandbox: SandboxServer
) -> None:
    full = sandbox_account("layer", "Company card")
    remote = {k: v for k, v in full.remote.items() if k != "ledger_account_id"}
    account = make_account(ProviderKind.LAYER, "USD", remote=remote)
    layer = connect("layer")

    [figures] = await layer.balances([make_query(account, "2026-01-01")])
    await layer.balances([make_query(account, "2026-01-01")])

    assert figures.ledger == Money(-4_512_90, "USD")
    reads = [one for one in sandbox.requests() if "/external-accounts/" in one["path"]]
    assert len(reads) == 1


async def test_layer_requires_configured_id_without_external_account(
    connect: Any, sandbox: SandboxServer
) -> None:
    full = sandbox_account("layer", "Company card")
    remote = {k: v for k, v in full.remote.items() if k != "ledger_account_id"}
    account = make_account(ProviderKind.LAYER, "USD", remote=remote)
    sandbox.fault("404", provider="layer", path="/external-accounts/", times=None)

    [result] = await connect("layer").balances([make_query(account, "2026-01-01")])

    assert isinstance(result, Unsupported)
    assert "ledger_account_id" in result.message


async def test_layer_parent_includes_its_children(connect: Any, sandbox: SandboxServer) -> None:
    """Layer's number already includes the children and is never summed again."""
    sandbox.fault(
        "body",
        provider="layer",
        path="ledger/balances",
        body='{"data": {"accounts": [{"id": "p", "normality": "DEBIT", "balance": 30,'
        ' "sub_accounts": [{"id": "c", "normality": "CREDIT", "balance": 10}]}]}}',
    )
    parent, child = (
        make_account(
            ProviderKind.LAYER, "USD", id=id_, remote={"business_id": "b", "ledger_account_id": id_}
        )
        for id_ in ("p", "c")
    )

    result = await connect("layer").balances(
        [make_query(parent, "2026-01-01"), make_query(child, "2026-01-01")]
    )

    assert [one.ledger.minor_units for one in result] == [30, -10]


async def test_layer_read_always_sends_end_date_and_basis(
    connect: Any, sandbox: SandboxServer
) -> None:
    account = sandbox_account("layer", "Operating checking", zone="America/New_York")

    await connect("layer", reporting_basis="CASH").balances([make_query(account, "2026-05-07")])

    [query] = [one["query"] for one in sandbox.requests() if "ledger" in one["path"]]
    assert query == "end_date=2026-05-08T04%3A00%3A00Z&reporting_basis=CASH"


async def test_layer_reads_sides_of_fifty_accounts_with_one_call(
    connect: Any, sandbox: SandboxServer
) -> None:
    import asyncio

    cards = [sandbox_account("layer", name) for name in ("Company card", "Fleet card")] * 25
    layer = connect("layer")

    sides = await asyncio.gather(*(layer.normal_balance(card) for card in cards))

    assert set(sides) == {Side.CREDIT}
    assert len([one for one in sandbox.requests() if "ledger" in one["path"]]) == 1


async def test_layer_caches_side_from_balance_read(connect: Any, sandbox: SandboxServer) -> None:
    card = sandbox_account("layer", "Company card")
    layer = connect("layer")
    await layer.balances([make_query(card, "2026-05-07")])
    sandbox.control("DELETE", "requests")

    assert await layer.normal_balance(card) is Side.CREDIT
    assert sandbox.requests() == []


async def test_layer_closed_period_blames_effective_at(
    connect: Any, sandbox: SandboxServer
) -> None:
    sandbox.options(layer_closing_date="2026-03-01")
    account = sandbox_account("layer", "Operating checking")

    with pytest.raises(ProviderRejected) as caught:
        await connect("layer").set_opening_balance(make_write(account, 1))

    assert caught.value.provider_code == "PeriodIsClosed"
    assert caught.value.field == "effectiveAt"
    assert not caught.value.maybe_applied


async def test_layer_partial_write_is_uncertain(connect: Any, sandbox: SandboxServer) -> None:
    """The first call has set the balance, even if the second call is refused."""
    account = sandbox_account("layer", "Operating checking", configured_side=True)
    layer = connect("layer")
    sandbox.fault("400", provider="layer", path="custom-accounts/.*/opening-balance$")

    with pytest.raises(ProviderRejected, match="may not have recalculated") as caught:
        await layer.set_opening_balance(make_write(account, 1))

    assert caught.value.maybe_applied


async def test_layer_recalculation_to_another_amount_is_uncertain(
    connect: Any, sandbox: SandboxServer
) -> None:
    """'Based on the current balance and the transaction history': it may differ from the input."""
    account = sandbox_account("layer", "Legacy reserve")

    with pytest.raises(GatewayError) as caught:
        await connect("layer").set_opening_balance(make_write(account, 777))

    assert caught.value.maybe_applied  # type: ignore[attr-defined]


@pytest.mark.parametrize("route", ["custom_account", "bank_account"])
@pytest.mark.parametrize("change", [{"balance": 6}, {"effective_at": "2026-01-02T00:00:00Z"}])
async def test_layer_response_with_other_amount_or_date_is_uncertain(
    connect: Any, sandbox: SandboxServer, route: str, change: dict[str, Any]
) -> None:
    account = sandbox_account("layer", "Operating checking", configured_side=True)
    layer = connect("layer", upsert_route=route)
    sandbox.fault("patch", provider="layer", path="/opening-balance$", patch=change)

    with pytest.raises(ProviderBadResponse, match=next(iter(change))) as caught:
        await layer.set_opening_balance(make_write(account, 5))

    assert caught.value.maybe_applied


@pytest.mark.parametrize("minor_units", [0, 5, -5])
async def test_layer_bank_account_route_accepts_zero(
    connect: Any, sandbox: SandboxServer, minor_units: int
) -> None:
    card = sandbox_account("layer", "Company card")
    layer = connect("layer", upsert_route="bank_account")

    stored = await layer.set_opening_balance(make_write(card, minor_units))

    assert stored.amount.minor_units == minor_units
    assert (await layer.opening_balance(card)).amount.minor_units == minor_units
    posts = [one for one in sandbox.requests() if one["method"] == "POST"]
    assert len([one for one in posts if "bank-accounts" in one["path"]]) == 1


async def test_layer_accepts_empty_write_response(connect: Any, sandbox: SandboxServer) -> None:
    account = sandbox_account("layer", "Operating checking")
    sandbox.fault("body", provider="layer", path="bank-accounts", body="")

    stored = await connect("layer", upsert_route="bank_account").set_opening_balance(
        make_write(account, 5)
    )

    assert stored.amount.minor_units == 5


@pytest.mark.parametrize("kind", ["400", "429", "500", "drop_before", "drop_after", "body"])
async def test_layer_fault_on_first_of_two_write_calls(
    connect: Any, sandbox: SandboxServer, kind: str
) -> None:
    """The second call is not made; ``maybe_applied`` follows the first, as for any write."""
    account = sandbox_account("layer", "Operating checking", configured_side=True)
    layer = connect("layer")
    options = {"body": "{"} if kind == "body" else {}
    sandbox.fault(kind, provider="layer", path="/balance$", **options)

    with pytest.raises(ProviderError) as caught:
        await layer.set_opening_balance(make_write(account, 1))

    assert caught.value.maybe_applied is (kind not in {"400", "429"})
    posts = [one["path"] for one in sandbox.requests() if one["method"] == "POST"]
    assert not [path for path in posts if path.endswith("/opening-balance")]
