"""The GraphQL type Connector: its provider, capabilities, health and call budget."""

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

import strawberry

from balance_gateway.api.request.context import Info
from balance_gateway.api.schema.error_codes import ErrorCode, to_graphql_code
from balance_gateway.api.schema.node import Node, build_connector_id
from balance_gateway.domain import accounts as domain
from balance_gateway.domain import health
from balance_gateway.service.directory import Connector as DirectoryConnector

if TYPE_CHECKING:
    # A type checker cannot see the members of an enum that is built from another one.
    ProviderKind = domain.ProviderKind
else:
    ProviderKind = strawberry.enum(
        Enum(
            "ProviderKind",
            {
                kind.name: strawberry.enum_value(kind, description=kind.description)
                for kind in domain.ProviderKind
            },
        ),
        description="A provider of balances.",
    )


def to_graphql_provider(kind: domain.ProviderKind) -> ProviderKind:
    """Convert a provider to the GraphQL enum."""
    member: ProviderKind = getattr(ProviderKind, kind.name)
    return member


def to_domain_provider(kind: ProviderKind) -> domain.ProviderKind:
    """Convert a provider to the domain enum."""
    return domain.ProviderKind[kind.name]


@strawberry.enum(description="An operation that a provider supports.")
class Capability(Enum):
    """An operation that a provider supports."""

    READ_BANK_BALANCE = strawberry.enum_value(
        domain.Capability.READ_BANK_BALANCE, description="Reads the bank balance of a day."
    )
    READ_LEDGER_BALANCE = strawberry.enum_value(
        domain.Capability.READ_LEDGER_BALANCE, description="Reads the ledger balance of a day."
    )
    READ_OPENING_BALANCE = strawberry.enum_value(
        domain.Capability.READ_OPENING_BALANCE, description="Reads the opening balance."
    )
    WRITE_OPENING_BALANCE = strawberry.enum_value(
        domain.Capability.WRITE_OPENING_BALANCE, description="Sets the opening balance."
    )
    CHOOSE_EFFECTIVE_AT = strawberry.enum_value(
        domain.Capability.CHOOSE_EFFECTIVE_AT,
        description="Accepts an effective instant for an opening balance.",
    )
    WRITE_MEMO = strawberry.enum_value(
        domain.Capability.WRITE_MEMO, description="Stores a memo and a reference number."
    )
    READ_BANK_FEED = strawberry.enum_value(
        domain.Capability.READ_BANK_FEED,
        description="Reports its own link to the bank, and the latest bank balance.",
    )


@strawberry.enum(description="The health of a connector, derived from its last calls.")
class HealthState(Enum):
    """The health of a connector, derived from its last calls."""

    UNKNOWN = strawberry.enum_value(
        health.HealthState.UNKNOWN, description="No call has been made yet."
    )
    UP = strawberry.enum_value(health.HealthState.UP, description="Calls succeed.")
    DEGRADED = strawberry.enum_value(
        health.HealthState.DEGRADED, description="Some calls fail or are slow."
    )
    DOWN = strawberry.enum_value(
        health.HealthState.DOWN,
        description="Calls fail immediately until a probe succeeds.",
    )


@strawberry.type(
    description="The health of a connector, as seen by the process that answers the request."
)
class ConnectorHealth:
    """The health of a connector."""

    state: HealthState = strawberry.field(description="The current state.")
    last_success_at: datetime | None = strawberry.field(
        description="When a call last succeeded; null if none has."
    )
    last_failure_at: datetime | None = strawberry.field(
        description="When a call last failed; null if none has."
    )
    last_failure_code: ErrorCode | None = strawberry.field(
        description="The reason of the last failure; null if no call has failed."
    )
    down_since: datetime | None = strawberry.field(
        description="When calls began to fail immediately; null unless the state is DOWN."
    )
    retry_at: datetime | None = strawberry.field(
        description="When the provider is called again; null unless the state is DOWN. If it is in "
        "the past, the next read calls it."
    )


@strawberry.type(description="The call budget of a connector at its provider.")
class ConnectorBudget:
    """The call budget of a connector."""

    requests_per_minute: int | None = strawberry.field(
        description="The maximum number of calls per minute; null if no limit is known."
    )
    remaining: int | None = strawberry.field(
        description="The number of calls left now; null if no limit is known."
    )
    refills_at: datetime | None = strawberry.field(
        description="When the budget is full again; null if it is full or no limit is known."
    )


async def _health(self: "Connector", info: Info) -> ConnectorHealth:
    await info.context.wait_for_reads()
    status = info.context.gateway.watch.status(self.connector.id)
    code = status.last_failure_code
    return ConnectorHealth(
        state=HealthState(status.state),
        last_success_at=status.last_success_at,
        last_failure_at=status.last_failure_at,
        last_failure_code=None if code is None else to_graphql_code(code),
        down_since=status.down_since,
        retry_at=status.retry_at,
    )


async def _budget(self: "Connector", info: Info) -> ConnectorBudget:
    await info.context.wait_for_reads()
    status = info.context.gateway.watch.status(self.connector.id)
    return ConnectorBudget(
        requests_per_minute=status.requests_per_minute,
        remaining=status.remaining,
        refills_at=status.refills_at,
    )


@strawberry.type(description="A set of credentials at a provider that gives access to accounts.")
class Connector(Node):
    """A set of credentials at a provider."""

    connector: strawberry.Private[DirectoryConnector]
    name: str = strawberry.field(description="The configured name of the connector.")
    provider: ProviderKind = strawberry.field(description="The provider of the connector.")
    capabilities: list[Capability] = strawberry.field(
        description="The operations that the provider supports, sorted by name."
    )

    health: ConnectorHealth = strawberry.field(
        resolver=_health,
        description="The health after the reads of the request, as seen by the answering process.",
    )
    budget: ConnectorBudget = strawberry.field(
        resolver=_budget,
        description="The call budget after the reads of the request, as seen by this process.",
    )


def build_connector(connector: DirectoryConnector) -> Connector:
    """Build the GraphQL object of a connector."""
    return Connector(
        connector=connector,
        id=build_connector_id(connector.id),
        name=connector.id,
        provider=to_graphql_provider(connector.provider),
        capabilities=build_capabilities(connector.capabilities),
    )


def build_capabilities(capabilities: frozenset[domain.Capability]) -> list[Capability]:
    """Build the GraphQL values of capabilities, sorted by name because a set has no order."""
    return [Capability(each) for each in sorted(capabilities, key=lambda each: each.name)]
