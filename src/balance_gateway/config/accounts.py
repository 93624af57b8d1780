"""Reads one ``[[accounts]]`` entry of the configuration file."""

from collections.abc import Mapping
from datetime import date, datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from balance_gateway.config.settings import ConnectorSettings
from balance_gateway.config.table import ConfigError, Table, format_name
from balance_gateway.domain.accounts import ACCOUNT_ID, Account, ProviderKind, Side

_COMMON_KEYS = frozenset(
    {"id", "tenant", "connector", "name", "currency", "time_zone", "normal_balance"}
)
#: The provider's own ids by provider kind: the required keys and the optional keys.
_REMOTE_KEYS: dict[ProviderKind, tuple[tuple[str, ...], tuple[str, ...]]] = {
    ProviderKind.LIGHT: (("bank_account_id",), ()),
    ProviderKind.ASSET: (("business_id", "ledger_id"), ("external_account_id",)),
    ProviderKind.LAYER: (
        ("business_id", "external_account_id"),
        ("ledger_account_id", "custom_account_id", "bank_account_id"),
    ),
    ProviderKind.LOCAL: ((), ()),
}
#: Provider kinds for which an opening balance may be derived from an earlier balance.
_DERIVING_KINDS = (ProviderKind.LIGHT, ProviderKind.ASSET)


def read_account(table: Table, connectors: Mapping[str, ConnectorSettings]) -> Account:
    """Read the account of one entry.

    Raises:
        ConfigError: a key is unknown or missing, or its value is invalid.
    """
    connector_name = table.text("connector")
    connector = connectors.get(connector_name)
    if connector is None:
        known = ", ".join(map(format_name, sorted(connectors))) or "none is configured"
        raise ConfigError(
            f"{table.name('connector')}: unknown connector {connector_name!r}; known: {known}"
        )
    required, optional = _REMOTE_KEYS[connector.provider]
    deriving = {"derive_opening_balance_as_of"} if connector.provider in _DERIVING_KINDS else set()
    table.refuse_unknown(_COMMON_KEYS | set(required) | set(optional) | deriving)
    remote = {key: table.text(key) for key in required}
    remote |= {key: table.text(key) for key in optional if table.has(key)}
    return Account(
        id=_read_account_id(table),
        tenant=table.text("tenant"),
        connector=connector.name,
        provider=connector.provider,
        name=table.text("name"),
        currency=_read_currency(table, connector),
        time_zone=_read_time_zone(table),
        remote=MappingProxyType(remote),
        normal_balance=Side(table.choice("normal_balance", [side.value for side in Side]))
        if table.has("normal_balance")
        else None,
        derive_opening_balance_as_of=_read_day(table, "derive_opening_balance_as_of"),
    )


def _read_account_id(table: Table) -> str:
    account_id = table.text("id")
    if ACCOUNT_ID.fullmatch(account_id) is None:
        raise ConfigError(
            f"{table.name('id')} must be 1 to 64 letters, digits, underscores or hyphens"
        )
    return account_id


def _read_currency(table: Table, connector: ConnectorSettings) -> str:
    currency = table.currency("currency") or connector.currency
    if currency is None:
        raise ConfigError(f"{table.name('currency')} is missing: set it here or at the connector")
    return currency


def _read_time_zone(table: Table) -> ZoneInfo:
    name = table.text("time_zone", "UTC")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"{table.name('time_zone')}: {name!r} is not an IANA time zone, such as Asia/Tokyo"
        ) from None


def _read_day(table: Table, key: str) -> date | None:
    value = table.raw(key)
    if value is None:
        return None
    # A TOML date-time is a subclass of a date, but names no day by itself.
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(table.text(key))
    except ValueError:
        raise ConfigError(f"{table.name(key)} must be a date such as 2024-12-31") from None
