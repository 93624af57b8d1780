"""Reads the configuration file into ``Settings`` or reports the first invalid key."""

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import tomli
from msgspec import Struct, field, structs

from balance_gateway.config.accounts import read_account
from balance_gateway.config.conversion import convert_table, describe_choice, join_name
from balance_gateway.config.errors import ConfigError
from balance_gateway.config.settings import (
    AuthSettings,
    CacheSettings,
    ConfiguredConnector,
    ServerSettings,
    Settings,
    StorageSettings,
)
from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.ports.provider_dependencies import AnyProviderSpec

Specs = Mapping[ProviderKind, AnyProviderSpec]


class File(Struct, frozen=True, forbid_unknown_fields=True):
    """The configuration file.

    Attributes:
        server: Addresses, time limits and execution of requests.
        storage: The database of the write journal, the audit log and the embedded ledger.
        cache: The location of the cache and the lifetime of its values.
        auth: The credentials of callers.
        connectors: One set of credentials at one provider each, by name.
        accounts: The accounts, each at one connector.
    """

    # Connectors and accounts are converted by the spec of their provider.

    server: ServerSettings = field(default_factory=ServerSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    connectors: dict[str, Any] = {}
    accounts: tuple[dict[str, Any], ...] = ()


def read_settings(path: Path, specs: Specs) -> Settings:
    """Read the settings from a file.

    Args:
        path: the file.
        specs: the specs of all providers by kind.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has an invalid key or value.
    """
    try:
        content = path.read_bytes()
        # Some editors begin a file with a byte order mark.
        text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig").read()
        values = tomli.loads(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        # tomli's own error is a ValueError. So is the error for a number with thousands of
        # digits; deep nesting raises RecursionError.
        raise ConfigError(f"{path} is not TOML: {error}") from None
    return replace(parse_settings(values, path.parent, specs), version=compute_version(content))


def compute_version(content: bytes) -> str:
    """Return the version of a configuration file: the first 12 digits of its SHA-256.

    Secrets have no part in it: the file only refers to them.
    """
    return hashlib.sha256(content).hexdigest()[:12]


def parse_settings(values: Mapping[str, Any], directory: Path, specs: Specs) -> Settings:
    """Convert the values of a parsed file to settings.

    Args:
        values: the values as parsed by tomli.
        directory: the base directory of relative paths.
        specs: the specs of all providers by kind.

    Raises:
        ConfigError: a key is unknown or missing, or its value is invalid.
    """
    file = convert_table(values, File, "", directory)
    connectors = {
        name: _read_connector(table, name, specs, directory)
        for name, table in file.connectors.items()
    }
    read = [
        read_account(entry, f"accounts[{index}]", connectors, specs, directory)
        for index, entry in enumerate(file.accounts)
    ]
    accounts = tuple(account for account, _ in read)
    _refuse_duplicates("accounts: duplicate account id {!r}", (account.id for account in accounts))
    keys = file.auth.api_keys
    _refuse_duplicates("auth.api_keys: duplicate key name {!r}", (key.name for key in keys))
    _refuse_duplicates("auth.api_keys: two entries have the same key", (key.key for key in keys))
    settings = Settings(
        server=file.server,
        storage=file.storage,
        cache=file.cache,
        api_keys=keys,
        jwt=file.auth.jwt,
        connectors=tuple(connectors.values()),
        accounts=accounts,
        written_ids={account.id: written for account, written in read if written != account.remote},
    )
    refuse_contradictions(settings, settings.server.workers)
    return settings


def override_root_path(settings: Settings, root_path: str) -> Settings:
    """Return the settings with the path of the option ``--root-path``; empty for none.

    Raises:
        ConfigError: it is not a valid path.
    """
    # As in the file, so that the option and the key accept the same paths.
    try:
        convert_table({"root_path": root_path}, ServerSettings, "", Path())
    except ConfigError as error:
        raise ConfigError(f"--{str(error).replace('root_path', 'root-path', 1)}") from None
    return replace(settings, server=structs.replace(settings.server, root_path=root_path))


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


def _read_connector(
    values: object, name: str, specs: Specs, directory: Path
) -> ConfiguredConnector:
    table = join_name("connectors", name)
    if not isinstance(values, Mapping):
        raise ConfigError(f"{table} must be a table")
    if "provider" not in values:
        raise ConfigError(f"{table}.provider is missing")
    kinds = {kind.value: kind for kind in specs}
    kind = kinds.get(values["provider"]) if isinstance(values["provider"], str) else None
    if kind is None:
        raise ConfigError(f"{table}.provider {describe_choice(values['provider'], kinds)}")
    settings = convert_table(values, specs[kind].settings, table, directory)
    return ConfiguredConnector(name, kind, settings)


def _refuse_duplicates(message: str, values: Iterable[object]) -> None:
    for value, count in Counter(values).items():
        if count > 1:
            raise ConfigError(message.format(value))
