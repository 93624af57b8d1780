"""Defines the storage of plans of opening balances."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from balance_gateway.domain.opening_balance_plans import (
    Plan,
    PlanApproval,
    PlanRow,
    PlanSummary,
    RowOutcome,
)


class PlanConflict(Exception):
    """The plan is not in the state that a change needs; nothing was changed."""


class LineTaken(Exception):
    """A row of an earlier part of the plan has the same line.

    Attributes:
        line: the line.
    """

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


@dataclass(frozen=True, slots=True)
class PlanPart:
    """Rows that are added to a plan together.

    Attributes:
        number: the number of the part in its plan, from 1.
        fingerprint: a hash of the caller's request; equal for a repeated part only.
        rows: the rows, pending or invalid; with different lines.
        is_last: whether the plan is complete with it.
    """

    number: int
    fingerprint: str
    rows: Sequence[PlanRow]
    is_last: bool


class PlanStore(Protocol):
    """Durable plans with their rows; each step of a plan also adds a row to its audit log.

    Every method raises ``JournalUnavailable`` when the storage is unavailable.
    """

    async def add_part(self, plan: Plan, part: PlanPart) -> Plan:
        """Store a part, and with part 1 the plan itself; return the stored plan.

        A part that was stored before with the same fingerprint changes nothing. For part 1 that is
        a plan of the tenant with the same idempotency key. With the last part the rows for an
        account that has an earlier row are INVALID; the plan is then REFUSED if any row is INVALID,
        else READING.

        Raises:
            PlanConflict: another part is next, the plan is complete, or the part was stored with
                another fingerprint.
            LineTaken: a row of an earlier part has the same line.
        """
        ...

    async def find(self, tenant: str, plan_id: str) -> Plan | None:
        """Return a plan; None when it does not exist or belongs to another tenant."""
        ...

    async def count_rows(self, plan_id: str) -> Mapping[RowOutcome, int]:
        """Return the number of rows by current outcome; one without rows may be missing."""
        ...

    async def page_rows(
        self,
        plan_id: str,
        limit: int,
        *,
        outcomes: Collection[RowOutcome] | None = None,
        connector: str | None = None,
        is_unread: bool = False,
        after_line: int | None = None,
    ) -> Sequence[PlanRow]:
        """Return rows sorted by line, with their current outcomes.

        A row that was UNCERTAIN has the outcome and the reason of its write if that was settled
        since, by a read, by a later write or by a person.

        Args:
            plan_id: the plan.
            limit: the maximum number of rows, at least 1.
            outcomes: the current outcomes of the rows; None for all.
            connector: the connector of the rows; None for all.
            is_unread: whether only rows are returned whose account was not read yet.
            after_line: the line before the first row; None for the start.
        """
        ...

    async def record_previous(self, plan_id: str, rows: Sequence[PlanRow]) -> None:
        """Record what was read of the previous opening balances of pending rows."""
        ...

    async def finish_reading(
        self, plan: Plan, content_hash: str, summary: PlanSummary, at: datetime
    ) -> None:
        """Make a READING plan READY; in any other state nothing changes."""
        ...

    async def approve(self, plan: Plan, approval: PlanApproval) -> Plan:
        """Record the approval of a READY plan without one, and return the plan.

        Raises:
            PlanConflict: the plan is in another state, was approved, or has another content.
        """
        ...

    async def start(self, plan: Plan, principal: str, at: datetime) -> Plan:
        """Make a READY or PAUSED plan APPLYING, and return the plan; see ``Plan.resumed_at``.

        Raises:
            PlanConflict: the plan is in another state, or lacks an approval that it needs.
        """
        ...

    async def record_outcome(self, plan_id: str, row: PlanRow) -> None:
        """Record the outcome of a pending row; a row with an outcome is never changed."""
        ...

    async def finish(self, plan: Plan, at: datetime) -> None:
        """Make an APPLYING plan without pending rows FINISHED; else nothing changes."""
        ...

    async def claim(self, owner: str, now: datetime, until: datetime, limit: int) -> Sequence[Plan]:
        """Take over plans that are READING or APPLYING and have no owner, oldest first.

        Args:
            owner: the process that takes over.
            now: the current instant; an owner whose time is over no longer owns a plan.
            until: when the ownership ends unless it is renewed.
            limit: the maximum number of plans.
        """
        ...

    async def renew(self, plan_id: str, owner: str, until: datetime) -> bool:
        """Extend the ownership of a plan; False when it has another owner or is done."""
        ...

    async def release(self, plan_id: str, owner: str) -> None:
        """End the ownership of a plan, so that another process can take it over at once."""
        ...
