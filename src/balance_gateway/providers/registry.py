"""Lists the providers. Only ``app`` imports it; all other packages are given the specs."""

from collections.abc import Mapping
from types import MappingProxyType

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.ports.provider_dependencies import AnyProviderSpec
from balance_gateway.providers.asset import spec as asset
from balance_gateway.providers.layer import spec as layer
from balance_gateway.providers.light import spec as light
from balance_gateway.providers.local import spec as local
from balance_gateway.providers.statement_file import spec as statement_file

_SPECS: tuple[AnyProviderSpec, ...] = (
    light.SPEC,
    asset.SPEC,
    layer.SPEC,
    local.SPEC,
    statement_file.SPEC,
)

#: The specs of all providers by kind.
PROVIDERS: Mapping[ProviderKind, AnyProviderSpec] = MappingProxyType(
    {spec.kind: spec for spec in _SPECS}
)
