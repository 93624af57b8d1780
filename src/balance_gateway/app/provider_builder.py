"""Build a connector's provider and call gate from its settings."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from balance_gateway.config.settings import ConnectorSettings
from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.pipeline.calls.call_gate import ConnectorGate
from balance_gateway.pipeline.calls.circuit_breaker import CircuitBreaker
from balance_gateway.pipeline.calls.rate_limiter import RateLimiter
from balance_gateway.pipeline.calls.redis_sliding_window import RedisCallCounter
from balance_gateway.pipeline.calls.sliding_window import (
    MemorySlidingWindow,
    SharedSlidingWindow,
    SlidingWindow,
)
from balance_gateway.pipeline.redis_client import RedisClient
from balance_gateway.ports.ledger_store import LedgerStore
from balance_gateway.ports.provider_call import CallGate, OnCall
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.providers.asset.provider import AssetProvider, AssetSettings
from balance_gateway.providers.layer.provider import LayerProvider, LayerSettings
from balance_gateway.providers.light.provider import LightProvider, LightSettings
from balance_gateway.providers.local.provider import LocalProvider


@dataclass(frozen=True, slots=True)
class ProviderDependencies:
    """Dependencies of every provider that is reached over HTTP.

    Attributes:
        clock: Current time.
        on_call: Called with the record of every exchange.
        gate: Call gate of the connector.
    """

    clock: Clock
    on_call: OnCall
    gate: CallGate


#: Documented rate limits in calls per minute. Light: "300 requests/min per API key or token";
#: Asset: 300 per tenant and 300 per business; Layer: a bucket that is refilled with 100 per second.
_DOCUMENTED_PER_MINUTE = {
    ProviderKind.LIGHT: 300,
    ProviderKind.ASSET: 300,
    ProviderKind.LAYER: 6000,
}


def build_gate(settings: ConnectorSettings, redis: RedisClient | None) -> ConnectorGate:
    """Build the call gate of a connector with the configured or the documented rate limit.

    Args:
        settings: The connector's settings.
        redis: Replicas that share Redis also share the rate limit; None for a limit per process.
    """
    per_minute = settings.requests_per_minute or _DOCUMENTED_PER_MINUTE.get(settings.provider)
    window: SlidingWindow = MemorySlidingWindow()
    if redis is not None and per_minute is not None:
        # The address is part of the key, so that gateways for different environments of a provider
        # do not share a limit.
        address = hashlib.sha256(settings.base_url.encode()).hexdigest()[:16]
        window = SharedSlidingWindow(
            RedisCallCounter(redis, f"{settings.name}:{address}"), MemorySlidingWindow()
        )
    rate_limiter = RateLimiter(per_minute, window)
    return ConnectorGate(settings.name, CircuitBreaker(), rate_limiter, settings.max_concurrency)


def build_provider(
    settings: ConnectorSettings, ledger: LedgerStore, dependencies: ProviderDependencies
) -> BalanceProvider:
    """Build the provider of a connector; no connection is opened.

    Args:
        settings: The connector's settings.
        ledger: Store of the embedded ledger, for its provider.
        dependencies: Dependencies of the providers that are reached over HTTP.

    Raises:
        ValueError: A setting is invalid; the text names it and contains no secret.
    """
    if settings.provider is ProviderKind.LOCAL:
        return LocalProvider(settings.name, ledger)
    return _BUILDERS[settings.provider](settings, dependencies)


def _build_light(
    settings: ConnectorSettings, dependencies: ProviderDependencies
) -> BalanceProvider:
    return LightProvider(
        settings.name,
        LightSettings(
            base_url=settings.base_url,
            api_key=settings.api_key,
            access_token=settings.access_token,
            timeout_s=settings.timeout_s,
            redirect_hosts=settings.redirect_hosts,
        ),
        clock=dependencies.clock,
        on_call=dependencies.on_call,
        gate=dependencies.gate,
    )


def _build_asset(
    settings: ConnectorSettings, dependencies: ProviderDependencies
) -> BalanceProvider:
    return AssetProvider(
        settings.name,
        AssetSettings(
            base_url=settings.base_url,
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            access_token=settings.access_token,
            basis=settings.basis,
            entries_start=settings.entries_start,
            timeout_s=settings.timeout_s,
            redirect_hosts=settings.redirect_hosts,
        ),
        clock=dependencies.clock,
        on_call=dependencies.on_call,
        gate=dependencies.gate,
    )


def _build_layer(
    settings: ConnectorSettings, dependencies: ProviderDependencies
) -> BalanceProvider:
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
        clock=dependencies.clock,
        on_call=dependencies.on_call,
        gate=dependencies.gate,
    )


_BUILDERS: dict[
    ProviderKind, Callable[[ConnectorSettings, ProviderDependencies], BalanceProvider]
] = {
    ProviderKind.LIGHT: _build_light,
    ProviderKind.ASSET: _build_asset,
    ProviderKind.LAYER: _build_layer,
}
