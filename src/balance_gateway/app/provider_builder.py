"""Build a connector's provider and call gate from its settings."""

import hashlib

from balance_gateway.config.settings import ConfiguredConnector
from balance_gateway.pipeline.calls.call_gate import ConnectorGate
from balance_gateway.pipeline.calls.circuit_breaker import CircuitBreaker
from balance_gateway.pipeline.calls.rate_limiter import WRITE_RESERVE, RateLimiter
from balance_gateway.pipeline.calls.redis_sliding_window import RedisCallCounter
from balance_gateway.pipeline.calls.sliding_window import (
    MemorySlidingWindow,
    SharedSlidingWindow,
    SlidingWindow,
)
from balance_gateway.pipeline.redis_client import RedisClient
from balance_gateway.ports.provider_dependencies import ProviderDependencies
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.providers.registry import PROVIDERS


def build_gate(connector: ConfiguredConnector, redis: RedisClient | None) -> ConnectorGate:
    """Build the call gate of a connector with the configured or the documented rate limit.

    Args:
        connector: The connector.
        redis: Replicas that share Redis also share the rate limit; None for a limit per process.
    """
    settings = connector.settings
    per_minute = settings.requests_per_minute or PROVIDERS[connector.provider].calls_per_minute
    window: SlidingWindow = MemorySlidingWindow()
    if redis is not None and per_minute is not None:
        # The address is part of the key, so that gateways for different environments of a provider
        # do not share a limit.
        address = hashlib.sha256(settings.address.encode()).hexdigest()[:16]
        window = SharedSlidingWindow(
            RedisCallCounter(redis, f"{connector.name}:{address}"), MemorySlidingWindow()
        )
    rate_limiter = RateLimiter(per_minute, window, write_reserve=WRITE_RESERVE)
    return ConnectorGate(connector.name, CircuitBreaker(), rate_limiter, settings.max_concurrency)


def build_provider(
    connector: ConfiguredConnector, dependencies: ProviderDependencies
) -> BalanceProvider:
    """Build the provider of a connector; no connection is opened.

    Raises:
        ValueError: A setting is invalid; the text names it and contains no secret.
    """
    build = PROVIDERS[connector.provider].build
    return build(connector.name, connector.settings, dependencies)
