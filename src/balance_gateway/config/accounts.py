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
from balance_gateway.domain.accounts import ACCOUNT_ID, Account, Side
from balance_gateway.domain.provider_spec import AccountId
from balance_gateway.ports.provider_dependencies import AnyProviderSpec

#: ``ACCOUNT_ID`` for msgspec. The lookahead refuses a line break at the end, which "$" allows.
_AccountId = Annotated[
    str,
    Meta(
        pattern=rf"^{ACCOUNT_ID.pattern}$(?!\n)",
        extra={"must_be": "1 to 64 letters, digits, underscores or hyphens"},
    ),
]


class AccountEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of every account.

    Attributes:
        id: The gateway's id: opaque, stable, unique over all tenants.
        tenant: The company that owns the account.
        connector: The connector that reaches the account.
        name: The display name.
        currency: ISO 4217 code; the connector's by default.
        time_zone: IANA name; decides "today" and the ends of days.
        normal_balance: The normal side; as the provider reports it by default.
    """

    id: _AccountId
    tenant: Text
    connector: Text
    name: Text
    currency: CurrencyCode | None = None
    time_zone: ZoneInfo = msgspec.field(default_factory=lambda: ZoneInfo("UTC"))
    normal_balance: Side | None = None


class _Reference(Struct):
    """The key that decides which other keys an account has."""

    connector: Text


@functools.cache
def build_account_type(spec: AnyProviderSpec) -> type[AccountEntry]:
    """Build the type of an account's entry: the common keys and the provider's own ids."""
    keys: list[Any] = [_define_id(each) for each in spec.account_ids]
    if spec.derivation_day is not None:
        meaning = f"{spec.derivation_day}; its balance is reported as the opening balance."
        day: Any = Annotated[date, Meta(description=meaning[0].upper() + meaning[1:])]
        keys.append(("derive_opening_balance_as_of", day | None, None))
    name = f"{spec.kind.value.title().replace('_', '')}Account"
    options = {"__doc__": f"An account at a connector of the kind {spec.kind.value}."}
    entry = msgspec.defstruct(
        name, keys, bases=(AccountEntry,), namespace=options, frozen=True, kw_only=True
    )
    assert issubclass(entry, AccountEntry)
    return entry


def _define_id(account_id: AccountId) -> tuple[Any, ...]:
    text: Any = Annotated[Text, Meta(description=account_id.description)]
    if account_id.pattern is not None:
        must_be = f"an id of the form {account_id.pattern}"
        text = Annotated[
            str,
            Meta(
                pattern=rf"^{account_id.pattern}$(?!\n)",
                description=account_id.description,
                extra={"must_be": must_be},
            ),
        ]
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
        values: the entry as parsed by tomli.
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
    _refuse_other_tenant(entry.tenant, name, connector)
    currency = entry.currency or connector.settings.currency
    if currency is None:
        raise ConfigError(f"{name}.currency is missing: set it here or at the connector")
    configured = {each.key: getattr(entry, each.key) for each in spec.account_ids}
    written = {key: text for key, text in configured.items() if text is not None}
    # A file has thousands of accounts, and building one twice is much faster than ``replace``.
    build = functools.partial(
        Account,
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
    capabilities = spec.account_capabilities(build(), connector.settings)
    return build(capabilities=capabilities), written


def _refuse_other_tenant(tenant: str, name: str, connector: ConfiguredConnector) -> None:
    if connector.settings.allows_tenant(tenant):
        return
    key = f"{join_name('connectors', connector.name)}.tenants"
    allowed = ", ".join(map(format_name, connector.settings.tenants or ()))
    raise ConfigError(
        f"{join_name(name, 'tenant')}: {tenant!r} may not use the connector; add it to {key}, which"
        f" has {allowed}, or set another connector"
    )


def _find_connector(
    values: object, name: str, connectors: Mapping[str, ConfiguredConnector], directory: Path
) -> ConfiguredConnector:
    written = values.get("connector") if isinstance(values, dict) else None
    # The usual case; the conversion words the error of any other.
    if isinstance(written, str) and written in connectors and written.strip():
        return connectors[written]
    reference = convert_table(values, _Reference, name, directory)
    connector = connectors.get(reference.connector)
    if connector is None:
        known = ", ".join(map(format_name, sorted(connectors))) or "none is configured"
        key = join_name(name, "connector")
        raise ConfigError(f"{key}: unknown connector {reference.connector!r}; known: {known}")
    return connector
