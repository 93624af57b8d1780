"""Write the text of a new configuration file, and create the storage that it names."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from msgspec import structs

from balance_gateway.app.storage_commands import migrate_storage
from balance_gateway.config.settings import Settings
from balance_gateway.config.toml_text import format_table, format_value
from balance_gateway.config.value_types import StorageUrl
from balance_gateway.domain.access import Scope
from balance_gateway.providers.registry import PROVIDERS
from balance_gateway.storage.database_url import find_sqlite_path, parse_database_url

#: Needs no credentials, so that a new gateway has a connector.
_LOCAL = "local"

_HEAD = """\
# Balance Gateway: configuration. `balance-gateway config schema` prints every key and its meaning.
# Try it with `balance-gateway check --config {name}`; a running gateway takes most
# changes with `balance-gateway reload --config {name}`.
#
# A secret is never written here. It is a reference: "env:NAME" names an environment variable,
# "file:PATH" a file; a relative path starts from the folder of this file.

# The address to listen on. It is plain HTTP: other machines need a proxy with TLS in front of it.
[server]
host = {host}
port = {port}
# environment = "production"

# The write journal, the audit log and the embedded ledger: an SQLite file, or
# postgresql://user@host/name for several replicas.
[storage]
url = {database}

# Cached values: memory:// for one process; several workers or replicas share redis://host:6379/0.
[cache]
url = {cache}

# The callers' keys, one table each. This prints another:
# balance-gateway keys new dashboard --tenant {tenant_word} --scope balances:read
[[auth.api_keys]]
name = "admin"
key = {key}
tenant = {tenant}
scopes = {scopes}

# Tokens of an issuer, which are accepted besides the keys.
# [auth.jwt]
# issuer = "https://issuer.example"
# audience = "balance-gateway"
# jwks_url = "https://issuer.example/jwks.json"

# A connector is one set of credentials at one provider, under a name of your choice. `currency` is
# the default of its accounts, and `tenants = ["{tenant_word}"]` limits it to companies.
"""

_ACCOUNTS = """\
# The accounts, each at one connector, with an id that never changes. This prints a provider's:
# balance-gateway accounts discover CONNECTOR --config {name} --format toml
# [[accounts]]
# id = "petty_cash"
# tenant = {tenant}
# connector = "local"
# name = "Petty cash"
# currency = "EUR"
# time_zone = "Europe/Copenhagen"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConfiguration:
    """The values of a new configuration file.

    Attributes:
        name: the name of the file, for its comments.
        tenant: the company of the admin key.
        database: the value of ``storage.url``.
        cache: the value of ``cache.url``.
        host: the address to listen on.
        port: the port to listen on.
        key: the reference to the admin key.
        connectors: the settings of connectors by provider, apart from ``provider``; each has the
            name of its provider.
    """

    name: str
    tenant: str
    database: str
    cache: str
    host: str
    port: int
    key: str
    connectors: Mapping[str, Mapping[str, str]]


def list_examples() -> Mapping[str, Mapping[str, str]]:
    """Return the example settings of a connector by provider, secrets as ``env:NAME``."""
    return {kind.value: spec.example for kind, spec in PROVIDERS.items()}


def format_configuration(values: NewConfiguration) -> str:
    """Format the text of the file; the connectors of the other providers are comments."""
    parts = {
        "name": values.name,
        "tenant_word": values.tenant if values.tenant.isidentifier() else "TENANT",
        "host": format_value(values.host),
        "port": values.port,
        "database": format_value(values.database),
        "cache": format_value(values.cache),
        "key": format_value(values.key),
        "tenant": format_value(values.tenant),
        "scopes": format_value([scope.value for scope in Scope]),
    }
    tables = [
        _format_connector(kind.value, kind.description, values.connectors.get(kind.value))
        for kind in PROVIDERS
    ]
    return "\n".join([_HEAD.format(**parts), *tables, _ACCOUNTS.format(**parts)])


def _format_connector(kind: str, description: str, settings: Mapping[str, str] | None) -> str:
    if settings is None and kind == _LOCAL:
        settings = {}
    prefix = "# " if settings is None else ""
    shown = list_examples()[kind] if settings is None else settings
    table = format_table(f"[connectors.{kind}]", {"provider": kind, **shown})
    return "".join([f"# {description}\n", *(f"{prefix}{line}\n" for line in table.splitlines())])


def format_sqlite_url(path: Path) -> str:
    """Return the URL of an SQLite file, the same from every working directory."""
    # Quoted: a "?" would begin parameters, and "%20" would be a space.
    return f"sqlite:///{quote(str(path.absolute()))}"


def find_database_file(settings: Settings) -> Path | None:
    """Return the SQLite file of the storage; None for PostgreSQL and for a database in memory."""
    parsed, _, _ = parse_database_url(settings.storage.url.reveal())
    path = find_sqlite_path(parsed)
    return None if path is None else Path(path)


def create_storage(settings: Settings, file: Path | None) -> str:
    """Create the tables of the storage, and return their version.

    Args:
        settings: the settings.
        file: the SQLite file to create in place of the configured one; None for the configured
            database.

    Raises:
        Internal: the storage cannot be created.
    """
    if file is not None:
        url = StorageUrl(format_sqlite_url(file))
        settings = replace(settings, storage=structs.replace(settings.storage, url=url))
    return asyncio.run(migrate_storage(settings))
