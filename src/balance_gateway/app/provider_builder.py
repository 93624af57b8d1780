"""From a connector's settings to the provider that speaks for it, and the gate before it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from balance_gateway.config.settings import ConnectorSettings
from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.pipeline.calls.call_gate import ConnectorGate
from balance_gateway.pipeline.calls.circuit_breaker import CircuitBreaker
from balance_gateway.pipeline.calls.rate_limiter import RateLimiter
from balance_gateway.pipeline.calls.redis_sliding_window import RedisCounter
from balance_gateway.pipeline.calls.sliding_window import (
    MemorySlidingWindow,
    SharedSlidingWindow,
    SlidingWindow,
)
from balance_gateway.pipeline.redis_client import RedisClient
from balance_gateway.ports.ledger_store import (
    LedgerStore,
)
from balance_gateway.ports.provider_call import (
    CallGate,
    OnCall,
)
from balance_gateway.ports.providers import (
    BalanceProvider,
)
from balance_gateway.providers.asset import AssetProvider, AssetSettings
from balance_gateway.providers.layer import LayerProvider, LayerSettings
from balance_gateway.providers.light import LightProvider, LightSettings
from balance_gateway.providers.local import LocalProvider


@dataclass(frozen=True, slots=True)
class ProviderDependencies:
    """What every provider over HTTP is wired to."""

    clock: Clock
    on_call: OnCall
    gate: CallGate


#: Documented limits, in calls a minute. Light: "300 requests/min per API key or token"; Asset: 300
#: per tenant and 300 per business; Layer: a bucket refilled with 100 a second.
_DOCUMENTED_PER_MINUTE = {
    ProviderKind.LIGHT: 300,
    ProviderKind.ASSET: 300,
    ProviderKind.LAYER: 6000,
}


def build_gate(settings: ConnectorSettings, link: RedisClient | None) -> ConnectorGate:
    """The gate of a connector, with the configured budget or the provider's documented one.

    Replicas that share Redis spend one budget.
    """
    per_minute = settings.requests_per_minute or _DOCUMENTED_PER_MINUTE.get(settings.provider)
    window: SlidingWindow = MemorySlidingWindow()
    if link is not None and per_minute is not None:
        address = hashlib.sha256(settings.base_url.encode()).hexdigest()[:16]
        window = SharedSlidingWindow(
            RedisCounter(link, f"{settings.name}:{address}"), MemorySlidingWindow()
        )
    budget = RateLimiter(per_minute, window)
    return ConnectorGate(settings.name, CircuitBreaker(), budget, settings.max_concurrency)


def build_provider(
    settings: ConnectorSettings, ledger: LedgerStore, wiring: ProviderDependencies
) -> BalanceProvider:
    """The provider of a connector; it connects to nothing yet."""
    if settings.provider is ProviderKind.LOCAL:
        return LocalProvider(settings.name, ledger)
    return _BUILDERS[settings.provider](settings, wiring)


def _light(settings: ConnectorSettings, wiring: ProviderDependencies) -> BalanceProvider:
    return LightProvider(
        settings.name,
        LightSettings(
            base_url=settings.base_url,
            api_key=settings.api_key,
            access_token=settings.access_token,
            timeout_s=settings.timeout_s,
            redirect_hosts=settings.redirect_hosts,
        ),
        clock=wiring.clock,
        on_call=wiring.on_call,
        gate=wiring.gate,
    )


def _asset(settings: ConnectorSettings, wiring: ProviderDependencies) -> BalanceProvider:
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
        clock=wiring.clock,
        on_call=wiring.on_call,
        gate=wiring.gate,
    )


def _layer(settings: ConnectorSettings, wiring: ProviderDependencies) -> BalanceProvider:
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
        clock=wiring.clock,
        on_call=wiring.on_call,
        gate=wiring.gate,
    )


_BUILDERS: dict[
    ProviderKind, Callable[[ConnectorSettings, ProviderDependencies], BalanceProvider]
] = {
    ProviderKind.LIGHT: _light,
    ProviderKind.ASSET: _asset,
    ProviderKind.LAYER: _layer,
}
