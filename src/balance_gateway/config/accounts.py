"""Reads one ``[[accounts]]`` entry of the configuration file."""

import functools
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct

from balance_gateway.config.conversion import convert_table, join_name
from balance_gateway.config.errors import ConfigError
from balance_gateway.config.settings import ConfiguredConnector
from balance_gateway.config.value_types import CurrencyCode, Text, format_name
from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.provider_spec import AccountId
from balance_gateway.ports.provider_dependencies import AnyProviderSpec


class AccountEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of every account."""

    id: Annotated[
        str,
        Meta(
            # The end of the pattern refuses a line break, which "$" alone allows.
            pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)",
            description="The gateway's id: opaque, stable, unique over all tenants.",
            extra={"must_be": "1 to 64 letters, digits, underscores or hyphens"},
        ),
    ]
    tenant: Annotated[Text, Meta(description="The company that owns the account.")]
    connector: Annotated[Text, Meta(description="The connector that reaches the account.")]
    name: Annotated[Text, Meta(description="The display name.")]
    currency: (
        Annotated[CurrencyCode, Meta(description="ISO 4217 code; default: the connector's.")] | None
    ) = None
    time_zone: Annotated[
        ZoneInfo, Meta(description='IANA name; decides "today" and the ends of days.')
    ] = msgspec.field(default_factory=lambda: ZoneInfo("UTC"))
    normal_balance: (
        Annotated[Side, Meta(description="The normal side; default: as the provider reports it.")]
        | None
    ) = None


class _Reference(Struct):
    """The key that decides which other keys an account has."""

    connector: Text


@functools.cache
def build_account_type(spec: AnyProviderSpec) -> type[AccountEntry]:
    """Build the type of an account's entry: the common keys and the provider's own ids."""
    keys: list[Any] = [_define_id(each) for each in spec.account_ids]
    if spec.derivation_day is not None:
        meaning = f"{spec.derivation_day}, whose balance is reported as the opening balance."
        day: Any = Annotated[date, Meta(description=meaning[0].upper() + meaning[1:])]
        keys.append(("derive_opening_balance_as_of", day | None, None))
    name = f"{spec.kind.value.title().replace('_', '')}Account"
    entry = msgspec.defstruct(name, keys, bases=(AccountEntry,), frozen=True, kw_only=True)
    assert issubclass(entry, AccountEntry)
    return entry


def _define_id(account_id: AccountId) -> tuple[Any, ...]:
    text: Any = Annotated[Text, Meta(description=account_id.description)]
    return (account_id.key, text) if account_id.is_required else (account_id.key, text | None, None)


def read_account(
    values: object,
    name: str,
    connectors: Mapping[str, ConfiguredConnector],
    specs: Mapping[Any, AnyProviderSpec],
    directory: Path,
) -> tuple[Account, Mapping[str, str]]:
    """Read the account of one entry.

    Args:
        values: the entry as parsed by tomllib.
        name: the entry's full name, such as ``accounts[0]``.
        connectors: the connectors by name.
        specs: the specs of all providers by kind.
        directory: the base directory of relative paths.

    Returns:
        The account, and the provider's ids as they are written in the file.

    Raises:
        ConfigError: a key is unknown or missing, or its value is invalid.
    """
    connector = _find_connector(values, name, connectors, directory)
    spec = specs[connector.provider]
    entry = convert_table(values, build_account_type(spec), name, directory)
    currency = entry.currency or connector.settings.currency
    if currency is None:
        raise ConfigError(f"{name}.currency is missing: set it here or at the connector")
    configured = {each.key: getattr(entry, each.key) for each in spec.account_ids}
    written = {key: text for key, text in configured.items() if text is not None}
    account = Account(
        id=entry.id,
        tenant=entry.tenant,
        connector=connector.name,
        provider=connector.provider,
        name=entry.name,
        currency=str(currency),
        time_zone=entry.time_zone,
        remote=spec.canonical_ids(written),
        normal_balance=entry.normal_balance,
        derive_opening_balance_as_of=getattr(entry, "derive_opening_balance_as_of", None),
    )
    return account, written


def _find_connector(
    values: object, name: str, connectors: Mapping[str, ConfiguredConnector], directory: Path
) -> ConfiguredConnector:
    reference = convert_table(values, _Reference, name, directory)
    connector = connectors.get(reference.connector)
    if connector is None:
        known = ", ".join(map(format_name, sorted(connectors))) or "none is configured"
        key = join_name(name, "connector")
        raise ConfigError(f"{key}: unknown connector {reference.connector!r}; known: {known}")
    return connector
