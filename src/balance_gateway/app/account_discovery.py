"""List a connector's accounts at its provider, for the command ``accounts discover``."""

import hashlib
import re
import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from balance_gateway.app.connectors import OpenConnector
from balance_gateway.app.running_gateway import open_running_gateway
from balance_gateway.config.settings import ConfiguredConnector, Settings
from balance_gateway.domain.errors import BadInput, Internal, Unsupported
from balance_gateway.domain.money import currency_exponent
from balance_gateway.domain.remote_accounts import RemoteAccount, RemoteAccountList
from balance_gateway.pipeline.calls.retrying_provider import RetryingProvider
from balance_gateway.ports.account_lister import AccountLister
from balance_gateway.ports.call_context import set_call_context
from balance_gateway.ports.provider_dependencies import AnyProviderSpec
from balance_gateway.providers.registry import PROVIDERS
from balance_gateway.storage.database import DatabaseError

T = TypeVar("T")

#: Longest wait of a call, in seconds, for the budget.
_BUDGET_WAIT_MAX_S = 600.0

#: Digits of the hash at the end of a proposed id; more where two would be equal.
_DIGITS = (8, 16, 32)

#: The longest slug leaves room for a hyphen and the longest hash.
_SLUG_LENGTH_MAX = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveredAccount:
    """One account at the provider.

    Attributes:
        listed: the account as the provider lists it, with its ids in canonical form.
        id: the id to configure it by, or the configured one of the tenant's; None for an account
            that another tenant has.
        is_configured: whether an account of any tenant reaches it.
        currency: the currency that the provider names; None without a usable one.
        currency_problem: why a named currency cannot be used; empty if it can, or none is named.
    """

    listed: RemoteAccount
    id: str | None
    is_configured: bool
    currency: str | None
    currency_problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What the provider of a connector lists.

    Attributes:
        connector: the connector.
        tenant: the tenant of new accounts; None if it was not named and there are several.
        accounts: the accounts, in the provider's order.
        skipped: how many entries cannot be configured, by the reason.
        derivation_day: see ``ProviderSpec``.
    """

    connector: ConfiguredConnector
    tenant: str | None
    accounts: Sequence[DiscoveredAccount]
    skipped: Mapping[str, int]
    derivation_day: str | None


async def discover_accounts(
    settings: Settings, connector_name: str, tenant: str | None, businesses: Sequence[str]
) -> Discovery:
    """List the accounts at a connector's provider, within its budget and with its retries.

    Args:
        settings: the settings.
        connector_name: the name of the connector.
        tenant: the tenant of new accounts; None: the only one of the connector or of the file.
        businesses: the businesses to list; empty for all.

    Raises:
        BadInput: the tenant may not use the connector, or the businesses cannot be listed.
        Unsupported: the provider lists no accounts; the text has the next step.
        Internal: the storage cannot be opened.
        GatewayError: the provider failed.
    """
    [connector] = [one for one in settings.connectors if one.name == connector_name]
    if tenant is not None and not connector.settings.allows_tenant(tenant):
        message = f"Connector {connector_name!r} is not for tenant {tenant!r}: see its tenants."
        raise BadInput(message, field="tenant")
    tenant = tenant or _find_only_tenant(settings, connector)
    set_call_context(max_wait_s=_BUDGET_WAIT_MAX_S)
    try:
        # The whole gateway, for the budget that replicas share.
        async with open_running_gateway(settings) as running:
            found = await _list(running.current.connectors[connector_name], businesses)
    except DatabaseError as error:
        raise Internal(str(error)) from error
    spec = PROVIDERS[connector.provider]
    accounts = _describe_accounts(settings, spec, tenant, found.accounts)
    return Discovery(
        connector=connector,
        tenant=tenant,
        accounts=accounts,
        skipped=found.skipped,
        derivation_day=spec.derivation_day,
    )


def _find_only_tenant(settings: Settings, connector: ConfiguredConnector) -> str | None:
    of_file = {one.tenant for one in settings.accounts} | {one.tenant for one in settings.api_keys}
    tenants = set(connector.settings.tenants or of_file)
    return tenants.pop() if len(tenants) == 1 else None


async def _list(connector: OpenConnector, businesses: Sequence[str]) -> RemoteAccountList:
    provider, source = connector.provider, connector.source
    if not isinstance(provider, AccountLister):
        kind = provider.kind.value
        message = (
            f"A connector of the kind {kind} lists no accounts: write each [[accounts]] by hand, as"
            f" docs/providers/{kind}.md says."
        )
        raise Unsupported(message, provider=provider.kind.name)
    run = source.run_call if isinstance(source, RetryingProvider) else _run_once
    return await provider.list_accounts(businesses, run)


async def _run_once(call: Callable[[], Awaitable[T]]) -> T:
    return await call()


def _describe_accounts(
    settings: Settings,
    spec: AnyProviderSpec,
    tenant: str | None,
    listed: Sequence[RemoteAccount],
) -> list[DiscoveredAccount]:
    configured = {
        _identify(spec, account.remote): account
        for account in sorted(settings.accounts, key=lambda one: one.tenant == tenant)
        if account.provider is spec.kind
    }
    taken = {account.id for account in settings.accounts}
    described: dict[tuple[str, ...], DiscoveredAccount] = {}
    for each in listed:
        account = replace(each, remote=spec.canonical_ids(each.remote))
        identity = _identify(spec, account.remote)
        if identity in described:
            # A list that changes between two of its pages repeats entries.
            continue
        owner = configured.get(identity)
        if owner is None:
            account_id: str | None = _propose_id(spec, account.name, identity, taken)
        else:
            account_id = owner.id if owner.tenant == tenant else None
        currency, problem = _check_currency(account.currency)
        described[identity] = DiscoveredAccount(
            listed=account,
            id=account_id,
            is_configured=owner is not None,
            currency=currency,
            currency_problem=problem,
        )
    return list(described.values())


def _identify(spec: AnyProviderSpec, remote: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(remote[key] for key in spec.identity)


def _propose_id(
    spec: AnyProviderSpec, name: str, identity: tuple[str, ...], taken: set[str]
) -> str:
    """Return an id that depends on the account alone, and add it to those that are taken."""
    slug = _slug(name) or spec.kind.value
    digest = hashlib.sha256("\0".join((spec.kind.value, *identity)).encode()).hexdigest()
    proposed = next(
        text for digits in _DIGITS if (text := f"{slug}-{digest[:digits]}") not in taken
    )
    taken.add(proposed)
    return proposed


def _slug(name: str) -> str:
    """Return the name in lower-case ASCII letters, digits and hyphens; empty if it has none."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:_SLUG_LENGTH_MAX].strip("-")


def _check_currency(named: str | None) -> tuple[str | None, str]:
    """Return a currency with minor units, or why there is none."""
    if named is None:
        return None, ""
    try:
        currency_exponent(named)
    except BadInput as error:
        return None, error.message
    return named, ""
