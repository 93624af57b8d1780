"""What an account's provider and configuration allow: decided from the file, without a call."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from balance_gateway.app.configuration import parse_settings
from balance_gateway.config.settings import Settings
from balance_gateway.domain.accounts import Account, Capability, ProviderKind
from balance_gateway.domain.errors import GatewayError, Unsupported
from balance_gateway.providers.registry import PROVIDERS
from tests.providers import fake_servers
from tests.providers.conftest import ProviderFactory, make_write

BASE_URL = "http://127.0.0.1:1"
WRITE = {Capability.WRITE_OPENING_BALANCE, Capability.CHOOSE_EFFECTIVE_AT}
READ_OPENING = {Capability.READ_OPENING_BALANCE}
DAY = date(2025, 1, 1)
CONNECTORS: dict[str, dict[str, Any]] = {
    "light": {"base_url": BASE_URL, "api_key": "env:SECRET"},
    "asset": {"base_url": BASE_URL, "access_token": "env:SECRET"},
    "layer": {"base_url": BASE_URL, "access_token": "env:SECRET"},
    "local": {},
    "statement_file": {"path": "statements.json"},
}
REQUIRED = {
    kind.value: {each.key: f"{each.key}-1" for each in spec.account_ids if each.is_required}
    for kind, spec in PROVIDERS.items()
}


def read_account(kind: str, connector: dict[str, Any], account: dict[str, Any]) -> Account:
    """Read a configuration with one account, and return the account."""
    entry = {"id": "a", "tenant": "t", "connector": "c", "name": "n", "currency": "EUR"}
    values = {
        "connectors": {"c": {"provider": kind, **CONNECTORS[kind], **connector}},
        "accounts": [{**entry, **REQUIRED[kind], **account}],
    }
    settings: Settings = parse_settings(values, Path())
    return settings.accounts[0]


@pytest.mark.parametrize(
    ("kind", "connector", "account", "added", "removed"),
    [
        ("light", {}, {}, set(), set()),
        ("light", {}, {"derive_opening_balance_as_of": DAY}, READ_OPENING, set()),
        ("asset", {}, {}, set(), set()),
        ("asset", {}, {"derive_opening_balance_as_of": DAY}, READ_OPENING, set()),
        ("layer", {}, {}, set(), WRITE),
        ("layer", {}, {"bank_account_id": "b"}, set(), WRITE),
        ("layer", {}, {"custom_account_id": "b"}, set(), set()),
        ("layer", {"upsert_route": "custom_account"}, {"custom_account_id": "b"}, set(), set()),
        ("layer", {"upsert_route": "bank_account"}, {"custom_account_id": "b"}, set(), WRITE),
        ("layer", {"upsert_route": "bank_account"}, {"bank_account_id": "b"}, set(), set()),
        ("local", {}, {}, set(), set()),
        ("statement_file", {}, {}, set(), set()),
    ],
)
def test_capabilities_of_an_account_follow_its_configuration(
    kind: str,
    connector: dict[str, Any],
    account: dict[str, Any],
    added: set[Capability],
    removed: set[Capability],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET", "a-secret-of-the-test")
    supported = PROVIDERS[ProviderKind(kind)].capabilities

    found = read_account(kind, connector, account).capabilities

    assert found == (supported | added) - removed


@pytest.mark.parametrize("route", [None, "custom_account", "bank_account"])
@pytest.mark.parametrize("key", [None, "custom_account_id", "bank_account_id"])
async def test_layer_refuses_writes_of_accounts_without_the_capability(
    route: str | None,
    key: str | None,
    make: ProviderFactory,
    fake_layer: fake_servers.FakeLayerServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Capability and adapter decide by the same rule."""
    monkeypatch.setenv("SECRET", "a-secret-of-the-test")
    connector = {} if route is None else {"upsert_route": route}
    ids = {} if key is None else {key: "b"}
    account = read_account("layer", connector, {"normal_balance": "debit", **ids})
    provider = make.layer(fake_layer.url, **connector)
    write = make_write(account, 5, effective_at=datetime(2026, 1, 1, tzinfo=UTC))

    with pytest.raises(GatewayError) as caught:
        await provider.set_opening_balance(write)

    can_write = Capability.WRITE_OPENING_BALANCE in account.capabilities
    assert isinstance(caught.value, Unsupported) is not can_write
    assert bool(fake_layer.calls()) is can_write
