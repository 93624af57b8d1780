"""Reads the configuration file into ``Settings`` or reports the first invalid key."""

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from balance_gateway.config.accounts import read_account
from balance_gateway.config.connectors import read_connector
from balance_gateway.config.settings import (
    ApiKeySettings,
    CacheSettings,
    JwtSettings,
    ServerSettings,
    Settings,
    StorageSettings,
)
from balance_gateway.config.table import ConfigError, Table
from balance_gateway.domain.access import Scope
from balance_gateway.domain.secret import Secret


def read_settings(path: Path) -> Settings:
    """Read the settings from a file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has an invalid key or value.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        # tomllib's own error is a ValueError. So is the error for a number with thousands of
        # digits; deep nesting raises RecursionError.
        raise ConfigError(f"{path} is not TOML: {error}") from None
    return parse_settings(values, path.parent)


def parse_settings(values: Mapping[str, Any], directory: Path) -> Settings:
    """Convert the values of a parsed file to settings.

    Args:
        values: the values as parsed by tomllib.
        directory: the base directory of relative ``file:`` references.

    Raises:
        ConfigError: a key is unknown or missing, or its value is invalid.
    """
    root = Table(values, "", directory)
    root.refuse_unknown({"server", "storage", "cache", "auth", "connectors", "accounts"})
    connectors = {
        name: read_connector(name, table) for name, table in root.named_tables("connectors").items()
    }
    accounts = tuple(read_account(table, connectors) for table in root.tables("accounts"))
    counts = Counter(account.id for account in accounts)
    duplicates = [account_id for account_id, count in counts.items() if count > 1]
    if duplicates:
        raise ConfigError(f"accounts: duplicate account id {duplicates[0]!r}")
    api_keys, jwt = _read_auth(root.table("auth"))
    settings = Settings(
        server=_read_server(root.table("server")),
        storage=_read_storage(root.table("storage")),
        cache=_read_cache(root.table("cache")),
        api_keys=api_keys,
        jwt=jwt,
        connectors=tuple(connectors.values()),
        accounts=accounts,
    )
    refuse_contradictions(settings, settings.server.workers)
    return settings


def refuse_contradictions(settings: Settings, workers: int) -> None:
    """Check that valid settings do not contradict each other.

    Args:
        settings: the settings.
        workers: the number of worker processes, which the command line may override.

    Raises:
        ConfigError: several workers would not share the cache or the storage.
    """
    if workers == 1:
        return
    if settings.cache.enabled and settings.cache.url.reveal().startswith("memory"):
        raise ConfigError(
            "server.workers is more than 1 and cache.url is memory://: workers would not see"
            " each other's writes; set cache.url to redis://HOST:6379/0, or workers to 1"
        )
    if settings.storage.url.reveal() == "sqlite://":
        raise ConfigError(
            "server.workers is more than 1 and storage.url is in memory: workers would not share"
            " the write journal; set storage.url to a file or to PostgreSQL, or workers to 1"
        )


def _list_keys(settings_class: type) -> set[str]:
    return {item.name for item in fields(settings_class)}


def _read_server(table: Table) -> ServerSettings:
    table.refuse_unknown(_list_keys(ServerSettings))
    default = ServerSettings()
    return ServerSettings(
        host=table.text("host", default.host),
        port=table.integer("port", default.port, minimum=0, maximum=65_535),
        workers=table.integer("workers", default.workers, minimum=1, maximum=256),
        request_timeout_s=table.seconds(
            "request_timeout_s", default.request_timeout_s, minimum=0.1
        ),
        cors_origins=table.texts("cors_origins"),
        graphiql=table.boolean("graphiql", default.graphiql),
        compiled=table.boolean("compiled", default.compiled),
    )


def _read_url(table: Table, default: Secret) -> Secret:
    """Read a storage or cache URL: literal, or by reference if it contains a password."""
    if not table.has("url"):
        return default
    text = table.text("url")
    if text.startswith(("env:", "file:")):
        return cast(Secret, table.secret("url"))
    if table.url_parts("url", text).password:
        raise ConfigError(
            f"{table.name('url')} contains a password; use a reference such as 'env:NAME'"
        )
    return Secret(text)


def _read_storage(table: Table) -> StorageSettings:
    table.refuse_unknown(_list_keys(StorageSettings))
    url = _read_url(table, StorageSettings().url)
    if table.url_parts("url", url.reveal()).scheme not in ("sqlite", "postgresql"):
        raise ConfigError("storage.url must start with sqlite:/// or postgresql://")
    return StorageSettings(url=url)


def _read_cache(table: Table) -> CacheSettings:
    table.refuse_unknown(_list_keys(CacheSettings))
    default = CacheSettings()
    url = _read_url(table, default.url)
    if table.url_parts("url", url.reveal()).scheme not in ("memory", "redis", "rediss", "unix"):
        raise ConfigError("cache.url must start with memory://, redis://, rediss:// or unix://")
    return CacheSettings(
        url=url,
        enabled=table.boolean("enabled", default.enabled),
        today_ttl_s=table.seconds("today_ttl_s", default.today_ttl_s),
        past_ttl_s=table.seconds("past_ttl_s", default.past_ttl_s),
        opening_balance_ttl_s=table.seconds("opening_balance_ttl_s", default.opening_balance_ttl_s),
        stale_ttl_s=table.seconds("stale_ttl_s", default.stale_ttl_s),
        late_landing_s=table.seconds("late_landing_s", default.late_landing_s),
        entries_max=table.integer("entries_max", default.entries_max, minimum=1, maximum=10**8),
    )


def _read_auth(table: Table) -> tuple[tuple[ApiKeySettings, ...], JwtSettings | None]:
    table.refuse_unknown({"api_keys", "jwt"})
    keys = tuple(_read_api_key(item) for item in table.tables("api_keys"))
    names = [key.name for key in keys]
    for key in keys:
        if names.count(key.name) > 1:
            raise ConfigError(f"auth.api_keys: duplicate key name {key.name!r}")
    if len({key.key.reveal() for key in keys}) < len(keys):
        raise ConfigError("auth.api_keys: two entries have the same key")
    if not table.has("jwt"):
        return keys, None
    jwt = table.table("jwt")
    jwt.refuse_unknown(_list_keys(JwtSettings))
    return keys, JwtSettings(
        issuer=jwt.text("issuer"),
        audience=jwt.text("audience"),
        jwks_url=jwt.http_url("jwks_url"),
    )


def _read_api_key(table: Table) -> ApiKeySettings:
    table.refuse_unknown(_list_keys(ApiKeySettings))
    key = table.secret("key")
    if key is None:
        raise ConfigError(f"{table.name('key')} is missing")
    scopes = table.texts("scopes")
    known = {scope.value for scope in Scope}
    for scope in scopes:
        if scope not in known:
            allowed = ", ".join(sorted(known))
            raise ConfigError(f"{table.name('scopes')}: unknown scope {scope!r}; known: {allowed}")
    if not scopes:
        raise ConfigError(f"{table.name('scopes')} is missing or empty")
    return ApiKeySettings(
        name=table.text("name"), key=key, tenant=table.text("tenant"), scopes=scopes
    )
