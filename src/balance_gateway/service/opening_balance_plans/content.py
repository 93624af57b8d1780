"""The content of a plan: its sums, and the hash that an approval names."""

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from balance_gateway.domain.accounts import Capability
from balance_gateway.domain.opening_balance_plans import (
    Plan,
    PlanConnector,
    PlanRow,
    PlanSummary,
    PlanTotal,
    PreviousState,
)
from balance_gateway.ports.plan_store import PlanStore
from balance_gateway.service.directory import Directory

#: Number of rows that are in memory at once.
_BATCH_ROWS = 200

#: What a plan can ask of a provider besides setting the amount.
_RELEVANT = frozenset(
    {Capability.CHOOSE_EFFECTIVE_AT, Capability.WRITE_MEMO, Capability.READ_OPENING_BALANCE}
)
_UNKNOWN = (PreviousState.UNREADABLE, PreviousState.FAILED, None)


class ContentHash:
    """The hash of a plan's rows with what was read: equal for equal content only.

    Args:
        plan: the plan.
    """

    def __init__(self, plan: Plan) -> None:
        self._digest = hashlib.sha256(json.dumps([plan.tenant, plan.id]).encode())

    def add(self, row: PlanRow) -> None:
        """Add the next row, in the order of lines."""
        amount, previous, at = row.amount, row.previous, row.effective_at
        values = [
            row.line,
            row.account_id,
            row.connector,
            row.remote_account,
            None if amount is None else [str(amount.minor_units), amount.currency],
            None if at is None else at.isoformat(),
            row.memo,
            row.reference_number,
            None if row.previous_state is None else row.previous_state.value,
            None if previous is None else [str(previous.amount.minor_units), row.is_unchanged],
        ]
        self._digest.update(json.dumps(values).encode())

    def compute(self) -> str:
        """Return the hash of all rows so far, in lowercase hexadecimal."""
        return self._digest.hexdigest()


@dataclass(slots=True)
class _Sums:
    rows: int = 0
    unknown: int = 0
    planned: int = 0
    previous: int = 0


@dataclass(slots=True)
class _AtConnector:
    rows: int = 0
    missing: set[Capability] = field(default_factory=set)


class SummaryBuilder:
    """Sums up the rows of a plan.

    Args:
        directory: looks up the accounts.
        tenant: the tenant of the plan.
    """

    def __init__(self, directory: Directory, tenant: str) -> None:
        self._directory = directory
        self._tenant = tenant
        self._sums: dict[str, _Sums] = {}
        self._connectors: dict[str, _AtConnector] = {}
        self._unchanged = 0

    def add(self, row: PlanRow) -> None:
        """Add a row that was read."""
        assert row.amount is not None
        assert row.connector is not None
        sums = self._sums.setdefault(row.amount.currency, _Sums())
        sums.rows += 1
        sums.unknown += row.previous_state in _UNKNOWN
        sums.planned += row.amount.minor_units
        if row.previous is not None:
            sums.previous += row.previous.amount.minor_units
        self._unchanged += row.is_unchanged
        connector = self._connectors.setdefault(row.connector, _AtConnector())
        connector.rows += 1
        account = self._directory.find_account(self._tenant, row.account_id)
        if account is not None:
            connector.missing |= _RELEVANT - account.capabilities

    def build(self) -> PlanSummary:
        """Return the summary of all rows so far."""
        totals = [
            PlanTotal(
                currency,
                sums.rows,
                sums.unknown,
                sums.planned,
                # A sum without the unknown ones would be a guess.
                None if sums.unknown else sums.previous,
            )
            for currency, sums in sorted(self._sums.items())
        ]
        connectors = [
            PlanConnector(name, one.rows, frozenset(one.missing))
            for name, one in sorted(self._connectors.items())
        ]
        unknown = sum(sums.unknown for sums in self._sums.values())
        return PlanSummary(tuple(totals), tuple(connectors), self._unchanged, unknown)


async def iterate_rows(store: PlanStore, plan: Plan) -> AsyncIterator[PlanRow]:
    """Yield all rows of a plan, sorted by line."""
    after_line: int | None = None
    while rows := await store.page_rows(plan.id, _BATCH_ROWS, after_line=after_line):
        for row in rows:
            yield row
        after_line = rows[-1].line


async def compute_content_hash(store: PlanStore, plan: Plan) -> str:
    """Return the hash of the rows as they are stored now."""
    content = ContentHash(plan)
    async for row in iterate_rows(store, plan):
        content.add(row)
    return content.compute()
