"""What the gateway must know of the embedded ledger."""

from balance_gateway.config.connector_settings import ConnectorSettings
from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.provider_spec import ProviderSpec
from balance_gateway.ports.provider_dependencies import ProviderDependencies
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.providers.local.provider import CAPABILITIES, LocalProvider


class LocalSettings(
    ConnectorSettings,
    frozen=True,
    kw_only=True,
    tag_field="provider",
    tag=ProviderKind.LOCAL.value,
):
    """Settings of a connector to the embedded ledger, which is stored in ``[storage]``."""


def _build(
    connector: str,
    settings: LocalSettings,  # noqa: ARG001 (the embedded ledger has no settings of its own)
    dependencies: ProviderDependencies,
) -> BalanceProvider:
    return LocalProvider(connector, dependencies.ledger)


SPEC = ProviderSpec(
    kind=ProviderKind.LOCAL,
    settings=LocalSettings,
    account_ids=(),
    identity=(),
    # Not cached: another process imports entries, and they must be visible immediately.
    fence=None,
    values_in_storage=True,
    response_settings=frozenset(),
    neutral_settings=frozenset(),
    calls_per_minute=None,
    capabilities=CAPABILITIES,
    account_capabilities=lambda _account, _settings: CAPABILITIES,
    derivation_day=None,
    reports_calls=False,
    example={},
    build=_build,
)
