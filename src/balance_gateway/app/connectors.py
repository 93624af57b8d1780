"""From a connector's settings to the provider that speaks for it."""

from collections.abc import Callable

from balance_gateway.config.settings import ConnectorSettings
from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.calls import OnCall
from balance_gateway.domain.days import Clock
from balance_gateway.domain.ledger import LedgerStore
from balance_gateway.domain.ports import BalanceProvider
from balance_gateway.providers.asset import AssetProvider, AssetSettings
from balance_gateway.providers.layer import LayerProvider, LayerSettings
from balance_gateway.providers.light import LightProvider, LightSettings
from balance_gateway.providers.local import LocalProvider


def provider_of(
    settings: ConnectorSettings, *, ledger: LedgerStore, clock: Clock, on_call: OnCall
) -> BalanceProvider:
    """The provider of a connector; it connects to nothing yet."""
    if settings.provider is ProviderKind.LOCAL:
        return LocalProvider(settings.name, ledger)
    return _BUILDERS[settings.provider](settings, clock, on_call)


def _light(settings: ConnectorSettings, clock: Clock, on_call: OnCall) -> BalanceProvider:
    return LightProvider(
        settings.name,
        LightSettings(
            base_url=settings.base_url,
            api_key=settings.api_key,
            access_token=settings.access_token,
            timeout_s=settings.timeout_s,
            redirect_hosts=settings.redirect_hosts,
        ),
        clock=clock,
        on_call=on_call,
    )


def _asset(settings: ConnectorSettings, clock: Clock, on_call: OnCall) -> BalanceProvider:
    return AssetProvider(
        settings.name,
        AssetSettings(
            base_url=settings.base_url,
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            access_token=settings.access_token,
            scope=settings.scope,
            basis=settings.basis,
            entries_start=settings.entries_start,
            timeout_s=settings.timeout_s,
            redirect_hosts=settings.redirect_hosts,
        ),
        clock=clock,
        on_call=on_call,
    )


def _layer(settings: ConnectorSettings, clock: Clock, on_call: OnCall) -> BalanceProvider:
    return LayerProvider(
        settings.name,
        LayerSettings(
            base_url=settings.base_url,
            token_url=settings.token_url,
            scope=settings.scope,
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            access_token=settings.access_token,
            reporting_basis=settings.reporting_basis,
            upsert_route=settings.upsert_route,
            timeout_s=settings.timeout_s,
            redirect_hosts=settings.redirect_hosts,
        ),
        clock=clock,
        on_call=on_call,
    )


_BUILDERS: dict[ProviderKind, Callable[[ConnectorSettings, Clock, OnCall], BalanceProvider]] = {
    ProviderKind.LIGHT: _light,
    ProviderKind.ASSET: _asset,
    ProviderKind.LAYER: _layer,
}
