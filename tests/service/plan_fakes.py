"""An in-memory plan store with the rules of its port, and plans over the fakes of a write."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from balance_gateway.domain.errors import ErrorCode
from balance_gateway.domain.opening_balance_plans import (
    Plan,
    PlanApproval,
    PlanRow,
    PlanState,
    PlanSummary,
    RowOutcome,
)
from balance_gateway.ports.plan_store import LineTaken, PlanConflict, PlanPart
from balance_gateway.service.directory import Directory
from balance_gateway.service.opening_balance_plans.plan_rows import RowValidator
from balance_gateway.service.opening_balance_plans.plans import OpeningBalancePlans
from tests.service.fakes import FakeProvider

UNDER_WAY = (PlanState.READING, PlanState.APPLYING)


class FakePlanStore:
    """Keeps plans in memory.

    Attributes:
        plans: the plans by id.
        rows: the rows of each plan by line.
        owners: the owner of each plan, and until when.
        steps: the names of the audited steps.
    """

    def __init__(self) -> None:
        self.plans: dict[str, Plan] = {}
        self.rows: dict[str, dict[int, PlanRow]] = {}
        self.parts: dict[tuple[str, int], str] = {}
        self.owners: dict[str, tuple[str, datetime]] = {}
        self.steps: list[str] = []

    async def add_part(self, plan: Plan, part: PlanPart) -> Plan:
        stored = self.plans.get(plan.id)
        if part.number == 1 and plan.idempotency_key is not None:
            keys = {one.idempotency_key: one for one in self.plans.values()}
            stored = keys.get(plan.idempotency_key)
        if stored is None:
            stored = self.plans[plan.id] = plan
            self.rows[plan.id] = {}
        elif (known := self.parts.get((stored.id, part.number))) is not None:
            if known != part.fingerprint:
                raise PlanConflict("other content")
            return stored
        elif stored.state is not PlanState.RECEIVING or part.number != stored.parts + 1:
            raise PlanConflict("not the next part")
        rows = self.rows[stored.id]
        for row in part.rows:
            if row.line in rows:
                raise LineTaken(row.line)
        self.parts[stored.id, part.number] = part.fingerprint
        rows.update({row.line: row for row in part.rows})
        state = PlanState.RECEIVING
        if part.is_last:
            self._refuse_repeated(rows)
            is_refused = any(row.outcome is RowOutcome.INVALID for row in rows.values())
            state = PlanState.REFUSED if is_refused else PlanState.READING
        changed = replace(stored, state=state, parts=part.number, row_count=len(rows))
        self.plans[stored.id] = changed
        return changed

    def _refuse_repeated(self, rows: dict[int, PlanRow]) -> None:
        first: dict[str, int] = {}
        for line in sorted(rows):
            remote = rows[line].remote_account
            if remote is not None and first.setdefault(remote, line) != line:
                message = f"Line {first[remote]} is for the same account."
                code = ErrorCode.BAD_USER_INPUT.value
                rows[line] = rows[line].as_invalid(code, message, "accountId")

    async def find(self, tenant: str, plan_id: str) -> Plan | None:
        plan = self.plans.get(plan_id)
        return plan if plan is not None and plan.tenant == tenant else None

    async def count_rows(self, plan_id: str) -> Mapping[RowOutcome, int]:
        found = [row.outcome for row in self.rows[plan_id].values()]
        return {outcome: found.count(outcome) for outcome in set(found)}

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
        rows = [
            row
            for line, row in sorted(self.rows[plan_id].items())
            if (outcomes is None or row.outcome in outcomes)
            and connector in (None, row.connector)
            and not (is_unread and row.previous_state is not None)
            and line > (after_line or 0)
        ]
        return rows[:limit]

    async def record_previous(self, plan_id: str, rows: Sequence[PlanRow]) -> None:
        self.rows[plan_id].update({row.line: row for row in rows})

    async def finish_reading(
        self, plan: Plan, content_hash: str, summary: PlanSummary, at: datetime
    ) -> None:
        self.steps.append("made")
        ready = replace(self.plans[plan.id], state=PlanState.READY, content_hash=content_hash)
        self.plans[plan.id] = replace(ready, summary=summary)
        self.owners.pop(plan.id, None)

    async def approve(self, plan: Plan, approval: PlanApproval) -> Plan:
        stored = self.plans[plan.id]
        if stored.state is not PlanState.READY or stored.approval is not None:
            raise PlanConflict
        self.steps.append("approved")
        self.plans[plan.id] = replace(stored, approval=approval)
        return self.plans[plan.id]

    async def start(self, plan: Plan, principal: str, at: datetime) -> Plan:
        stored = self.plans[plan.id]
        if stored.state is PlanState.PAUSED:
            self.plans[plan.id] = replace(stored, state=PlanState.APPLYING, resumed_at=at)
            return self.plans[plan.id]
        if stored.state is not PlanState.READY:
            raise PlanConflict
        self.steps.append("applied")
        started = replace(stored, state=PlanState.APPLYING, applied_by=principal, applied_at=at)
        self.plans[plan.id] = started
        return started

    async def record_outcome(self, plan_id: str, row: PlanRow) -> None:
        if self.rows[plan_id][row.line].outcome is RowOutcome.PENDING:
            self.rows[plan_id][row.line] = row

    async def finish(self, plan: Plan, at: datetime) -> None:
        stored = self.plans[plan.id]
        pending = [row for row in self.rows[plan.id].values() if row.outcome is RowOutcome.PENDING]
        if stored.state is PlanState.APPLYING and not pending:
            self.steps.append("finished")
            self.plans[plan.id] = replace(stored, state=PlanState.FINISHED, finished_at=at)
            self.owners.pop(plan.id, None)

    async def claim(self, owner: str, now: datetime, until: datetime, limit: int) -> Sequence[Plan]:
        free = [
            plan
            for plan in self.plans.values()
            if plan.state in UNDER_WAY
            and (plan.id not in self.owners or self.owners[plan.id][1] <= now)
        ]
        for plan in free[:limit]:
            self.owners[plan.id] = (owner, until)
        return free[:limit]

    async def renew(self, plan_id: str, owner: str, until: datetime) -> bool:
        if self.owners.get(plan_id, ("", until))[0] != owner:
            return False
        self.owners[plan_id] = (owner, until)
        return True

    async def release(self, plan_id: str, owner: str) -> None:
        if self.owners.get(plan_id, ("", None))[0] == owner:
            del self.owners[plan_id]


class RemoteAccounts(dict[str, str]):
    """Names a remote account for every account id."""

    def __missing__(self, account_id: str) -> str:
        return f"remote {account_id}"


class AnyProvider(defaultdict[str, FakeProvider]):
    """Has a provider with every capability for each connector."""

    def __init__(self) -> None:
        super().__init__(lambda: FakeProvider([]))


def build_plans(
    directory: Directory, clock: Callable[[], datetime], store: FakePlanStore | None = None
) -> OpeningBalancePlans:
    """Build the use cases of plans over a store that no runner looks into."""
    ids = itertools.count(1)
    return OpeningBalancePlans(
        validator=RowValidator(directory, AnyProvider(), RemoteAccounts()),
        store=FakePlanStore() if store is None else store,
        clock=clock,
        new_id=lambda: f"plan-{next(ids)}",
        wake=lambda: None,
    )
