"""The gateway's use cases in one object: what the API layer is given."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from balance_gateway.domain.access import Principal
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.health import ConnectorStatus
from balance_gateway.ports.reads import (
    ReadPipeline,
)
from balance_gateway.service.directory import Directory
from balance_gateway.service.opening_balances import UpsertRequest, UpsertResult


class OpeningBalanceWriter(Protocol):
    """Sets opening balances."""

    async def upsert(self, principal: Principal, request: UpsertRequest) -> UpsertResult:
        """Sets one opening balance. Raises nothing: every outcome is a result."""
        ...


class HealthTracker(Protocol):
    """Tells how connectors are doing."""

    def status(self, connector: str) -> ConnectorStatus:
        """Health and budget of a connector, by its name, as this process sees them."""
        ...


@dataclass(frozen=True, slots=True)
class Gateway:
    """Everything a resolver can reach.

    Attributes:
        directory: accounts and connectors.
        reads: balances and opening balances.
        writes: the one mutation.
        watch: health and budgets of connectors.
        clock: tells the time.
    """

    directory: Directory
    reads: ReadPipeline
    writes: OpeningBalanceWriter
    watch: HealthTracker
    clock: Clock

    async def upsert_many(
        self, principal: Principal, requests: Sequence[UpsertRequest]
    ) -> list[UpsertResult]:
        """Sets several opening balances one after the other, each on its own."""
        return [await self.writes.upsert(principal, request) for request in requests]
