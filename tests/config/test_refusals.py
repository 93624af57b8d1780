"""Tests that an invalid value is reported in one line with its key and without secrets."""

from collections.abc import Callable
from pathlib import Path

import pytest

from balance_gateway.config.settings import Settings

ReadError = Callable[[str], str]
ReadText = Callable[[str], Settings]
LIGHT = '[connectors.main]\nprovider = "light"\nbase_url = "https://x"\napi_key = "env:KEY"\n'
ASSET = '[connectors.main]\nprovider = "asset"\nbase_url = "https://x"\naccess_token = "env:KEY"\n'
LAYER = '[connectors.main]\nprovider = "layer"\nbase_url = "https://x"\naccess_token = "env:KEY"\n'
LOCAL = '[connectors.main]\nprovider = "local"\n'
KEY = '[[auth.api_keys]]\nname = "n"\nkey = "env:KEY"\ntenant = "t"\nscopes = ["balances:read"]\n'
ACCOUNT = '[[accounts]]\nid = "a"\ntenant = "t"\nconnector = "main"\nname = "n"\ncurrency = "EUR"\n'
LIGHT_ACCOUNT = ACCOUNT + 'bank_account_id = "b"\n'
BOOKS = LOCAL + ACCOUNT
PASSWORD = "hunter2"


def replace_line(text: str, key: str, line: str) -> str:
    """Return the text with the line of a key replaced or removed."""
    others = [row for row in text.splitlines() if not row.startswith(f"{key} =")]
    return "\n".join([*others, line]) + "\n"


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("[servr]", "servr", "server"),
        ("[server]\nprot = 1", "server.prot", "port"),
        ("[storage]\nurll = 'x'", "storage.urll", "url"),
        ("[cache]\ntoday_ttl = 1", "cache.today_ttl", "today_ttl_s"),
        ("[auth]\napi_key = 1", "auth.api_key", "api_keys"),
        (KEY + "scope = []", "auth.api_keys[0].scope", "scopes"),
        (LIGHT + "requests_per_min = 1", "connectors.main.requests_per_min", "requests_per_minute"),
        (LIGHT + LIGHT_ACCOUNT + "timezone = 'UTC'", "accounts[0].timezone", "time_zone"),
    ],
)
def test_an_unknown_key_is_reported_with_the_nearest_known_key(
    read_error: ReadError, text: str, key: str, nearest: str
) -> None:
    message = read_error(text)

    assert message == f"{key} is not a known key; did you mean '{nearest}'?"


def test_an_unknown_key_without_a_near_one_lists_the_known_keys(read_error: ReadError) -> None:
    assert read_error("[storage]\nqqqq = 1") == "storage.qqqq is not a known key; known: url"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("server = 1", "server"),
        ("[server]\nport = '8000'", "server.port"),
        ("[server]\nport = 65536", "server.port"),
        ("[server]\nport = -1", "server.port"),
        ("[server]\nport = true", "server.port"),
        ("[server]\nport = 1.0", "server.port"),
        ("[server]\nhost = ''", "server.host"),
        ("[server]\nhost = 1", "server.host"),
        ("[server]\nworkers = 0", "server.workers"),
        ("[server]\nworkers = 257", "server.workers"),
        ("[server]\nrequest_timeout_s = 0.09", "server.request_timeout_s"),
        ("[server]\nrequest_timeout_s = nan", "server.request_timeout_s"),
        ("[server]\ncors_origins = 'x'", "server.cors_origins"),
        ("[server]\ncors_origins = [1]", "server.cors_origins[0]"),
        *[(f"[server]\ncors_origins = ['*', '{origin}']", "server.cors_origins[1]") for origin in (
            "", "x", "app.example", "https://app.example/", "https://app.example/path", "https://",
            "https://*.app.example", "https://app.example:443", "http://app.example:80",
            "https://app.example:0443", "https://app.example:", "https://app.example:65536",
            "https://app.example:http", "HTTPS://app.example", "https://App.example",
            "https://b\u00fccher.example", "https://user@app.example", "https://app.example?x",
            "https://app.example#x", "https://a b", " https://app.example", "https://app.example ",
            "//app.example", "https:app.example", "https://[::1", "https://[0:0::1]",
            "https://127.1", "http://0x7f.0.0.1", "http://1.2.3.256", "https://-a.example",
            "https://a..example", "NULL", "https://app.example,https://b.example",
        )],
        *[(f"[server]\nroot_path = {path!r}", "server.root_path") for path in (
            "x", "/", "/x/", "//x", "/x//y", "/a b", "/x?y", "/x%20y", "/..", "/a/../b", "/./a",
            "https://x/y", "/x\n",
        )],
        *[(f"[server]\ntrusted_proxies = ['::1', {network!r}]", "server.trusted_proxies[1]")
          for network in ("", "proxy", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "*", "::1/64")],
        *[(f"[server]\ncors_headers = [{name!r}]", "server.cors_headers[0]") for name in (
            "", "*", "a b", "a,b", "a:", "x-\u00e9", "x\n",
        )],
        ("[server]\nmetrics_key = 'env:NOT_SET'", "server.metrics_key"),
        *[(f"[server]\nmetrics_address = {address!r}", "server.metrics_address") for address in (
            "9100", "127.0.0.1", "127.0.0.1:", ":9100", "127.0.0.1:0", "127.0.0.1:65536",
            "::1:9100", "http://127.0.0.1:9100", "127.0.0.1:9100\n",
        )],
        ("[server]\ngraphiql = 1", "server.graphiql"),
        ("[server]\ncompiled = 1", "server.compiled"),
        ('[server]\nenvironment = "two\\nlines"', "server.environment"),
        (f'[server]\nenvironment = "{"x" * 41}"', "server.environment"),
        ("[storage]\nurl = 'mysql://x'", "storage.url"),
        ("[storage]\nurl = 'postgresql://u@[::1/db'", "storage.url"),
        ("[storage]\nurl = 'postgresql://u@h/db?sslmode=on'", "storage.url"),
        ("[storage]\nurl = 'postgresql://u@h/db?options=x'", "storage.url"),
        ("[cache]\nurl = 'memcached://x'", "cache.url"),
        ("[cache]\nurl = 'redis://x:99999/0'", "cache.url"),
        ("[cache]\nenabled = 'yes'", "cache.enabled"),
        *[(f"[cache]\n{name}_s = -1", f"cache.{name}_s") for name in (
            "today_ttl", "past_ttl", "opening_balance_ttl", "bank_feed_ttl", "stale_ttl",
            "late_landing")],
        ("[cache]\nentries_max = 0", "cache.entries_max"),
        ("[auth]\napi_keys = 1", "auth.api_keys"),
        ("[auth]\napi_keys = [1]", "auth.api_keys[0]"),
        *[(replace_line(KEY, name, ""), f"auth.api_keys[0].{name}") for name in (
            "name", "key", "tenant", "scopes")],
        (replace_line(KEY, "scopes", "scopes = []"), "auth.api_keys[0].scopes"),
        (replace_line(KEY, "scopes", "scopes = ['balance:read']"), "auth.api_keys[0].scopes[0]"),
        (KEY + KEY.replace("env:KEY", "env:OTHER_KEY"), "auth.api_keys"),
        (KEY + KEY.replace('"n"', '"m"'), "auth.api_keys"),
        ("[auth.jwt]\naudience = 'a'\njwks_url = 'https://x'", "auth.jwt.issuer"),
        ("[auth.jwt]\nissuer = 'i'\njwks_url = 'https://x'", "auth.jwt.audience"),
        ("[auth.jwt]\nissuer = 'i'\naudience = 'a'", "auth.jwt.jwks_url"),
        ("[auth.jwt]\nissuer = 'i'\naudience = 'a'\njwks_url = 'http://x'", "auth.jwt.jwks_url"),
        ("connectors = 1", "connectors"),
        ("[connectors]\nmain = 1", "connectors.main"),
        ("[connectors.main]", "connectors.main.provider"),
        ("[connectors.main]\nprovider = 'lihgt'", "connectors.main.provider"),
        (replace_line(LIGHT, "base_url", ""), "connectors.main.base_url"),
        *[(replace_line(LIGHT, "base_url", f"base_url = '{url}'"), "connectors.main.base_url")
          for url in (
            "http://api.light.inc", "ftp://x", "x", "https://", "https://u@x", "https://u:p@x",
            "https://x?a=b", "https://x#f", "https://[x", "https://x:port", "//x")],
        (LIGHT + "timeout_s = 0", "connectors.main.timeout_s"),
        (LIGHT + "requests_per_minute = 0", "connectors.main.requests_per_minute"),
        (LIGHT + "max_concurrency = 0", "connectors.main.max_concurrency"),
        (LIGHT + "currency = 'EURO'", "connectors.main.currency"),
        (LIGHT + "currency = 'XAU'", "connectors.main.currency"),
        (LIGHT + "redirect_hosts = 'x'", "connectors.main.redirect_hosts"),
        (ASSET + "basis = 'cash'", "connectors.main.basis"),
        *[(ASSET + f"entries_start = {value}", "connectors.main.entries_start") for value in (
            "2026-01-01", "2026-01-01T00:00:00", "'2026-01-01T00:00:00'", "'soon'", "1",
            "12:00:00")],
        (LAYER + "reporting_basis = 'accrual'", "connectors.main.reporting_basis"),
        (LAYER + "upsert_route = 'any'", "connectors.main.upsert_route"),
        (replace_line(BOOKS, "connector", "connector = 'other'"), "accounts[0].connector"),
        *[(replace_line(BOOKS, name, ""), f"accounts[0].{name}") for name in (
            "id", "tenant", "connector", "name", "currency")],
        *[(replace_line(BOOKS, "id", f"id = '{value}'"), "accounts[0].id") for value in (
            "a b", "ä", "x" * 65, "a.b")],
        (replace_line(BOOKS, "currency", "currency = 'eur'"), "accounts[0].currency"),
        (replace_line(BOOKS, "currency", "currency = 'XXX'"), "accounts[0].currency"),
        *[(BOOKS + f"time_zone = '{zone}'", "accounts[0].time_zone") for zone in (
            "Europe/Kopenhagen", "Europe", "../etc/passwd", "/etc/passwd", "CEST+2")],
        (BOOKS + "normal_balance = 'kredit'", "accounts[0].normal_balance"),
        *[(LIGHT + LIGHT_ACCOUNT + f"derive_opening_balance_as_of = {value}",
           "accounts[0].derive_opening_balance_as_of") for value in (
            "'soon'", "1", "2024-12-31T00:00:00Z", "2024-12-31T00:00:00")],
        (LIGHT + ACCOUNT, "accounts[0].bank_account_id"),
        *[(LIGHT + ACCOUNT + f"bank_account_id = {value}", "accounts[0].bank_account_id")
          for value in ("''", "'a b'", "'a/b'", "'..'", "'ä'", '"a\\n"', f"'{'x' * 129}'", "1")],
        (LAYER + ACCOUNT + "business_id = 'b'\nexternal_account_id = 'e'\nledger_account_id = '/'",
         "accounts[0].ledger_account_id"),
        (ASSET + ACCOUNT + "business_id = 'b'", "accounts[0].ledger_id"),
        (LAYER + ACCOUNT + "business_id = 'b'", "accounts[0].external_account_id"),
    ],
)  # fmt: skip
def test_an_invalid_or_missing_value_is_reported_by_its_key(
    read_error: ReadError, text: str, key: str
) -> None:
    message = read_error(text)

    assert message.startswith((f"{key} ", f"{key}:"))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (LIGHT + "basis = 'accrual'", "connectors.main.basis"),
        (LIGHT + "client_id = 'env:KEY'", "connectors.main.client_id"),
        (ASSET + "api_key = 'env:KEY'", "connectors.main.api_key"),
        (ASSET + "token_url = 'https://x'", "connectors.main.token_url"),
        (LAYER + "entries_start = 2026-01-01T00:00:00Z", "connectors.main.entries_start"),
        (LOCAL + "base_url = 'https://x'", "connectors.main.base_url"),
        (BOOKS + "bank_account_id = 'b'", "accounts[0].bank_account_id"),
        (LIGHT + LIGHT_ACCOUNT + "ledger_id = 'l'", "accounts[0].ledger_id"),
        (BOOKS + "derive_opening_balance_as_of = 2024-12-31",
         "accounts[0].derive_opening_balance_as_of"),
    ],
)  # fmt: skip
def test_keys_of_another_provider_are_rejected(read_error: ReadError, text: str, key: str) -> None:
    assert read_error(text).startswith(f"{key} is not a known key")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (replace_line(LIGHT, "api_key", ""), "api_key"),
        (replace_line(ASSET, "access_token", "client_id = 'env:KEY'"), "client_secret"),
        (replace_line(ASSET, "access_token", "client_secret = 'env:KEY'"), "client_id"),
        (replace_line(LAYER, "access_token",
                 "client_id = 'env:KEY'\nclient_secret = 'env:OTHER_KEY'"), "token_url"),
        (LIGHT + "access_token = 'env:KEY'", "access_token"),
        (ASSET + "client_id = 'env:KEY'", "access_token"),
    ],
)  # fmt: skip
def test_credentials_must_be_complete_and_of_one_kind(
    read_error: ReadError, text: str, key: str
) -> None:
    assert read_error(text).startswith(f"connectors.main.{key} ")


@pytest.mark.parametrize("secret", [PASSWORD, f"enV:{PASSWORD}", f"https://u:{PASSWORD}@x", "env:"])
@pytest.mark.parametrize(
    ("text", "key"), [(LIGHT, "api_key"), (ASSET, "access_token"), (KEY, "key")]
)
def test_a_literal_secret_is_rejected_and_not_shown(
    read_error: ReadError, text: str, key: str, secret: str
) -> None:
    message = read_error(replace_line(text, key, f"{key} = '{secret}'"))

    assert "must be a reference" in message
    assert PASSWORD not in message


@pytest.mark.parametrize("table", ["storage", "cache"])
@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{PASSWORD}@h/0",
        f"redis://h/0?password={PASSWORD}",
        f"postgresql://u:{PASSWORD}@h/d",
        f"postgresql://u@h/d?sslmode=require&password={PASSWORD}",
        f"x://u:{PASSWORD}@[/",
    ],
)
def test_a_url_with_a_password_is_rejected_and_not_shown(
    read_error: ReadError, table: str, url: str
) -> None:
    message = read_error(f"[{table}]\nurl = '{url}'")

    assert message.startswith(f"{table}.url ")
    assert PASSWORD not in message


def test_a_url_with_a_password_is_accepted_by_reference(
    read_text: ReadText, read_error: ReadError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHE_URL", f"redis://:{PASSWORD}@h/0")
    monkeypatch.setenv("WRONG_URL", f"redis://:{PASSWORD}@[")

    found = read_text("[cache]\nurl = 'env:CACHE_URL'")
    message = read_error("[cache]\nurl = 'env:WRONG_URL'")

    assert found.cache.url.reveal().endswith("@h/0")
    assert PASSWORD not in repr(found)
    assert PASSWORD not in message


def test_a_password_in_a_base_url_is_not_shown(read_error: ReadError) -> None:
    message = read_error(replace_line(LIGHT, "base_url", f"base_url = 'https://u:{PASSWORD}@x'"))

    assert PASSWORD not in message


def test_a_secret_is_read_from_a_file_relative_to_the_configuration(
    read_text: ReadText, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text(f"  {'k' * 22}\n")

    found = read_text(replace_line(KEY, "key", "key = 'file:secret.txt'"))
    absolute = read_text(replace_line(KEY, "key", f"key = 'file:{tmp_path}/secret.txt'"))

    assert found.api_keys[0].key.reveal() == absolute.api_keys[0].key.reveal() == "k" * 22


@pytest.mark.parametrize("name", ["NOWHERE_SET", "EMPTY"])
def test_an_unset_environment_variable_is_reported(
    read_error: ReadError, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("EMPTY", "")

    message = read_error(replace_line(LIGHT, "api_key", f"api_key = 'env:{name}'"))

    assert message == f"connectors.main.api_key: the environment variable {name} is not set"


@pytest.mark.parametrize("name", ["missing", "empty", "binary", ".", "a\\u0000b"])
def test_an_unusable_secret_file_is_reported(
    read_error: ReadError, tmp_path: Path, name: str
) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff")

    message = read_error(replace_line(KEY, "key", f'key = "file:{name}"'))

    assert message.startswith("auth.api_keys[0].key: ")


def test_duplicate_account_ids_are_rejected_across_tenants(read_error: ReadError) -> None:
    message = read_error(BOOKS + replace_line(ACCOUNT, "tenant", "tenant = 'u'"))

    assert message == "accounts: duplicate account id 'a'"


def test_several_workers_need_a_shared_cache_and_storage(
    read_error: ReadError, read_text: ReadText
) -> None:
    many = "[server]\nworkers = 2\n"
    shared = "[cache]\nurl = 'redis://h/0'\n"

    assert "cache.url is memory://" in read_error(many)
    assert "storage.url is in memory" in read_error(many + shared + "[storage]\nurl = 'sqlite://'")
    assert read_text(many + shared).server.workers == 2
    assert read_text(many + "[cache]\nenabled = false\n").server.workers == 2


def test_a_key_with_a_line_break_is_shown_on_one_line(read_error: ReadError) -> None:
    assert read_error('"a\\nb" = 1').startswith("'a\\nb' is not a known key")
    assert read_error('[connectors."a\\nb"]').startswith("connectors.'a\\nb'.provider is missing")


@pytest.mark.parametrize("local", [BOOKS, LOCAL + "currency = 'EUR'\n" + ACCOUNT])
def test_a_tenant_outside_of_a_connector_s_is_refused(
    read_error: ReadError, read_text: ReadText, local: str
) -> None:
    limited = local.replace('"local"\n', '"local"\ntenants = ["acme", "u"]\n')

    assert read_error(limited) == (
        "accounts[0].tenant: 't' may not use the connector; add it to connectors.main.tenants,"
        " which has acme, u, or set another connector"
    )
    assert read_text(limited.replace('"u"', '"t"')).accounts[0].tenant == "t"
    assert read_error(local.replace('"local"\n', '"local"\ntenants = []\n')) == (
        "connectors.main.tenants must be a list of strings that is not empty"
    )
