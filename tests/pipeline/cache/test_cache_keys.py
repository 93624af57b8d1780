"""Cache keys: which accounts share a fence, and which values never share a key."""

from datetime import date
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance_gateway.domain.accounts import ProviderKind, Side
from balance_gateway.pipeline.cache.cache_keys import (
    REDIS_EPOCH,
    REDIS_QUARANTINE,
    AccountKeys,
    balance_value_key,
    compute_account_keys,
    lease_name,
    opening_value_key,
    pending_read_key,
    redis_held_flag_name,
    redis_holds_name,
    redis_lease_name,
    redis_nonce_name,
    redis_value_name,
    single_flight_key,
)
from balance_gateway.providers.registry import PROVIDERS
from tests.pipeline.fakes import account

REMOTE = MappingProxyType({"bank_account_id": "remote-1"})


def keys(
    address: str = "https://p", shape: dict[str, str] | None = None, **changes: Any
) -> AccountKeys:
    one = account(**{"remote": REMOTE, **changes})
    return compute_account_keys(
        one, PROVIDERS[one.provider], {"base_url": address, **(shape or {})}
    )


def asset(business: str, ledger: str, account_id: str = "acct_a") -> AccountKeys:
    remote = MappingProxyType({"business_id": business, "ledger_id": ledger})
    return keys(account_id=account_id, provider=ProviderKind.ASSET, remote=remote)


def layer(business: str, external: str) -> AccountKeys:
    remote = MappingProxyType({"business_id": business, "external_account_id": external})
    return keys(provider=ProviderKind.LAYER, remote=remote)


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": "globex"},
        {"connector": "other"},
        {"account_id": "acct_b"},
        {"address": "https://q"},
        {"shape": {"basis": "accrual"}},
        {"currency": "USD"},
        {"time_zone": ZoneInfo("Asia/Tokyo")},
        {"normal_balance": Side.CREDIT},
        {"derive_opening_balance_as_of": date(2026, 1, 1)},
        {"remote": MappingProxyType({"bank_account_id": "remote-2"})},
        {"remote": MappingProxyType({"bank_account_id": "remote-1", "more": "x"})},
    ],
    ids=str,
)
def test_settings_that_shape_the_response_change_the_value_key(change: dict[str, Any]) -> None:
    plain = keys()

    changed = keys(**change)

    assert changed.value != plain.value


def test_equal_configurations_have_equal_keys() -> None:
    first = keys(shape={"basis": "accrual", "reporting_basis": "CASH"})

    second = keys(shape={"reporting_basis": "CASH", "basis": "accrual"})

    assert first == second


def test_renaming_an_account_keeps_its_keys() -> None:
    assert keys(name="Before") == keys(name="After")


def test_two_accounts_at_one_remote_account_share_a_fence() -> None:
    one = keys(account_id="acct_a", tenant="acme", connector="eu")

    other = keys(account_id="acct_b", tenant="globex", connector="us")

    assert one.fence == other.fence
    assert one.value != other.value


def test_the_remote_key_is_shared_across_tenants() -> None:
    one = keys(account_id="acct_a", tenant="acme", connector="eu", currency="EUR")

    other = keys(account_id="acct_b", tenant="globex", connector="us", currency="USD")

    assert one.remote == other.remote
    assert one.remote != keys(remote=MappingProxyType({"bank_account_id": "remote-2"})).remote


def test_the_remote_key_does_not_depend_on_the_address() -> None:
    """It once did: the demo on another port found no record of earlier writes."""
    assert keys(address="https://p").remote == keys(address="https://elsewhere").remote


def test_equal_ids_at_different_providers_have_different_remote_keys() -> None:
    names = [each.key for spec in PROVIDERS.values() for each in spec.account_ids]
    remote = MappingProxyType(dict.fromkeys(names, "b"))
    found = {keys(provider=kind, remote=remote).remote for kind in ProviderKind}

    assert len(found) == len(ProviderKind)


def test_layer_accounts_of_one_business_have_different_remote_keys() -> None:
    assert layer("b1", "one").remote != layer("b1", "two").remote
    assert layer("b1", "one").remote != layer("b2", "one").remote


def test_embedded_ledger_accounts_have_different_remote_keys() -> None:
    local = [
        keys(account_id=name, provider=ProviderKind.LOCAL, remote=MappingProxyType({}))
        for name in ("one", "two")
    ]

    assert local[0].remote != local[1].remote


def test_light_and_asset_have_one_fence_per_account() -> None:
    light = {
        keys(remote=MappingProxyType({"bank_account_id": name})).fence for name in ("one", "two")
    }
    assets = {asset("b1", "l1").fence, asset("b1", "l2").fence, asset("b2", "l1").fence}

    assert len(light) == 2
    assert len(assets) == 3


def test_layer_has_one_fence_per_business() -> None:
    """A parent account's balance there includes its children's."""
    assert layer("b1", "one").fence == layer("b1", "two").fence
    assert layer("b1", "one").fence != layer("b2", "one").fence
    assert layer("b1", "one").value != layer("b1", "two").value


def test_providers_do_not_share_fences() -> None:
    names = [each.key for spec in PROVIDERS.values() for each in spec.account_ids]
    remote = MappingProxyType(dict.fromkeys(names, "b"))
    fenced = [kind for kind, spec in PROVIDERS.items() if spec.fence is not None]
    found = {keys(provider=kind, remote=remote).fence for kind in fenced}

    assert len(fenced) > 1
    assert len(found) == len(fenced)
    assert None not in found


def test_the_fence_does_not_depend_on_the_address() -> None:
    """A write through one address once did not invalidate a value cached through the other."""
    one, other = keys(address="https://api.p"), keys(address="https://proxy.example/p")

    assert one.fence == other.fence
    assert one.value != other.value


def test_the_embedded_ledger_has_no_fence() -> None:
    local = keys(provider=ProviderKind.LOCAL, remote=MappingProxyType({}))

    assert local.fence is None


@given(st.text(max_size=3), st.text(max_size=3), st.text(max_size=3), st.text(max_size=3))
def test_concatenated_ids_do_not_collide(
    business: str, ledger: str, business_2: str, ledger_2: str
) -> None:
    one, other = asset(business, ledger), asset(business_2, ledger_2)

    is_equal = (business, ledger) == (business_2, ledger_2)

    assert (one.fence == other.fence) is is_equal
    assert (one.value == other.value) is is_equal
    assert (one.remote == other.remote) is is_equal


def test_key_formats_do_not_change() -> None:
    """Replicas of two releases share one Redis during an upgrade, so the formats are fixed.

    The hash in the value key may change: each release then finds its own values only.
    """
    found = keys(remote=MappingProxyType({"bank_account_id": "remote-1"}))

    assert (found.fence, found.value, found.remote) == (
        "light:f75193aadcb773949ee9971c",
        "acct_a:6f9131b5041e3de4cf1ca1d6",
        "light:12cc00e35845b53361775c33",
    )
    assert balance_value_key(found, date(2026, 5, 7)) == f"{found.value}:balance:2026-05-07"
    assert opening_value_key(found) == f"{found.value}:opening"
    assert single_flight_key("value", "nonce") == ("value", "nonce")
    assert pending_read_key("value", requires_live=True) == ("value", True)
    assert lease_name(["b", "a"]) == "a b"
    assert redis_value_name("value") == "v:value"
    assert redis_nonce_name("fence") == "n:fence"
    assert redis_held_flag_name("fence") == "w:fence"
    assert redis_holds_name("fence") == "h:fence"
    assert redis_lease_name("a b") == "c:c8687a08aa5d6ed2044328fa6a697ab8"
    assert (REDIS_EPOCH, REDIS_QUARANTINE) == ("epoch", "quarantine")
