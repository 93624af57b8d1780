"""Connectors: which providers are reached, what they can do, and how they are doing."""

from datetime import datetime
from enum import Enum

import strawberry

from balance_gateway.api.request.context import Info
from balance_gateway.domain import accounts as domain
from balance_gateway.domain import health
from balance_gateway.service.directory import Connector as DirectoryConnector


@strawberry.enum(description="The systems that the gateway can speak to.")
class ProviderKind(Enum):
    """The systems that the gateway can speak to."""

    LIGHT = strawberry.enum_value(domain.ProviderKind.LIGHT, description="Light.")
    ASSET = strawberry.enum_value(domain.ProviderKind.ASSET, description="Asset.")
    LAYER = strawberry.enum_value(domain.ProviderKind.LAYER, description="Layer.")
    LOCAL = strawberry.enum_value(
        domain.ProviderKind.LOCAL, description="The ledger that is embedded in the gateway."
    )


def to_domain_provider(kind: ProviderKind) -> domain.ProviderKind:
    """A provider in the domain's words."""
    return domain.ProviderKind[kind.name]


@strawberry.enum(description="What a provider can do.")
class Capability(Enum):
    """What a provider can do."""

    READ_BANK_BALANCE = strawberry.enum_value(
        domain.Capability.READ_BANK_BALANCE, description="Tells the bank's figure of a day."
    )
    READ_LEDGER_BALANCE = strawberry.enum_value(
        domain.Capability.READ_LEDGER_BALANCE, description="Tells the books' figure of a day."
    )
    READ_OPENING_BALANCE = strawberry.enum_value(
        domain.Capability.READ_OPENING_BALANCE, description="Tells the opening balance it keeps."
    )
    WRITE_OPENING_BALANCE = strawberry.enum_value(
        domain.Capability.WRITE_OPENING_BALANCE, description="Lets an opening balance be set."
    )
    CHOOSE_EFFECTIVE_AT = strawberry.enum_value(
        domain.Capability.CHOOSE_EFFECTIVE_AT,
        description="Takes the instant at which an opening balance counts.",
    )
    WRITE_MEMO = strawberry.enum_value(
        domain.Capability.WRITE_MEMO, description="Keeps a memo and a reference number."
    )


@strawberry.enum(description="What the last calls say of a provider.")
class HealthState(Enum):
    """What the last calls say of a provider."""

    UNKNOWN = strawberry.enum_value(
        health.HealthState.UNKNOWN, description="No call has been made yet."
    )
    UP = strawberry.enum_value(health.HealthState.UP, description="Calls are answered.")
    DEGRADED = strawberry.enum_value(
        health.HealthState.DEGRADED, description="Some calls fail or are slow."
    )
    DOWN = strawberry.enum_value(
        health.HealthState.DOWN, description="Calls fail fast until a probe succeeds."
    )


@strawberry.type(description="How a connector is doing, as the answering process sees it.")
class ConnectorHealth:
    """How a connector is doing."""

    state: HealthState = strawberry.field(description="What the last calls say.")
    last_success_at: datetime | None = strawberry.field(
        description="The last success; null before the first."
    )
    last_failure_at: datetime | None = strawberry.field(
        description="The last failure; null before the first."
    )
    last_failure_code: str | None = strawberry.field(
        description="The code of the last failure, as in errors; null before the first."
    )


@strawberry.type(description="What is left of a connector's calls to its provider.")
class ConnectorBudget:
    """What is left of a connector's calls."""

    requests_per_minute: int | None = strawberry.field(
        description="Calls per minute; null where no limit is known."
    )
    remaining: int | None = strawberry.field(
        description="Calls left now; null where no limit is known."
    )
    refills_at: datetime | None = strawberry.field(
        description="When the budget is whole again; null when it is, or no limit is known."
    )


def _health(self: "Connector", info: Info) -> ConnectorHealth:
    status = info.context.gateway.watch.status(self.connector.id)
    return ConnectorHealth(
        state=HealthState(status.state),
        last_success_at=status.last_success_at,
        last_failure_at=status.last_failure_at,
        last_failure_code=status.last_failure_code,
    )


def _budget(self: "Connector", info: Info) -> ConnectorBudget:
    status = info.context.gateway.watch.status(self.connector.id)
    return ConnectorBudget(
        requests_per_minute=status.requests_per_minute,
        remaining=status.remaining,
        refills_at=status.refills_at,
    )


@strawberry.type(
    description="One set of credentials at one provider, through which accounts are reached."
)
class Connector:
    """One set of credentials at one provider."""

    connector: strawberry.Private[DirectoryConnector]
    id: strawberry.ID = strawberry.field(description="The connector's configured name.")
    provider: ProviderKind = strawberry.field(description="The provider it speaks to.")
    capabilities: list[Capability] = strawberry.field(
        description="What the provider can do, in the order of the names."
    )

    health: ConnectorHealth = strawberry.field(
        resolver=_health, description="How it is doing, as the answering process sees it."
    )
    budget: ConnectorBudget = strawberry.field(
        resolver=_budget,
        description="What is left of its calls, as the answering process sees it.",
    )


def build_connector(connector: DirectoryConnector) -> Connector:
    """A connector as it is answered."""
    return Connector(
        connector=connector,
        id=strawberry.ID(connector.id),
        provider=ProviderKind(connector.provider),
        capabilities=[
            Capability(capability)
            for capability in sorted(connector.capabilities, key=lambda each: each.name)
        ],
    )
