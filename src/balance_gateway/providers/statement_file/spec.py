"""What the gateway must know of statement files."""

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.provider_spec import AccountId, ProviderSpec, exact_text
from balance_gateway.ports.provider_dependencies import ProviderDependencies
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.providers.statement_file.provider import (
    CAPABILITIES,
    StatementFileProvider,
    StatementFileSettings,
)


def _build(
    connector: str, settings: StatementFileSettings, dependencies: ProviderDependencies
) -> BalanceProvider:
    return StatementFileProvider(connector, settings, clock=dependencies.clock)


SPEC = ProviderSpec(
    kind=ProviderKind.STATEMENT_FILE,
    settings=StatementFileSettings,
    account_ids=(
        AccountId(
            key="statement_account_id",
            is_required=True,
            pattern=None,
            canonical=exact_text,
            description="The account's name in the file, such as its IBAN.",
        ),
    ),
    identity=("statement_account_id",),
    # Not cached: a changed file must be visible immediately, and reading it costs little.
    fence=None,
    values_in_storage=False,
    response_settings=frozenset({"path"}),
    neutral_settings=frozenset(),
    calls_per_minute=None,
    capabilities=CAPABILITIES,
    account_capabilities=lambda _account, _settings: CAPABILITIES,
    derivation_day=None,
    reports_calls=False,
    example={"path": "statements.json"},
    build=_build,
)
