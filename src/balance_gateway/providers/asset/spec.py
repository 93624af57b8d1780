"""What the gateway must know of Asset; see ``provider.py`` for the sources."""

from balance_gateway.config.connector_settings import NETWORK_KEYS
from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.provider_spec import (
    PATH_SEGMENT,
    AccountId,
    ProviderSpec,
    add_derived_opening_balance,
    exact_text,
)
from balance_gateway.ports.provider_dependencies import ProviderDependencies
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.providers.asset.provider import CAPABILITIES, AssetProvider, AssetSettings


def _build(
    connector: str, settings: AssetSettings, dependencies: ProviderDependencies
) -> BalanceProvider:
    return AssetProvider(
        connector,
        settings,
        clock=dependencies.clock,
        on_call=dependencies.on_call,
        gate=dependencies.gate,
        sides=dependencies.sides,
    )


SPEC = ProviderSpec(
    kind=ProviderKind.ASSET,
    settings=AssetSettings,
    # Ids are "biz_…" and "ldg_…", in which the case of letters matters.
    account_ids=(
        AccountId(
            key="business_id",
            is_required=True,
            pattern=PATH_SEGMENT,
            canonical=exact_text,
            description="The id of the business at Asset.",
        ),
        AccountId(
            key="ledger_id",
            is_required=True,
            pattern=PATH_SEGMENT,
            canonical=exact_text,
            description="The id of the ledger at Asset.",
        ),
        AccountId(
            key="external_account_id",
            is_required=False,
            pattern=PATH_SEGMENT,
            canonical=exact_text,
            description="The id of the ledger's external account at Asset.",
        ),
    ),
    identity=("business_id", "ledger_id"),
    fence=("business_id", "ledger_id"),
    values_in_storage=False,
    response_settings=frozenset({"base_url", "basis", "entries_start"}),
    neutral_settings=NETWORK_KEYS
    | frozenset({"client_id", "client_secret", "access_token", "redirect_hosts", "transport"}),
    # 300 per tenant and 300 per business
    calls_per_minute=300,
    capabilities=CAPABILITIES,
    account_capabilities=lambda account, _: add_derived_opening_balance(account, CAPABILITIES),
    derivation_day="the day of the business's entries start",
    reports_calls=True,
    example={
        "base_url": "https://api.getasset.com",
        "client_id": "env:ASSET_CLIENT_ID",
        "client_secret": "env:ASSET_CLIENT_SECRET",
    },
    build=_build,
)
