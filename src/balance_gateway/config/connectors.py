"""Reads one ``[connectors.NAME]`` table of the configuration file."""

from datetime import date, datetime
from typing import Any, cast

from balance_gateway.config.settings import ConnectorSettings
from balance_gateway.config.table import ConfigError, Table
from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.secret import Secret

_COMMON_KEYS = frozenset(
    {"provider", "timeout_s", "requests_per_minute", "max_concurrency", "currency"}
)
_HTTP_KEYS = _COMMON_KEYS | {"base_url", "access_token", "redirect_hosts"}
_CONNECTOR_KEYS: dict[ProviderKind, frozenset[str]] = {
    ProviderKind.LIGHT: _HTTP_KEYS | {"api_key"},
    ProviderKind.ASSET: _HTTP_KEYS | {"client_id", "client_secret", "basis", "entries_start"},
    ProviderKind.LAYER: _HTTP_KEYS
    | {"client_id", "client_secret", "token_url", "scope", "reporting_basis", "upsert_route"},
    ProviderKind.LOCAL: _COMMON_KEYS,
}
#: The provider's own kind of credentials, as an alternative to an access token.
_CREDENTIAL_KEYS: dict[ProviderKind, tuple[str, ...]] = {
    ProviderKind.LIGHT: ("api_key",),
    ProviderKind.ASSET: ("client_id", "client_secret"),
    ProviderKind.LAYER: ("client_id", "client_secret", "token_url"),
}


def read_connector(name: str, table: Table) -> ConnectorSettings:
    """Read the connector of one table.

    Raises:
        ConfigError: a key is unknown or missing, its value is invalid, or this provider does not
            use it.
    """
    kind = ProviderKind(table.choice("provider", [kind.value for kind in ProviderKind]))
    table.refuse_unknown(_CONNECTOR_KEYS[kind])
    default = ConnectorSettings(name=name, provider=kind)
    http = kind is not ProviderKind.LOCAL
    return ConnectorSettings(
        name=name,
        provider=kind,
        base_url=table.http_url("base_url") if http else "",
        token_url=table.http_url("token_url") if table.has("token_url") else None,
        scope=table.optional_text("scope"),
        timeout_s=table.seconds("timeout_s", default.timeout_s, minimum=0.05),
        requests_per_minute=table.integer("requests_per_minute", 0, minimum=1, maximum=10**6)
        if table.has("requests_per_minute")
        else None,
        max_concurrency=table.integer(
            "max_concurrency", default.max_concurrency, minimum=1, maximum=1000
        ),
        currency=table.currency("currency"),
        redirect_hosts=table.texts("redirect_hosts"),
        basis=cast(Any, table.choice("basis", ("accrual", "modified_cash"), default.basis)),
        entries_start=_read_instant(table, "entries_start"),
        reporting_basis=cast(
            Any, table.choice("reporting_basis", ("ACCRUAL", "CASH"), default.reporting_basis)
        ),
        upsert_route=cast(Any, table.choice("upsert_route", ("custom_account", "bank_account")))
        if table.has("upsert_route")
        else None,
        **_read_credentials(table, kind),
    )


def _read_instant(table: Table, key: str) -> datetime | None:
    """Read an instant with a UTC offset, from a TOML date-time or from text."""
    value = table.raw(key)
    if value is None:
        return None
    if not isinstance(value, date):
        try:
            value = datetime.fromisoformat(table.text(key))
        except ValueError:
            value = None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ConfigError(
            f"{table.name(key)} must be an instant with a UTC offset, such as 2026-01-01T00:00:00Z"
        )
    return value


def _read_credentials(table: Table, kind: ProviderKind) -> dict[str, Secret | None]:
    """Read either an access token or the complete credentials of the provider's own kind."""
    if kind is ProviderKind.LOCAL:
        return {}
    secrets = {
        key: table.secret(key)
        for key in ("api_key", "access_token", "client_id", "client_secret")
        if table.has(key)
    }
    if "access_token" in secrets:
        if len(secrets) > 1:
            own = " and ".join(_CREDENTIAL_KEYS[kind])
            name = table.name("access_token")
            raise ConfigError(f"{name} must be set alone: set access_token or {own}, not both")
        return dict(secrets)
    for key in _CREDENTIAL_KEYS[kind]:
        if not table.has(key):
            own = " and ".join(_CREDENTIAL_KEYS[kind])
            raise ConfigError(f"{table.name(key)} is missing: set {own}, or access_token")
    return dict(secrets)
