"""Bundles the gateway's use cases for the API layer."""

from dataclasses import dataclass
from typing import Protocol

from balance_gateway.domain.access import Principal
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.health import ConnectorStatus
from balance_gateway.ports.reads import ReadPipeline
from balance_gateway.service.directory import Directory
from balance_gateway.service.opening_balances import UpsertRequest, UpsertResult


class OpeningBalanceWriter(Protocol):
    """Use case that sets opening balances."""

    async def upsert(self, principal: Principal, request: UpsertRequest) -> UpsertResult:
        """Set one opening balance; never raises, because every outcome is a result."""
        ...


class HealthTracker(Protocol):
    """Source of the health of connectors."""

    def status(self, connector: str) -> ConnectorStatus:
        """Return health and call budget of a connector, as observed by this process."""
        ...


@dataclass(frozen=True, slots=True)
class Gateway:
    """Use cases available to resolvers.

    Attributes:
        directory: looks up accounts and connectors.
        reads: reads balances and opening balances.
        writes: sets opening balances.
        watch: health and call budgets of connectors.
        clock: returns the current instant.
        environment: the configured name of the environment; empty without one.
    """

    directory: Directory
    reads: ReadPipeline
    writes: OpeningBalanceWriter
    watch: HealthTracker
    clock: Clock
    environment: str = ""
