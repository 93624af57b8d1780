"""Implements the storage of plans on SQL."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Update, bindparam, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.domain.audit import AuditEvent
from balance_gateway.domain.calendar_days import Clock, system_clock
from balance_gateway.domain.opening_balance_plans import (
    Plan,
    PlanApproval,
    PlanRow,
    PlanState,
    PlanSummary,
    RowOutcome,
)
from balance_gateway.ports.plan_store import PlanConflict, PlanPart
from balance_gateway.storage import plan_audit
from balance_gateway.storage.database import Database
from balance_gateway.storage.journal_access import JournalAccess
from balance_gateway.storage.plan_format import (
    outcome_columns,
    plan_from_row,
    plan_row_from_row,
    previous_columns,
    summary_to_text,
)
from balance_gateway.storage.plan_parts import store_part
from balance_gateway.storage.plan_tables import UNDER_WAY, plan_rows, plans
from balance_gateway.storage.plan_writes import count_settled, select_rows

#: Attempts of ``add_part`` when another request stores a plan with the same key first.
_ADD_ATTEMPTS = 3


class SqlPlanStore(JournalAccess):
    """Implements ``ports.plan_store.PlanStore``; each step of a plan adds a row to the audit log.

    Every method raises ``JournalUnavailable`` when the database is unavailable.

    Args:
        database: the database.
        clock: returns the instants of the audit log that no caller gives.
    """

    def __init__(self, database: Database, clock: Clock = system_clock) -> None:
        super().__init__(database)
        self._clock = clock

    async def add_part(self, plan: Plan, part: PlanPart) -> Plan:
        """Store a part, and with part 1 the plan itself; see the port.

        Raises:
            PlanConflict: the part is not the next one, and was not stored before as it is.
            LineTaken: a row of an earlier part has the same line.
        """
        for attempt in range(_ADD_ATTEMPTS):
            try:
                async with self._write_transaction() as connection:
                    stored, is_completed = await store_part(connection, plan, part)
                    if is_completed and stored.state is PlanState.REFUSED:
                        await self._audit_made(connection, stored, self._clock())
                    return stored
            except IntegrityError:
                # Another request made a plan with the same key first; the next attempt finds it.
                if attempt == _ADD_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def find(self, tenant: str, plan_id: str) -> Plan | None:
        """Return a plan; None when it does not exist or belongs to another tenant."""
        is_it = (plans.c.id == plan_id) & (plans.c.tenant == tenant)
        rows = await self._read_rows(select(plans).where(is_it))
        return plan_from_row(rows[0]) if rows else None

    async def count_rows(self, plan_id: str) -> Mapping[RowOutcome, int]:
        """Return the number of rows by outcome."""
        rows = await self._read_rows(_count_outcomes(plan_id))
        counts = Counter({RowOutcome(row.outcome): row.number for row in rows})
        if RowOutcome.UNCERTAIN in counts:
            for row in await self._read_rows(count_settled(plan_id)):
                counts[RowOutcome(row.outcome)] += row.number
                counts[RowOutcome.UNCERTAIN] -= row.number
        return counts

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
        """Return rows sorted by line; see the port."""
        statement = select_rows(plan_id, outcomes)
        if connector is not None:
            statement = statement.where(plan_rows.c.connector == connector)
        if is_unread:
            statement = statement.where(plan_rows.c.previous_state.is_(None))
        if after_line is not None:
            statement = statement.where(plan_rows.c.line > after_line)
        rows = await self._read_rows(statement.order_by(plan_rows.c.line).limit(limit))
        return [plan_row_from_row(row) for row in rows]

    async def record_previous(self, plan_id: str, rows: Sequence[PlanRow]) -> None:
        """Record what was read of the previous opening balances of pending rows."""
        values = [{"at_line": row.line, **_as_parameters(previous_columns(row))} for row in rows]
        if not values:
            return
        names = previous_columns(rows[0])
        changed = {name: bindparam(f"to_{name}", type_=plan_rows.c[name].type) for name in names}
        statement = (
            update(plan_rows)
            .where(
                plan_rows.c.plan_id == plan_id,
                plan_rows.c.line == bindparam("at_line"),
                plan_rows.c.outcome == RowOutcome.PENDING.value,
            )
            .values(changed)
        )
        async with self._write_transaction() as connection:
            await connection.execute(statement, values)

    async def finish_reading(
        self, plan: Plan, content_hash: str, summary: PlanSummary, at: datetime
    ) -> None:
        """Make a READING plan READY; in any other state nothing changes."""
        ready = _change(plan, PlanState.READING).values(
            state=PlanState.READY.value,
            content_hash=content_hash,
            summary=summary_to_text(summary),
            owner=None,
            owned_until=None,
        )
        async with self._write_transaction() as connection:
            if (await connection.execute(ready)).rowcount == 1:
                await self._audit_made(connection, await _read_plan(connection, plan.id), at)

    async def approve(self, plan: Plan, approval: PlanApproval) -> Plan:
        """Record the approval of a READY plan without one.

        Raises:
            PlanConflict: the plan is in another state, was approved, or has another content.
        """
        approved = (
            _change(plan, PlanState.READY)
            .where(plans.c.approved_by.is_(None), plans.c.content_hash == approval.content_hash)
            .values(
                approved_by=approval.principal,
                approved_at=approval.at,
                approved_hash=approval.content_hash,
            )
        )
        return await self._take_step(
            plan, approved, AuditEvent.PLAN_APPROVED, approval.principal, approval.at
        )

    async def start(self, plan: Plan, principal: str, at: datetime) -> Plan:
        """Make a READY or PAUSED plan APPLYING.

        Raises:
            PlanConflict: the plan is in another state, or lacks an approval that it needs.
        """
        is_paused = plan.state is PlanState.PAUSED
        started = _change(plan, PlanState.PAUSED if is_paused else PlanState.READY)
        started = started.values(state=PlanState.APPLYING.value)
        if is_paused:
            started = started.values(resumed_at=at)
        else:
            started = started.values(applied_by=principal, applied_at=at)
        if plan.needs_approval:
            started = started.where(plans.c.approved_hash == plans.c.content_hash)
        details = {"resumed": True} if is_paused else {}
        return await self._take_step(plan, started, AuditEvent.PLAN_APPLIED, principal, at, details)

    async def record_outcome(self, plan_id: str, row: PlanRow) -> None:
        """Record the outcome of a pending row; a row with an outcome is never changed."""
        is_it = (plan_rows.c.plan_id == plan_id) & (plan_rows.c.line == row.line)
        is_pending = plan_rows.c.outcome == RowOutcome.PENDING.value
        statement = update(plan_rows).where(is_it, is_pending).values(outcome_columns(row))
        async with self._write_transaction() as connection:
            await connection.execute(statement)

    async def finish(self, plan: Plan, at: datetime) -> None:
        """Make an APPLYING plan without pending rows FINISHED; else nothing changes."""
        finished = _change(plan, PlanState.APPLYING).values(
            state=PlanState.FINISHED.value, finished_at=at, owner=None, owned_until=None
        )
        async with self._write_transaction() as connection:
            found = await connection.execute(_count_outcomes(plan.id))
            counts = {row.outcome: row.number for row in found}
            if RowOutcome.PENDING.value in counts:
                return
            if (await connection.execute(finished)).rowcount == 1:
                await plan_audit.append(
                    self._database,
                    connection,
                    plan,
                    AuditEvent.PLAN_FINISHED,
                    principal=plan.applied_by or plan.made_by,
                    details={"counts": counts},
                    at=at,
                )

    async def claim(self, owner: str, now: datetime, until: datetime, limit: int) -> Sequence[Plan]:
        """Take over plans under way without an owner, oldest first."""
        is_free = or_(plans.c.owner.is_(None), plans.c.owned_until <= now)
        free = select(plans).where(UNDER_WAY, is_free).order_by(plans.c.made_at).limit(limit)
        # SQLite has one writer: it is not disturbed while there is nothing to do.
        if not await self._read_rows(free):
            return []
        async with self._write_transaction() as connection:
            rows = (await connection.execute(free.with_for_update(skip_locked=True))).all()
            taken = update(plans).where(plans.c.id.in_([row.id for row in rows]))
            await connection.execute(taken.values(owner=owner, owned_until=until))
        return [plan_from_row(row) for row in rows]

    async def renew(self, plan_id: str, owner: str, until: datetime) -> bool:
        """Extend the ownership of a plan; False when it has another owner or is done."""
        is_own = (plans.c.id == plan_id) & (plans.c.owner == owner)
        async with self._write_transaction() as connection:
            renewed = update(plans).where(is_own, UNDER_WAY).values(owned_until=until)
            return (await connection.execute(renewed)).rowcount == 1

    async def release(self, plan_id: str, owner: str) -> None:
        """End the ownership of a plan, so that another process can take it over at once."""
        is_own = (plans.c.id == plan_id) & (plans.c.owner == owner)
        async with self._write_transaction() as connection:
            await connection.execute(
                update(plans).where(is_own).values(owner=None, owned_until=None)
            )

    async def _take_step(
        self,
        plan: Plan,
        change: Update,
        event: AuditEvent,
        principal: str,
        at: datetime,
        details: Mapping[str, Any] = MappingProxyType({}),
    ) -> Plan:
        async with self._write_transaction() as connection:
            if (await connection.execute(change)).rowcount != 1:
                raise PlanConflict("The plan has changed meanwhile.")
            changed = await _read_plan(connection, plan.id)
            await plan_audit.append(
                self._database,
                connection,
                changed,
                event,
                principal=principal,
                details=details,
                at=at,
            )
            return changed

    async def _audit_made(self, connection: AsyncConnection, plan: Plan, at: datetime) -> None:
        details = {
            "state": plan.state.value,
            "rows": plan.row_count,
            "needs_approval": plan.needs_approval,
        }
        await plan_audit.append(
            self._database,
            connection,
            plan,
            AuditEvent.PLAN_MADE,
            principal=plan.made_by,
            details=details,
            at=at,
        )


def _change(plan: Plan, state: PlanState) -> Update:
    """Return the start of a statement that changes a plan in a state."""
    return update(plans).where(plans.c.id == plan.id, plans.c.state == state.value)


async def _read_plan(connection: AsyncConnection, plan_id: str) -> Plan:
    statement = select(plans).where(plans.c.id == plan_id)
    return plan_from_row((await connection.execute(statement)).one())


def _count_outcomes(plan_id: str) -> Any:
    counted = select(plan_rows.c.outcome, func.count().label("number"))
    return counted.where(plan_rows.c.plan_id == plan_id).group_by(plan_rows.c.outcome)


def _as_parameters(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {f"to_{name}": value for name, value in columns.items()}
