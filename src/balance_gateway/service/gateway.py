"""Bundles the gateway's use cases for the API layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from balance_gateway.domain.access import Principal
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.health import ConnectorStatus
from balance_gateway.domain.writes import UnsettledWrite, WriteRecord
from balance_gateway.ports.audit_log import AuditLog
from balance_gateway.ports.explanations import ReadExplainer
from balance_gateway.ports.reads import ReadPipeline
from balance_gateway.ports.storage_changes import StorageChanges
from balance_gateway.ports.write_journal import WriteHistory
from balance_gateway.service.directory import Directory
from balance_gateway.service.opening_balance_plans.plans import OpeningBalancePlans
from balance_gateway.service.opening_balances import UpsertRequest, UpsertResult


class OpeningBalanceWriter(Protocol):
    """Use case that sets opening balances."""

    async def upsert(self, principal: Principal, request: UpsertRequest) -> UpsertResult:
        """Set one opening balance; never raises, because every outcome is a result."""
        ...


class WriteReconciler(Protocol):
    """Use case that finds and settles uncertain writes; see ``reconciler.Reconciler``."""

    async def find_unsettled(
        self, accounts: Sequence[Account]
    ) -> Mapping[str, UnsettledWrite | WriteRecord]:
        """Return the unsettled write of each account that has one, by account id."""
        ...

    async def settle_by_hand(
        self, principal: Principal, write_id: str, *, applied: bool, note: str
    ) -> WriteRecord:
        """Settle a write of the caller's tenant as the caller found it at the provider."""
        ...


class HealthTracker(Protocol):
    """Source of the health of connectors."""

    def status(self, connector: str) -> ConnectorStatus:
        """Return health and call budget of a connector, as observed by this process."""
        ...

    def count_changes(self, connector: str) -> int:
        """Return a number that rises with every event that can change the connector's status.

        A status can be kept while this number is the same and its ``unchanged_until_s`` lies ahead.
        """
        ...


@dataclass(frozen=True, slots=True)
class Gateway:
    """Use cases available to resolvers.

    Attributes:
        directory: looks up accounts and connectors.
        reads: reads balances and opening balances.
        writes: sets opening balances.
        reconciler: knows the unsettled writes, and settles them.
        history: the recorded writes.
        watch: health and call budgets of connectors.
        clock: returns the current instant.
        storage_changes: shows whether the embedded ledger or the journal has changed.
        plans: plans of many opening balances.
        environment: the configured name of the environment; empty without one.
        explainer: explains balances and opening balances.
        audit_log: the rows of the audit log.
    """

    directory: Directory
    reads: ReadPipeline
    writes: OpeningBalanceWriter
    watch: HealthTracker
    clock: Clock
    reconciler: WriteReconciler
    history: WriteHistory
    storage_changes: StorageChanges
    plans: OpeningBalancePlans
    environment: str = ""
    explainer: ReadExplainer = field(kw_only=True)
    audit_log: AuditLog = field(kw_only=True)
