"""Each wrong value is refused in one line that names its key, and shows no secret."""

from collections.abc import Callable
from pathlib import Path

import pytest

from balance_gateway.config.settings import Settings

Refusal = Callable[[str], str]
Read = Callable[[str], Settings]
LIGHT = '[connectors.main]\nprovider = "light"\nbase_url = "https://x"\napi_key = "env:KEY"\n'
ASSET = '[connectors.main]\nprovider = "asset"\nbase_url = "https://x"\naccess_token = "env:KEY"\n'
LAYER = '[connectors.main]\nprovider = "layer"\nbase_url = "https://x"\naccess_token = "env:KEY"\n'
LOCAL = '[connectors.main]\nprovider = "local"\n'
KEY = '[[auth.api_keys]]\nname = "n"\nkey = "env:KEY"\ntenant = "t"\nscopes = ["balances:read"]\n'
ACCOUNT = '[[accounts]]\nid = "a"\ntenant = "t"\nconnector = "main"\nname = "n"\ncurrency = "EUR"\n'
LIGHT_ACCOUNT = ACCOUNT + 'bank_account_id = "b"\n'
BOOKS = LOCAL + ACCOUNT
PASSWORD = "hunter2"


def changed(text: str, key: str, line: str) -> str:
    """The text with the line of a key replaced, or dropped."""
    kept = [row for row in text.splitlines() if not row.startswith(f"{key} =")]
    return "\n".join([*kept, line]) + "\n"


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
def test_an_unknown_key_is_named_with_the_nearest_known_one(
    refusal: Refusal, text: str, key: str, nearest: str
) -> None:
    message = refusal(text)

    assert message == f"{key} is not a known key; did you mean '{nearest}'?"


def test_an_unknown_key_near_to_none_is_told_what_is_known(refusal: Refusal) -> None:
    assert refusal("[storage]\nqqqq = 1") == "storage.qqqq is not a known key; known: url"


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
        ("[server]\ncors_origins = [1]", "server.cors_origins"),
        ("[server]\ngraphiql = 1", "server.graphiql"),
        ("[server]\ncompiled = 1", "server.compiled"),
        ("[storage]\nurl = 'mysql://x'", "storage.url"),
        ("[storage]\nurl = 'postgresql://u@[::1/db'", "storage.url"),
        ("[cache]\nurl = 'memcached://x'", "cache.url"),
        ("[cache]\nurl = 'redis://x:99999/0'", "cache.url"),
        ("[cache]\nenabled = 'yes'", "cache.enabled"),
        *[(f"[cache]\n{name}_s = -1", f"cache.{name}_s") for name in (
            "today_ttl", "past_ttl", "opening_balance_ttl", "stale_ttl", "late_landing")],
        ("[cache]\nentries_max = 0", "cache.entries_max"),
        ("[auth]\napi_keys = 1", "auth.api_keys"),
        ("[auth]\napi_keys = [1]", "auth.api_keys[0]"),
        *[(changed(KEY, name, ""), f"auth.api_keys[0].{name}") for name in (
            "name", "key", "tenant", "scopes")],
        (changed(KEY, "scopes", "scopes = []"), "auth.api_keys[0].scopes"),
        (changed(KEY, "scopes", "scopes = ['balance:read']"), "auth.api_keys[0].scopes"),
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
        (changed(LIGHT, "base_url", ""), "connectors.main.base_url"),
        *[(changed(LIGHT, "base_url", f"base_url = '{u}'"), "connectors.main.base_url") for u in (
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
        (changed(BOOKS, "connector", "connector = 'other'"), "accounts[0].connector"),
        *[(changed(BOOKS, name, ""), f"accounts[0].{name}") for name in (
            "id", "tenant", "connector", "name", "currency")],
        *[(changed(BOOKS, "id", f"id = '{value}'"), "accounts[0].id") for value in (
            "a b", "ä", "x" * 65, "a.b")],
        (changed(BOOKS, "currency", "currency = 'eur'"), "accounts[0].currency"),
        (changed(BOOKS, "currency", "currency = 'XXX'"), "accounts[0].currency"),
        *[(BOOKS + f"time_zone = '{zone}'", "accounts[0].time_zone") for zone in (
            "Europe/Kopenhagen", "Europe", "../etc/passwd", "/etc/passwd", "CEST+2")],
        (BOOKS + "normal_balance = 'kredit'", "accounts[0].normal_balance"),
        *[(LIGHT + LIGHT_ACCOUNT + f"derive_opening_balance_as_of = {value}",
           "accounts[0].derive_opening_balance_as_of") for value in (
            "'soon'", "1", "2024-12-31T00:00:00Z", "2024-12-31T00:00:00")],
        (LIGHT + ACCOUNT, "accounts[0].bank_account_id"),
        (ASSET + ACCOUNT + "business_id = 'b'", "accounts[0].ledger_id"),
        (LAYER + ACCOUNT + "business_id = 'b'", "accounts[0].external_account_id"),
    ],
)  # fmt: skip
def test_a_wrong_or_missing_value_is_refused_by_its_key(
    refusal: Refusal, text: str, key: str
) -> None:
    message = refusal(text)

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
def test_what_another_provider_takes_is_refused(refusal: Refusal, text: str, key: str) -> None:
    assert refusal(text).startswith(f"{key} is not a known key")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (changed(LIGHT, "api_key", ""), "api_key"),
        (changed(ASSET, "access_token", "client_id = 'env:KEY'"), "client_secret"),
        (changed(ASSET, "access_token", "client_secret = 'env:KEY'"), "client_id"),
        (changed(LAYER, "access_token",
                 "client_id = 'env:KEY'\nclient_secret = 'env:OTHER_KEY'"), "token_url"),
        (LIGHT + "access_token = 'env:KEY'", "access_token"),
        (ASSET + "client_id = 'env:KEY'", "access_token"),
    ],
)  # fmt: skip
def test_credentials_are_given_whole_and_of_one_kind(refusal: Refusal, text: str, key: str) -> None:
    assert refusal(text).startswith(f"connectors.main.{key} ")


@pytest.mark.parametrize("secret", [PASSWORD, f"enV:{PASSWORD}", f"https://u:{PASSWORD}@x", "env:"])
@pytest.mark.parametrize(
    ("text", "key"), [(LIGHT, "api_key"), (ASSET, "access_token"), (KEY, "key")]
)
def test_a_literal_secret_is_refused_and_not_repeated(
    refusal: Refusal, text: str, key: str, secret: str
) -> None:
    message = refusal(changed(text, key, f"{key} = '{secret}'"))

    assert "must be a reference" in message
    assert PASSWORD not in message


@pytest.mark.parametrize("table", ["storage", "cache"])
@pytest.mark.parametrize(
    "url", [f"redis://:{PASSWORD}@h/0", f"postgresql://u:{PASSWORD}@h/d", f"x://u:{PASSWORD}@[/"]
)
def test_a_url_with_a_password_is_refused_and_not_repeated(
    refusal: Refusal, table: str, url: str
) -> None:
    message = refusal(f"[{table}]\nurl = '{url}'")

    assert message.startswith(f"{table}.url ")
    assert PASSWORD not in message


def test_a_url_with_a_password_is_taken_by_reference_and_not_shown(
    read: Read, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHE_URL", f"redis://:{PASSWORD}@h/0")
    monkeypatch.setenv("WRONG_URL", f"redis://:{PASSWORD}@[")

    found = read("[cache]\nurl = 'env:CACHE_URL'")
    message = refusal("[cache]\nurl = 'env:WRONG_URL'")

    assert found.cache.url.reveal().endswith("@h/0")
    assert PASSWORD not in repr(found)
    assert PASSWORD not in message


def test_a_base_url_with_a_password_is_not_repeated(refusal: Refusal) -> None:
    message = refusal(changed(LIGHT, "base_url", f"base_url = 'https://u:{PASSWORD}@x'"))

    assert PASSWORD not in message


def test_a_secret_is_read_from_a_file_beside_the_configuration(read: Read, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text(f"  {PASSWORD}\n")

    found = read(changed(KEY, "key", "key = 'file:secret.txt'"))
    absolute = read(changed(KEY, "key", f"key = 'file:{tmp_path}/secret.txt'"))

    assert found.api_keys[0].key.reveal() == absolute.api_keys[0].key.reveal() == PASSWORD


@pytest.mark.parametrize("name", ["NOWHERE_SET", "EMPTY"])
def test_a_variable_that_is_not_set_is_named(
    refusal: Refusal, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("EMPTY", "")

    message = refusal(changed(LIGHT, "api_key", f"api_key = 'env:{name}'"))

    assert message == f"connectors.main.api_key: the environment variable {name} is not set"


@pytest.mark.parametrize("name", ["missing", "empty", "binary", ".", "a\\u0000b"])
def test_a_file_that_gives_no_secret_is_named(refusal: Refusal, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff")

    message = refusal(changed(KEY, "key", f'key = "file:{name}"'))

    assert message.startswith("auth.api_keys[0].key: ")


def test_two_accounts_with_one_id_are_refused_even_of_two_tenants(refusal: Refusal) -> None:
    message = refusal(BOOKS + changed(ACCOUNT, "tenant", "tenant = 'u'"))

    assert message == "accounts: duplicate account id 'a'"


def test_more_workers_need_a_shared_cache_and_storage(refusal: Refusal, read: Read) -> None:
    many = "[server]\nworkers = 2\n"
    shared = "[cache]\nurl = 'redis://h/0'\n"

    assert "cache.url is memory://" in refusal(many)
    assert "storage.url is in memory" in refusal(many + shared + "[storage]\nurl = 'sqlite://'")
    assert read(many + shared).server.workers == 2
    assert read(many + "[cache]\nenabled = false\n").server.workers == 2


def test_a_key_that_breaks_the_line_is_shown_in_one(refusal: Refusal) -> None:
    assert refusal('"a\\nb" = 1').startswith("'a\\nb' is not a known key")
    assert refusal('[connectors."a\\nb"]').startswith("connectors.'a\\nb'.provider is missing")
