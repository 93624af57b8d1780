"""Reads one ``[[accounts]]`` entry of the configuration file."""

from collections.abc import Mapping
from datetime import date, datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from balance_gateway.config.settings import ConnectorSettings
from balance_gateway.config.table import ConfigError, Table, shown
from balance_gateway.domain.accounts import ACCOUNT_ID, Account, ProviderKind, Side

_COMMON_KEYS = frozenset(
    {"id", "tenant", "connector", "name", "currency", "time_zone", "normal_balance"}
)
#: The provider's own ids: those that are needed, and those that help.
_REMOTE_KEYS: dict[ProviderKind, tuple[tuple[str, ...], tuple[str, ...]]] = {
    ProviderKind.LIGHT: (("bank_account_id",), ()),
    ProviderKind.ASSET: (("business_id", "ledger_id"), ("external_account_id",)),
    ProviderKind.LAYER: (
        ("business_id", "external_account_id"),
        ("ledger_account_id", "custom_account_id", "bank_account_id"),
    ),
    ProviderKind.LOCAL: ((), ()),
}
_DERIVING = (ProviderKind.LIGHT, ProviderKind.ASSET)


def read_account(table: Table, connectors: Mapping[str, ConnectorSettings]) -> Account:
    """The account of one entry.

    Raises:
        ConfigError: a key is unknown, missing, or has a wrong value.
    """
    connector_name = table.text("connector")
    connector = connectors.get(connector_name)
    if connector is None:
        known = ", ".join(map(shown, sorted(connectors))) or "none is configured"
        raise ConfigError(
            f"{table.name('connector')}: there is no connector {connector_name!r}; known: {known}"
        )
    needed, helping = _REMOTE_KEYS[connector.provider]
    deriving = {"derive_opening_balance_as_of"} if connector.provider in _DERIVING else set()
    table.refuse_unknown(_COMMON_KEYS | set(needed) | set(helping) | deriving)
    remote = {key: table.text(key) for key in needed}
    remote |= {key: table.text(key) for key in helping if table.has(key)}
    return Account(
        id=_account_id(table),
        tenant=table.text("tenant"),
        connector=connector.name,
        provider=connector.provider,
        name=table.text("name"),
        currency=_currency(table, connector),
        time_zone=_time_zone(table),
        remote=MappingProxyType(remote),
        normal_balance=Side(table.choice("normal_balance", [side.value for side in Side]))
        if table.has("normal_balance")
        else None,
        derive_opening_balance_as_of=_day(table, "derive_opening_balance_as_of"),
    )


def _account_id(table: Table) -> str:
    account_id = table.text("id")
    if ACCOUNT_ID.fullmatch(account_id) is None:
        raise ConfigError(
            f"{table.name('id')} has to be 1 to 64 letters, digits, underscores or hyphens"
        )
    return account_id


def _currency(table: Table, connector: ConnectorSettings) -> str:
    currency = table.currency("currency") or connector.currency
    if currency is None:
        raise ConfigError(f"{table.name('currency')} is missing, here and at its connector")
    return currency


def _time_zone(table: Table) -> ZoneInfo:
    name = table.text("time_zone", "UTC")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"{table.name('time_zone')}: {name!r} is no IANA time zone, such as Europe/Copenhagen"
        ) from None


def _day(table: Table, key: str) -> date | None:
    value = table.raw(key)
    if value is None:
        return None
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(table.text(key))
    except ValueError:
        raise ConfigError(f"{table.name(key)} has to be a day, such as 2024-12-31") from None
