"""What the gateway must know of Light; see ``provider.py`` for the sources."""

from balance_gateway.config.connector_settings import NETWORK_KEYS
from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.provider_spec import (
    PATH_SEGMENT,
    AccountId,
    ProviderSpec,
    add_derived_opening_balance,
    canonical_uuid,
)
from balance_gateway.ports.provider_dependencies import ProviderDependencies
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.providers.light.provider import CAPABILITIES, LightProvider, LightSettings


def _build(
    connector: str, settings: LightSettings, dependencies: ProviderDependencies
) -> BalanceProvider:
    return LightProvider(
        connector,
        settings,
        clock=dependencies.clock,
        on_call=dependencies.on_call,
        gate=dependencies.gate,
    )


SPEC = ProviderSpec(
    kind=ProviderKind.LIGHT,
    settings=LightSettings,
    account_ids=(
        AccountId(
            key="bank_account_id",
            is_required=True,
            pattern=PATH_SEGMENT,
            canonical=canonical_uuid,
            description="The id of the bank account at Light.",
        ),
    ),
    identity=("bank_account_id",),
    fence=("bank_account_id",),
    values_in_storage=False,
    response_settings=frozenset({"base_url"}),
    neutral_settings=NETWORK_KEYS
    | frozenset({"api_key", "access_token", "redirect_hosts", "transport"}),
    # "300 requests/min per API key or token"
    calls_per_minute=300,
    capabilities=CAPABILITIES,
    account_capabilities=lambda account, _: add_derived_opening_balance(account, CAPABILITIES),
    derivation_day="a day before the first transaction",
    reports_calls=True,
    example={"base_url": "https://api.light.inc", "api_key": "env:LIGHT_API_KEY"},
    build=_build,
)
