"""Defines the settings: every key of the configuration file with its default and its meaning.

Fields have the same names as the keys in the file. The descriptions are shown by editors, through
the configuration's JSON Schema. ``conversion.py`` reads these types; the settings of a connector
are defined by its provider, from the base classes in ``connector_settings.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct, field

from balance_gateway.config.connector_settings import ConnectorSettings
from balance_gateway.config.value_types import CacheUrl, HttpUrl, StorageUrl, Text
from balance_gateway.domain.access import Scope
from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.domain.secret import Secret


class ServerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[server]``: addresses, time limits and execution of requests."""

    host: Annotated[Text, Meta(description="The address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65_535, description="The port to listen on; 0 chooses a free one.")
    ] = 8000
    workers: Annotated[int, Meta(ge=1, le=256, description="Number of worker processes.")] = 1
    request_timeout_s: Annotated[
        float, Meta(ge=0.1, le=1e9, description="Time limit of a request in seconds.")
    ] = 30.0
    cors_origins: Annotated[
        tuple[str, ...], Meta(description="Origins that browsers may call the gateway from.")
    ] = ()
    graphiql: Annotated[bool, Meta(description="Whether the GraphiQL page is served.")] = False
    compiled: Annotated[
        bool,
        Meta(
            description="Whether reads use compiled plans and cached JSON where possible; "
            "otherwise graphql-core executes every request."
        ),
    ] = True


class StorageSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[storage]``: the database of the write journal, the audit log and the embedded ledger."""

    url: Annotated[
        StorageUrl,
        Meta(description="An SQLite or PostgreSQL URL; by reference if it has a password."),
    ] = field(default_factory=lambda: StorageUrl("sqlite:///balance-gateway.db"))


class CacheSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[cache]``: the location of the cache and the lifetime of its values."""

    url: Annotated[
        CacheUrl,
        Meta(description="memory:// or a Redis URL; by reference if it has a password."),
    ] = field(default_factory=lambda: CacheUrl("memory://"))
    enabled: Annotated[bool, Meta(description="Whether values are cached at all.")] = True
    today_ttl_s: Annotated[
        float, Meta(ge=0, le=1e9, description="Seconds for which a balance as of today is fresh.")
    ] = 30.0
    past_ttl_s: Annotated[
        float, Meta(ge=0, le=1e9, description="Seconds for which any other day's balance is fresh.")
    ] = 600.0
    opening_balance_ttl_s: Annotated[
        float, Meta(ge=0, le=1e9, description="Seconds for which an opening balance is fresh.")
    ] = 3600.0
    stale_ttl_s: Annotated[
        float,
        Meta(ge=0, le=1e9, description="Maximum age of a value served while its provider is down."),
    ] = 86_400.0
    late_landing_s: Annotated[
        float,
        Meta(
            ge=0,
            le=1e9,
            description="Seconds after its deadline in which a write without a response may still "
            "take effect at its provider; until then nothing is cached for its account.",
        ),
    ] = 30.0
    entries_max: Annotated[
        int,
        Meta(
            ge=1,
            le=10**8,
            description="Maximum number of values in the memory cache; the least recently used is "
            "evicted first.",
        ),
    ] = 200_000


class ApiKeySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[auth.api_keys]]``: one API key."""

    name: Annotated[Text, Meta(description="The caller's name in the audit log.")]
    key: Annotated[Secret, Meta(description="A reference to the key: env:NAME or file:PATH.")]
    tenant: Annotated[Text, Meta(description="The company with accounts visible to the key.")]
    scopes: Annotated[
        tuple[Scope, ...], Meta(min_length=1, description="The permissions of the key.")
    ]


class JwtSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[auth.jwt]``: the issuer of tokens that are accepted in addition to API keys."""

    issuer: Annotated[Text, Meta(description="The required claim iss.")]
    audience: Annotated[Text, Meta(description="The required claim aud.")]
    jwks_url: Annotated[HttpUrl, Meta(description="The URL of the issuer's public keys.")]


class AuthSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[auth]``: the credentials of callers."""

    api_keys: tuple[ApiKeySettings, ...] = ()
    jwt: JwtSettings | None = None


@dataclass(frozen=True, slots=True)
class ConfiguredConnector:
    """A table ``[connectors.NAME]``: one set of credentials at one provider.

    Attributes:
        name: the name of the table.
        provider: the kind of provider.
        settings: the settings, of the type that the provider defines.
    """

    name: str
    provider: ProviderKind
    settings: ConnectorSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of the file.

    Attributes:
        server: ``[server]``.
        storage: ``[storage]``.
        cache: ``[cache]``.
        api_keys: ``[[auth.api_keys]]``.
        jwt: ``[auth.jwt]``; None without it.
        connectors: ``[connectors.NAME]``, in the order of the file.
        accounts: ``[[accounts]]``, with the provider's ids in canonical form.
        written_ids: the provider's ids as written in the file, by account id, for the accounts
            with an id that is not written in its canonical form.
    """

    server: ServerSettings
    storage: StorageSettings
    cache: CacheSettings
    api_keys: tuple[ApiKeySettings, ...]
    jwt: JwtSettings | None
    connectors: tuple[ConfiguredConnector, ...]
    accounts: tuple[Account, ...]
    written_ids: Mapping[str, Mapping[str, str]]
