"""Open the connectors of a configuration; one with the settings of before is kept as it is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from balance_gateway.app.call_observer import make_call_observer
from balance_gateway.app.provider_builder import build_gate, build_provider
from balance_gateway.app.resources import Resources
from balance_gateway.config.settings import ConfiguredConnector
from balance_gateway.pipeline.calls.call_gate import ConnectorGate
from balance_gateway.pipeline.calls.health_tracked_provider import HealthTrackedProvider
from balance_gateway.pipeline.calls.health_tracker import HealthTracker
from balance_gateway.pipeline.calls.retrying_provider import RetryingProvider
from balance_gateway.ports.provider_dependencies import ProviderDependencies
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.providers.registry import PROVIDERS


@dataclass(frozen=True, slots=True)
class OpenConnector:
    """A connector with its state: its budget, its breaker, its health, its connections.

    Attributes:
        configured: the settings.
        gate: the call gate.
        tracker: tracks the health of this connector.
        provider: the provider as it is built.
        source: the provider with retries or health tracking.
    """

    configured: ConfiguredConnector
    gate: ConnectorGate
    tracker: HealthTracker
    provider: BalanceProvider
    source: BalanceProvider


def open_connectors(
    configured: Iterable[ConfiguredConnector],
    resources: Resources,
    former: Mapping[str, OpenConnector],
) -> dict[str, OpenConnector]:
    """Open the connectors by name; no connection is made.

    Args:
        configured: the settings of the connectors.
        resources: the parts that all connectors share.
        former: the connectors before a reload, by name.

    Raises:
        ValueError: a setting is invalid; the text names it and contains no secret.
    """
    return {one.name: _open(one, resources, former.get(one.name)) for one in configured}


def _open(
    configured: ConfiguredConnector, resources: Resources, former: OpenConnector | None
) -> OpenConnector:
    if former is not None and former.configured == configured:
        return former
    predecessor = None if former is None else (former.configured, former.gate)
    gate = build_gate(configured, resources.cache.link, predecessor)
    gates = {configured.name: gate}
    tracker = HealthTracker(gates, resources.clock)
    on_call = make_call_observer(resources.metrics, gates, tracker)
    dependencies = ProviderDependencies(
        resources.clock, on_call, gate, resources.ledger, resources.sides
    )
    provider = build_provider(configured, dependencies)
    return OpenConnector(configured, gate, tracker, provider, _decorate(provider, tracker))


def _decorate(provider: BalanceProvider, tracker: HealthTracker) -> BalanceProvider:
    """Add retries or health tracking."""
    # Without reports of its calls, the health of a provider is seen from their results.
    if PROVIDERS[provider.kind].reports_calls:
        return RetryingProvider(provider)
    return HealthTrackedProvider(provider, tracker)
