"""Tests a complete configuration file and the handling of random values."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from balance_gateway.app.configuration import parse_settings, read_settings
from balance_gateway.config.errors import ConfigError
from balance_gateway.config.settings import CacheSettings, ServerSettings, Settings
from balance_gateway.domain.accounts import ProviderKind, Side
from balance_gateway.domain.secret import Secret
from balance_gateway.providers.asset.provider import AssetSettings
from balance_gateway.providers.layer.provider import LayerSettings
from balance_gateway.providers.light.provider import LightSettings
from balance_gateway.providers.local.spec import LocalSettings

FULL = """
    [server]
    host = "0.0.0.0"
    port = 8080
    workers = 3
    request_timeout_s = 12.5
    cors_origins = ["https://app.example"]
    graphiql = true
    compiled = false
    environment = "staging"

    [storage]
    url = "postgresql://user@host/db"

    [cache]
    url = "redis://host:6379/0"
    enabled = false
    today_ttl_s = 31
    past_ttl_s = 601
    opening_balance_ttl_s = 3601
    bank_feed_ttl_s = 301
    stale_ttl_s = 86401
    stale_patience_s = 1.5
    late_landing_s = 33
    entries_max = 1000

    [[auth.api_keys]]
    name = "dashboard"
    key = "env:KEY"
    tenant = "acme"
    scopes = ["balances:read", "balances:write", "accounts:admin", "audit:read"]

    [auth.jwt]
    issuer = "https://issuer.example"
    audience = "balance-gateway"
    jwks_url = "https://issuer.example/jwks.json"

    [connectors.light_eu]
    provider = "light"
    base_url = "https://api.light.inc/"
    api_key = "env:KEY"
    timeout_s = 2.5
    requests_per_minute = 200
    max_concurrency = 7
    currency = "EUR"
    redirect_hosts = ["eu.light.inc"]
    transport = "httpx"

    [connectors.asset_us]
    provider = "asset"
    base_url = "https://api.getasset.com"
    client_id = "env:KEY"
    client_secret = "env:OTHER_KEY"
    basis = "accrual"
    entries_start = 2026-01-01T00:00:00Z

    [connectors.layer_us]
    provider = "layer"
    base_url = "https://api.layerfi.com"
    token_url = "https://auth.layerfi.com/oauth2/token"
    scope = "https://api.layerfi.com/production"
    client_id = "env:KEY"
    client_secret = "env:OTHER_KEY"
    reporting_basis = "CASH"
    upsert_route = "bank_account"

    [connectors.layer_token]
    provider = "layer"
    base_url = "http://127.0.0.1:8001/layer"
    access_token = "env:KEY"

    [connectors.books]
    provider = "local"

    [[accounts]]
    id = "acct_operating"
    tenant = "acme"
    connector = "light_eu"
    name = "Operating EUR"
    time_zone = "Europe/Copenhagen"
    bank_account_id = "b-1"
    normal_balance = "credit"
    derive_opening_balance_as_of = 2024-12-31

    [[accounts]]
    id = "acct_asset"
    tenant = "acme"
    connector = "asset_us"
    name = "Asset"
    currency = "USD"
    business_id = "b-2"
    ledger_id = "l-2"
    external_account_id = "e-2"
    derive_opening_balance_as_of = "2024-12-31"

    [[accounts]]
    id = "acct_layer"
    tenant = "globex"
    connector = "layer_us"
    name = "Layer"
    currency = "USD"
    business_id = "b-3"
    external_account_id = "e-3"
    ledger_account_id = "l-3"
    custom_account_id = "c-3"
    bank_account_id = "k-3"

    [[accounts]]
    id = "acct_books"
    tenant = "acme"
    connector = "books"
    name = "Books"
    currency = "JPY"
"""
ReadText = Callable[[str], Settings]


def test_every_key_of_server_storage_and_cache_is_read(read_text: ReadText) -> None:
    found = read_text(FULL)

    assert found.server == ServerSettings(
        host="0.0.0.0", port=8080, workers=3, request_timeout_s=12.5,
        cors_origins=("https://app.example",), graphiql=True, compiled=False, environment="staging",
    )  # fmt: skip
    assert found.storage.url.reveal() == "postgresql://user@host/db"
    assert found.cache == CacheSettings(
        url=found.cache.url, enabled=False, today_ttl_s=31, past_ttl_s=601,
        opening_balance_ttl_s=3601, bank_feed_ttl_s=301, stale_ttl_s=86401, stale_patience_s=1.5,
        late_landing_s=33, entries_max=1000,
    )  # fmt: skip
    assert found.cache.url.reveal() == "redis://host:6379/0"


def test_every_key_of_auth_is_read(read_text: ReadText) -> None:
    found = read_text(FULL)

    (key,) = found.api_keys
    assert (key.name, key.tenant, key.key.reveal()) == ("dashboard", "acme", "k" * 40)
    assert [scope.value for scope in key.scopes] == [
        "balances:read", "balances:write", "accounts:admin", "audit:read",
    ]  # fmt: skip
    assert found.jwt is not None
    assert found.jwt.issuer == "https://issuer.example"
    assert found.jwt.audience == "balance-gateway"
    assert found.jwt.jwks_url == "https://issuer.example/jwks.json"


def test_every_key_of_connectors_is_read(read_text: ReadText) -> None:
    connectors = read_text(FULL).connectors
    light, asset, layer, token, books = (one.settings for one in connectors)

    assert [(one.name, one.provider) for one in connectors] == [
        ("light_eu", ProviderKind.LIGHT),
        ("asset_us", ProviderKind.ASSET),
        ("layer_us", ProviderKind.LAYER),
        ("layer_token", ProviderKind.LAYER),
        ("books", ProviderKind.LOCAL),
    ]
    assert light == LightSettings(
        base_url="https://api.light.inc", api_key=Secret("k" * 40), timeout_s=2.5,
        requests_per_minute=200, max_concurrency=7, currency="EUR",
        redirect_hosts=("eu.light.inc",), transport="httpx",
    )  # fmt: skip
    assert asset == AssetSettings(
        base_url="https://api.getasset.com", client_id=Secret("k" * 40),
        client_secret=Secret("o" * 40), basis="accrual",
        entries_start=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    assert layer == LayerSettings(
        base_url="https://api.layerfi.com", client_id=Secret("k" * 40),
        client_secret=Secret("o" * 40), token_url="https://auth.layerfi.com/oauth2/token",
        scope="https://api.layerfi.com/production", reporting_basis="CASH",
        upsert_route="bank_account",
    )  # fmt: skip
    assert token == LayerSettings(
        base_url="http://127.0.0.1:8001/layer", access_token=Secret("k" * 40)
    )
    assert books == LocalSettings()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("HTTPS://API.Light.inc/", "https://api.light.inc"),
        ("https://api.light.inc:443/V1/", "https://api.light.inc/V1"),
        ("https://api.light.inc:8443", "https://api.light.inc:8443"),
        ("http://LocalHost:80", "http://localhost"),
        ("http://localhost:443", "http://localhost:443"),
        ("http://[::1]:8001/light", "http://[::1]:8001/light"),
    ],
)
def test_base_urls_are_normalised(read_text: ReadText, written: str, meant: str) -> None:
    light = '[connectors.main]\nprovider = "light"\naccess_token = "env:KEY"\n'

    (connector,) = read_text(f'{light}base_url = "{written}"').connectors

    assert connector.settings.address == meant


def test_every_key_of_accounts_is_read(read_text: ReadText) -> None:
    light, asset, layer, books = read_text(FULL).accounts

    assert (light.id, light.tenant, light.connector) == ("acct_operating", "acme", "light_eu")
    assert (light.currency, light.time_zone.key) == ("EUR", "Europe/Copenhagen")
    assert light.normal_balance is Side.CREDIT
    assert light.derive_opening_balance_as_of == date(2024, 12, 31)
    assert light.remote == {"bank_account_id": "b-1"}
    assert asset.remote == {
        "business_id": "b-2", "ledger_id": "l-2", "external_account_id": "e-2",
    }  # fmt: skip
    assert asset.derive_opening_balance_as_of == date(2024, 12, 31)
    assert layer.remote == {
        "business_id": "b-3", "external_account_id": "e-3", "ledger_account_id": "l-3",
        "custom_account_id": "c-3", "bank_account_id": "k-3",
    }  # fmt: skip
    assert (books.currency, books.time_zone.key, books.normal_balance) == ("JPY", "UTC", None)


def test_an_empty_file_gives_the_defaults(read_text: ReadText) -> None:
    found = read_text("")

    assert found.server == ServerSettings()
    assert found.cache == CacheSettings()
    assert (found.api_keys, found.jwt, found.connectors, found.accounts) == ((), None, (), ())
    assert found.storage.url.reveal() == "sqlite:///balance-gateway.db"


def test_printed_settings_contain_no_secret(read_text: ReadText) -> None:
    shown = repr(read_text(FULL))

    assert "kkkk" not in shown
    assert "oooo" not in shown


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[server", "not TOML"),
        (b"port = 1\nport = 2", "not TOML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a = " + b"[" * 100_000, "not TOML"),
        (b"port = " + b"9" * 5000, "not TOML"),
    ],
    ids=["unclosed", "twice", "not utf-8", "nested", "huge"],
)
def test_invalid_toml_is_reported_with_the_path(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=expected) as caught:
        read_settings(path)

    assert str(path) in str(caught.value)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_settings(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigError, match="directory"):
        read_settings(tmp_path)


NAMES = """server storage cache auth connectors accounts host port workers url enabled today_ttl_s
    api_keys jwt name key tenant scopes issuer audience jwks_url provider base_url api_key
    access_token client_id client_secret token_url timeout_s currency basis entries_start id
    connector time_zone bank_account_id business_id normal_balance main"""
TEXTS = """light asset layer local main EUR XAU UTC Europe ../etc env:KEY env: file: file:x file:\0
    https://x http://x http://[ https://u:p@x redis://:p@[ sqlite:// memory:// debit
    2026-01-01 balances:read"""
KEYS = st.sampled_from(NAMES.split()) | st.text(max_size=4)
WORDS = st.sampled_from(TEXTS.split())
SCALARS = (
    st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS
    | st.dates() | st.times() | st.datetimes()
)  # fmt: skip
JUNK: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
CONNECTOR = st.dictionaries(KEYS, SCALARS, max_size=5).map(
    lambda junk: {"provider": "light", "base_url": "https://x", "access_token": "env:KEY", **junk}
)
ACCOUNT = st.dictionaries(KEYS, SCALARS, max_size=4).map(
    lambda junk: {
        "id": "a", "tenant": "t", "connector": "main", "name": "n", "bank_account_id": "b",
        "currency": "EUR", **junk,
    }
)  # fmt: skip
FILES = st.dictionaries(KEYS, JUNK, max_size=5) | st.fixed_dictionaries(
    {"connectors": st.fixed_dictionaries({"main": CONNECTOR}), "accounts": st.lists(ACCOUNT)}
)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=FILES)
def test_random_values_are_read_or_rejected_in_one_line(
    values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "k" * 40)

    message = "none"
    try:
        parse_settings(values, tmp_path)
    except ConfigError as error:
        message = str(error)

    assert message.isprintable()
