"""What the gateway must know of Layer; see ``provider.py`` for the sources."""

from balance_gateway.config.connector_settings import NETWORK_KEYS
from balance_gateway.domain.accounts import Account, Capability, ProviderKind
from balance_gateway.domain.provider_spec import (
    PATH_SEGMENT,
    AccountId,
    ProviderSpec,
    canonical_uuid,
)
from balance_gateway.ports.provider_dependencies import ProviderDependencies
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.providers.layer.provider import (
    CAPABILITIES,
    LayerProvider,
    LayerSettings,
    get_write_id_key,
)


def _build(
    connector: str, settings: LayerSettings, dependencies: ProviderDependencies
) -> BalanceProvider:
    return LayerProvider(
        connector,
        settings,
        clock=dependencies.clock,
        on_call=dependencies.on_call,
        gate=dependencies.gate,
        sides=dependencies.sides,
    )


def _list_account_capabilities(account: Account, settings: LayerSettings) -> frozenset[Capability]:
    if get_write_id_key(settings) in account.remote:
        return CAPABILITIES
    return CAPABILITIES - {Capability.WRITE_OPENING_BALANCE, Capability.CHOOSE_EFFECTIVE_AT}


SPEC = ProviderSpec(
    kind=ProviderKind.LAYER,
    settings=LayerSettings,
    account_ids=(
        AccountId(
            key="business_id",
            is_required=True,
            pattern=PATH_SEGMENT,
            canonical=canonical_uuid,
            description="The id of the business at Layer.",
        ),
        AccountId(
            key="external_account_id",
            is_required=True,
            pattern=PATH_SEGMENT,
            canonical=canonical_uuid,
            description="The id of the external account at Layer.",
        ),
        AccountId(
            key="ledger_account_id",
            is_required=False,
            pattern=PATH_SEGMENT,
            canonical=canonical_uuid,
            description="The id of the account in Layer's ledger; default: read from Layer.",
        ),
        AccountId(
            key="custom_account_id",
            is_required=False,
            pattern=PATH_SEGMENT,
            canonical=canonical_uuid,
            description="Needed to set opening balances by the documented route.",
        ),
        AccountId(
            key="bank_account_id",
            is_required=False,
            pattern=PATH_SEGMENT,
            canonical=canonical_uuid,
            description='Needed to set opening balances with upsert_route = "bank_account".',
        ),
    ),
    identity=("business_id", "external_account_id"),
    # A parent account's balance at Layer includes its children's, so the business is the unit.
    fence=("business_id",),
    values_in_storage=False,
    response_settings=frozenset({"base_url", "reporting_basis", "upsert_route"}),
    neutral_settings=NETWORK_KEYS
    | frozenset(
        {
            "client_id",
            "client_secret",
            "token_url",
            "scope",
            "access_token",
            "redirect_hosts",
            "transport",
        }
    ),
    # A bucket that is refilled with 100 per second.
    calls_per_minute=6000,
    capabilities=CAPABILITIES,
    account_capabilities=_list_account_capabilities,
    derivation_day=None,
    reports_calls=True,
    example={
        "base_url": "https://api.layerfi.com",
        "token_url": "https://auth.layerfi.com/oauth2/token",
        "scope": "https://api.layerfi.com/production",
        "client_id": "env:LAYER_CLIENT_ID",
        "client_secret": "env:LAYER_CLIENT_SECRET",
    },
    build=_build,
)
