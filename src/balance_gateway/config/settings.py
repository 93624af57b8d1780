"""Defines the settings: every key of the configuration file with its default and its meaning.

Fields have the same names as the keys in the file. Editors show the docstrings of the attributes,
which the configuration's JSON Schema contains. ``conversion.py`` reads these types; the settings of
a connector are defined by its provider, from the base classes in ``connector_settings.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, field

from balance_gateway.config.connector_settings import ConnectorSettings
from balance_gateway.config.http_urls import HttpUrl, ProxyUrl
from balance_gateway.config.network import check_network
from balance_gateway.config.value_types import (
    CacheUrl,
    CallerKey,
    ClaimName,
    HeaderName,
    Origin,
    ProxyNetwork,
    RootPath,
    Seconds,
    ShortText,
    SocketAddress,
    StorageUrl,
    Text,
)
from balance_gateway.domain.access import Scope
from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.domain.secret import Secret


class ServerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[server]``: addresses, time limits and execution of requests.

    Attributes:
        host: The address to listen on.
        port: The port to listen on; 0 chooses a free port.
        workers: Number of worker processes.
        request_timeout_s: Time limit of a request, in seconds.
        root_path: A path, such as /balances, below which everything is served as well; empty for
            none.
        cors_origins: Origins that browsers may call the gateway from.
        cors_headers: Request headers that pages of these origins may send, besides the usual ones.
        trusted_proxies: Addresses and networks of proxies that tell clients' addresses by
            X-Forwarded-For.
        metrics_key: A reference to the key that /metrics requires; none by default.
        metrics_address: The host and the port, such as 127.0.0.1:9100, that serve /metrics and
            nothing else; empty: it is served with everything else.
        persisted_queries: Whether callers may send the hash of a document that they sent before.
        compression: Whether large responses are compressed for callers that accept it.
        graphiql: Whether the GraphiQL page is served.
        compiled: Whether reads use compiled plans and cached JSON where possible; otherwise
            graphql-core executes every request.
        environment: A short name of the environment, such as production, which pages show; empty
            for none.
    """

    host: Text = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8000
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    request_timeout_s: Annotated[float, Meta(ge=0.1, le=1e9)] = 30.0
    root_path: RootPath = ""
    cors_origins: tuple[Origin, ...] = ()
    cors_headers: tuple[HeaderName, ...] = ()
    trusted_proxies: tuple[ProxyNetwork, ...] = ()
    metrics_key: Secret | None = None
    metrics_address: SocketAddress = ""
    persisted_queries: bool = True
    compression: bool = True
    graphiql: bool = False
    compiled: bool = True
    environment: ShortText = ""


class StorageSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[storage]``: the database of the write journal, the audit log and the embedded ledger.

    Attributes:
        url: An SQLite or PostgreSQL URL; by reference if it contains a password.
    """

    url: StorageUrl = field(default_factory=lambda: StorageUrl("sqlite:///balance-gateway.db"))


class CacheSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[cache]``: the location of the cache and the lifetime of its values.

    Attributes:
        url: ``memory://`` or a Redis URL; by reference if it contains a password.
        enabled: Whether values are cached at all.
        today_ttl_s: How long a balance as of today is fresh, in seconds.
        past_ttl_s: How long a balance as of any other day is fresh, in seconds.
        opening_balance_ttl_s: How long an opening balance is fresh, in seconds.
        bank_feed_ttl_s: How long a bank feed is fresh, in seconds.
        stale_ttl_s: How long a value may still be served while its provider is down, in seconds.
        stale_patience_s: How long a read that can be answered with such a value waits for the
            provider, in seconds.
        late_landing_s: How long after its deadline a write may still take effect at a provider, in
            seconds. Until then nothing is cached for the account of a write without a definite
            response.
        entries_max: Maximum number of values in the memory cache; the least recently used value
            is evicted first.
    """

    url: CacheUrl = field(default_factory=lambda: CacheUrl("memory://"))
    enabled: bool = True
    today_ttl_s: Seconds = 30.0
    past_ttl_s: Seconds = 600.0
    opening_balance_ttl_s: Seconds = 3600.0
    bank_feed_ttl_s: Seconds = 300.0
    stale_ttl_s: Seconds = 86_400.0
    stale_patience_s: Seconds = 1.0
    late_landing_s: Seconds = 30.0
    entries_max: Annotated[int, Meta(ge=1, le=10**8)] = 200_000


class ApiKeySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[auth.api_keys]]``: one API key.

    Attributes:
        name: The name of the key, recorded in the audit log.
        key: A reference to the key itself, of at least 22 characters.
        tenant: The company that owns the accounts the key gives access to.
        scopes: The permissions of the key.
    """

    name: Text
    key: CallerKey
    tenant: Text
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)]


class JwtSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[auth.jwt]``: the issuer of tokens that are accepted in addition to API keys.

    Attributes:
        issuer: The required ``iss`` claim.
        audience: The required ``aud`` claim.
        jwks_url: The URL of the issuer's public keys.
        tenant_claim: The name of the claim with the tenant, such as
            https://company.example/tenant.
        scope_claim: The name of the claim with the scopes; empty: the first that a token has of
            scope, scopes, scp and permissions.
        ca_file: A PEM file with certification authorities that are trusted besides the public ones.
        client_cert: A PEM file with the gateway's own certificate, and the certificates between it
            and the authority that issued it.
        client_key: A PEM file with the private key of ``client_cert``, if that file has none.
        proxy: The http or https URL of the proxy that connections are made through; by reference if
            it contains a password.
        allow_plain_http: Whether ``jwks_url`` may be http beyond loopback.
    """

    issuer: Text
    audience: Text
    jwks_url: HttpUrl
    tenant_claim: Text = "tenant"
    scope_claim: ClaimName = ""
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    proxy: ProxyUrl | None = None
    allow_plain_http: bool = False

    def __post_init__(self) -> None:
        """Check the network's settings."""
        check_network(self, jwks_url=self.jwks_url)


class AuthSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[auth]``: the credentials of callers.

    Attributes:
        api_keys: The API keys.
        jwt: The issuer of tokens; none by default.
    """

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
        version: the version of the file, see ``reader.compute_version``; empty without a file.
        former_timeout_s: the longest ``timeout_s`` of the connectors before the configuration was
            reloaded: writes that began under it may still be in progress. 0 before any reload.
    """

    server: ServerSettings
    storage: StorageSettings
    cache: CacheSettings
    api_keys: tuple[ApiKeySettings, ...]
    jwt: JwtSettings | None
    connectors: tuple[ConfiguredConnector, ...]
    accounts: tuple[Account, ...]
    written_ids: Mapping[str, Mapping[str, str]]
    version: str = ""
    former_timeout_s: float = 0.0
