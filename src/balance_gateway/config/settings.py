"""The settings: every key of the configuration file, with its default.

A key's name here is its name in the file. ``reader.py`` turns the file into these; what is a
``Secret`` here is a reference ``env:NAME`` or ``file:PATH`` there.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.domain.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """``[server]``: where to listen, how long a request may take, and by what it is answered.

    Attributes:
        compiled: whether reads are answered from compiled plans and ready JSON where they can be;
            otherwise graphql-core answers everything.
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
    """``[storage]``: the write journal, the audit log and the embedded ledger."""

    url: Secret = field(default_factory=lambda: Secret("sqlite:///balance-gateway.db"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """``[cache]``: where values are kept and for how long, in seconds.

    Attributes:
        today_ttl_s: how long a balance as of today is fresh.
        past_ttl_s: likewise of a past or future day.
        opening_balance_ttl_s: likewise of an opening balance.
        stale_ttl_s: how long a value may still be served while its provider is down.
        late_landing_s: how long after its deadline a write may still take effect at a provider.
            Until then nothing read is kept for the account of a write without an answer.
        entries_max: how many values the memory cache keeps; the least used go first.
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
    """``[[auth.api_keys]]``: one key, whose company it opens, and what it may do."""

    name: str
    key: Secret
    tenant: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtSettings:
    """``[auth.jwt]``: whose tokens are taken beside API keys."""

    issuer: str
    audience: str
    jwks_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorSettings:
    """``[connectors.NAME]``: one set of credentials at one provider.

    Keys that a provider has no use for are refused by the reader.
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
    """The whole file."""

    server: ServerSettings
    storage: StorageSettings
    cache: CacheSettings
    api_keys: tuple[ApiKeySettings, ...]
    jwt: JwtSettings | None
    connectors: tuple[ConnectorSettings, ...]
    accounts: tuple[Account, ...]
