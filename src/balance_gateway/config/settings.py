"""Defines the settings: every key of the configuration file with its default.

Attributes have the same names as the keys in the file. A ``Secret`` is written in the file as a
reference ``env:NAME`` or ``file:PATH``. ``reader.py`` reads the file.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.domain.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """``[server]``: addresses, time limits and execution of requests.

    Attributes:
        host: the address to listen on.
        port: the port to listen on; 0 chooses a free port.
        workers: number of worker processes.
        request_timeout_s: time limit of a request, in seconds.
        cors_origins: origins that browsers may call the gateway from.
        graphiql: whether the GraphiQL page is served.
        compiled: whether reads use compiled plans and prepared JSON where possible; otherwise
            graphql-core executes every request.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    request_timeout_s: float = 30.0
    cors_origins: tuple[str, ...] = ()
    graphiql: bool = False
    compiled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """``[storage]``: the database of the write journal, the audit log and the embedded ledger.

    Attributes:
        url: an SQLite or PostgreSQL URL.
    """

    url: Secret = field(default_factory=lambda: Secret("sqlite:///balance-gateway.db"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """``[cache]``: the location of the cache and the lifetime of its values, in seconds.

    Attributes:
        url: ``memory://`` or a Redis URL.
        enabled: whether values are cached at all.
        today_ttl_s: how long a balance as of today is fresh.
        past_ttl_s: how long a balance as of a past or future day is fresh.
        opening_balance_ttl_s: how long an opening balance is fresh.
        stale_ttl_s: how long a value may still be served while its provider is down.
        late_landing_s: how long after its deadline a write may still take effect at a provider.
            Until then nothing is cached for the account of a write without a definite response.
        entries_max: maximum number of values in the memory cache; the least recently used value
            is evicted first.
    """

    url: Secret = field(default_factory=lambda: Secret("memory://"))
    enabled: bool = True
    today_ttl_s: float = 30.0
    past_ttl_s: float = 600.0
    opening_balance_ttl_s: float = 3600.0
    stale_ttl_s: float = 86_400.0
    late_landing_s: float = 30.0
    entries_max: int = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeySettings:
    """``[[auth.api_keys]]``: one API key.

    Attributes:
        name: the name of the key, recorded in the audit log.
        key: the key itself.
        tenant: the company to whose accounts the key gives access.
        scopes: the permissions of the key.
    """

    name: str
    key: Secret
    tenant: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtSettings:
    """``[auth.jwt]``: the issuer of tokens that are accepted in addition to API keys.

    Attributes:
        issuer: the required ``iss`` claim.
        audience: the required ``aud`` claim.
        jwks_url: the URL of the issuer's public keys.
    """

    issuer: str
    audience: str
    jwks_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorSettings:
    """``[connectors.NAME]``: one set of credentials at one provider.

    The reader rejects keys that a provider does not use.
    """

    name: str
    provider: ProviderKind
    base_url: str = ""
    api_key: Secret | None = None
    access_token: Secret | None = None
    client_id: Secret | None = None
    client_secret: Secret | None = None
    token_url: str | None = None
    scope: str | None = None
    timeout_s: float = 10.0
    requests_per_minute: int | None = None
    max_concurrency: int = 32
    currency: str | None = None
    redirect_hosts: tuple[str, ...] = ()
    basis: Literal["accrual", "modified_cash"] = "modified_cash"
    entries_start: datetime | None = None
    reporting_basis: Literal["ACCRUAL", "CASH"] = "ACCRUAL"
    upsert_route: Literal["custom_account", "bank_account"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of the file."""

    server: ServerSettings
    storage: StorageSettings
    cache: CacheSettings
    api_keys: tuple[ApiKeySettings, ...]
    jwt: JwtSettings | None
    connectors: tuple[ConnectorSettings, ...]
    accounts: tuple[Account, ...]
