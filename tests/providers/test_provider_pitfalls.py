"""One named test for each pitfall of the three providers' pages."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind, Side
from balance_gateway.domain.errors import (
    BadInput,
    GatewayError,
    ProviderBadResponse,
    ProviderCredentialsRejected,
    ProviderRejected,
    Unsupported,
)
from balance_gateway.domain.money import Money
from balance_gateway.providers.http import json_fields
from balance_gateway.providers.http.body import decode_json
from tests.providers.conftest import (
    ENTRIES_START,
    SandboxServer,
    make_account,
    make_query,
    make_write,
    sandbox_account,
)


def test_numbers_never_pass_through_binary_floating_point() -> None:
    """70368744177664.01 is …664.02 as a float."""
    record = decode_json(b'{"amount": 70368744177664.01, "small": 0.29}')

    assert record["amount"] == Decimal("70368744177664.01")
    assert json_fields.parse_major_units(record, "amount", "USD") == 7036874417766401
    assert json_fields.parse_major_units(record, "small", "USD") == 29


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e99999999999999999999"])
def test_non_finite_numbers_are_rejected_in_any_field(number: str) -> None:
    with pytest.raises(json_fields.MalformedResponse):
        decode_json(f'{{"balance": 1, "metadata": {{"x": {number}}}}}'.encode())


@pytest.mark.parametrize(
    ("number", "currency", "minor_units"),
    [
        ("1000", "JPY", 1000),
        ("1000.0", "JPY", 1000),
        ("0.001", "KWD", 1),
        ("0.0001", "CLF", 1),
        ("1.5", "USD", 150),
        ("-0", "USD", 0),
        ("-0.0", "JPY", 0),
        ("1E+3", "USD", 100_000),
        ("0e-9999", "USD", 0),
        ("9" * 60, "USD", int("9" * 60 + "00")),
    ],
)
def test_decimals_follow_iso_4217(number: str, currency: str, minor_units: int) -> None:
    record = decode_json(f'{{"n": {number}}}'.encode())

    assert json_fields.parse_major_units(record, "n", currency) == minor_units


@pytest.mark.parametrize(
    ("number", "currency"), [("0.5", "JPY"), ("0.001", "USD"), ("1e-101", "USD"), ("1e100", "USD")]
)
def test_amount_with_too_many_decimals_is_rejected_not_rounded(number: str, currency: str) -> None:
    with pytest.raises(json_fields.MalformedResponse):
        json_fields.parse_major_units(decode_json(f'{{"n": {number}}}'.encode()), "n", currency)


async def test_light_amounts_above_int32_and_2_to_53_are_exact(connect: Any) -> None:
    light = connect("light")

    [treasury] = await light.balances(
        [make_query(sandbox_account("light", "Treasury USD"), "2025-06-01")]
    )
    yen = sandbox_account("light", "Long-term reserve JPY")
    [reserve] = await light.balances([make_query(yen, "2025-06-01")])

    assert treasury.bank == Money(42_949_672_96_01, "USD")
    assert reserve.bank == Money(9_007_199_254_740_993, "JPY")


async def test_light_null_bank_balance_keeps_ledger_balance(connect: Any) -> None:
    account = sandbox_account("light", "New account USD")

    [figures] = await connect("light").balances([make_query(account, "2026-05-07")])

    assert figures.bank is None
    assert figures.ledger is not None
    assert figures.difference is None


async def test_light_zero_is_a_value(connect: Any) -> None:
    account = sandbox_account("light", "Dormant GBP")

    [figures] = await connect("light").balances([make_query(account, "2025-06-01")])

    assert figures.bank == Money(0, "GBP")


async def test_light_amount_correction_keeps_the_date(connect: Any, sandbox: SandboxServer) -> None:
    """'Defaults to current timestamp if not provided.'"""
    account = sandbox_account("light", "Operating USD")
    light = connect("light")

    await light.set_opening_balance(make_write(account, 1))
    await light.set_opening_balance(make_write(account, 2))

    state = sandbox.state("light", account.remote["bank_account_id"])
    assert datetime.fromisoformat(state["opening"]["at"]) == ENTRIES_START
    with pytest.raises(BadInput):
        await light.set_opening_balance(make_write(account, 3, effective_at=None))


async def test_light_follows_redirect_from_old_prefix(sandbox: SandboxServer, make: Any) -> None:
    from balance_gateway.domain.secret import Secret
    from tests.providers.conftest import SANDBOX

    account = sandbox_account("light", "Operating USD")
    key = Secret(SANDBOX.get_credential("light-acme").api_key or "")
    light = make.light(f"{sandbox.url}/light/rest/ext", api_key=key)

    await light.set_opening_balance(make_write(account, 5))
    [figures] = await light.balances([make_query(account, "2025-06-01")])

    assert figures.bank == Money(5, "USD")


async def test_asset_stores_owed_amount_on_normal_side(
    connect: Any, sandbox: SandboxServer
) -> None:
    card = sandbox_account("asset", "Company card")
    asset = connect("asset")

    await asset.set_opening_balance(make_write(card, -500_00, effective_at=None))

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


async def test_asset_caches_side_only_if_provided(connect: Any, sandbox: SandboxServer) -> None:
    card = sandbox_account("asset", "Company card")
    asset = connect("asset")
    sandbox.fault("404", provider="asset", path="/ledger/[^/]+$", times=1)

    assert await asset.normal_balance(card) is Side.DEBIT
    assert await asset.normal_balance(card) is Side.CREDIT


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
