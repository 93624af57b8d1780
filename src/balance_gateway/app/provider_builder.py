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


def build_gate(
    connector: ConfiguredConnector,
    redis: RedisClient | None,
    former: tuple[ConfiguredConnector, ConnectorGate] | None = None,
) -> ConnectorGate:
    """Build the call gate of a connector with the configured or the documented rate limit.

    Args:
        connector: The connector.
        redis: Replicas that share Redis also share the rate limit; None for a limit per process.
        former: The connector of this name before a reload, and its gate: at the same address its
            breaker and the calls that it has counted stay. None without one.
    """
    per_minute = _get_limit(connector)
    if former is not None and _has_same_address(connector, former[0]):
        gate = former[1]
        former_settings, settings = former[0].settings, connector.settings
        is_same_limit = per_minute == gate.rate_limiter.per_minute
        if is_same_limit and settings.max_concurrency == former_settings.max_concurrency:
            return gate
        if per_minute is not None and gate.rate_limiter.per_minute is not None:
            rate_limiter = gate.rate_limiter.copy_with_limit(per_minute)
            return ConnectorGate(
                connector.name, gate.breaker, rate_limiter, settings.max_concurrency
            )
    rate_limiter = _build_rate_limiter(connector, per_minute, redis)
    return ConnectorGate(
        connector.name, CircuitBreaker(), rate_limiter, connector.settings.max_concurrency
    )


def _has_same_address(connector: ConfiguredConnector, other: ConfiguredConnector) -> bool:
    same_provider = connector.provider == other.provider
    return same_provider and connector.settings.address == other.settings.address


def _get_limit(connector: ConfiguredConnector) -> int | None:
    per_minute = connector.settings.requests_per_minute
    return per_minute or PROVIDERS[connector.provider].calls_per_minute


def _build_rate_limiter(
    connector: ConfiguredConnector, per_minute: int | None, redis: RedisClient | None
) -> RateLimiter:
    window: SlidingWindow = MemorySlidingWindow()
    if redis is not None and per_minute is not None:
        # The address is part of the key, so that gateways for different environments of a provider
        # do not share a limit.
        address = hashlib.sha256(connector.settings.address.encode()).hexdigest()[:16]
        window = SharedSlidingWindow(
            RedisCallCounter(redis, f"{connector.name}:{address}"), MemorySlidingWindow()
        )
    return RateLimiter(per_minute, window, write_reserve=WRITE_RESERVE)


def build_provider(
    connector: ConfiguredConnector, dependencies: ProviderDependencies
) -> BalanceProvider:
    """Build the provider of a connector; no connection is opened.

    Raises:
        ValueError: A setting is invalid; the text names it and contains no secret.
    """
    build = PROVIDERS[connector.provider].build
    return build(connector.name, connector.settings, dependencies)
