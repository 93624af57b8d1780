"""Receives, approves and starts plans; ``runner.py`` carries them out in the background."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta

from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import BadInput, Forbidden
from balance_gateway.domain.opening_balance_plans import (
    PLAN_ROWS_MAX,
    Plan,
    PlanApproval,
    PlanRow,
    PlanState,
    RowOutcome,
    is_same_principal,
)
from balance_gateway.ports.plan_store import LineTaken, PlanConflict, PlanPart, PlanStore
from balance_gateway.service.opening_balance_plans.plan_rows import (
    RowValidator,
    check_lines,
    compute_part_fingerprint,
)
from balance_gateway.service.opening_balance_plans.requests import SentPart
from balance_gateway.service.upsert_plan import IDEMPOTENCY_KEY_LENGTH_MAX, is_storable

#: How long a plan can be completed, approved and applied.
PLAN_LIFETIME = timedelta(days=7)

#: Number of rows that are validated before other tasks have their turn.
_ROWS_PER_TURN = 100

#: Attempts to change a plan that other requests change at the same time.
_ATTEMPTS = 5

_WHY_NOT_READY: Mapping[PlanState, str] = {
    PlanState.RECEIVING: "The plan is not complete: send its other parts.",
    PlanState.READING: "The gateway still reads what is set now; try again when the plan is READY.",
    PlanState.REFUSED: "The plan was refused because of invalid rows: correct them and plan again.",
    PlanState.APPLYING: "The plan is being applied.",
    PlanState.PAUSED: "The plan is paused after a restore: applyPlan goes on with it.",
    PlanState.FINISHED: "The plan was applied.",
    PlanState.EXPIRED: "The plan has expired: plan again.",
}


class OpeningBalancePlans:
    """The use cases of plans.

    Args:
        validator: validates the rows.
        store: stores the plans.
        clock: returns the current instant; clocks of callers decide nothing.
        new_id: creates unique ids.
        wake: called when a plan has work for the runner.
    """

    def __init__(
        self,
        *,
        validator: RowValidator,
        store: PlanStore,
        clock: Clock,
        new_id: Callable[[], str],
        wake: Callable[[], object],
    ) -> None:
        self._validator = validator
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._wake = wake

    async def add_part(self, principal: Principal, sent: SentPart) -> Plan:
        """Store a part of a plan, and return the plan; repeating the call changes nothing more.

        Raises:
            Forbidden: the caller lacks the scope balances:write, or did not make the plan.
            BadInput: the part does not fit; nothing was stored. An invalid row is no error: it
                makes the plan REFUSED.
            JournalUnavailable: the storage is unavailable.
        """
        principal.require(Scope.BALANCES_WRITE)
        check_lines(sent.rows)
        plan = await self._find_or_make(principal, sent)
        if sent.number == plan.parts + 1:
            self._check_next_part(plan, sent)
        rows = await self._validate(principal, sent)
        fingerprint = compute_part_fingerprint(principal, sent)
        part = PlanPart(sent.number, fingerprint, rows, sent.is_last)
        try:
            stored = await self._store.add_part(plan, part)
        except PlanConflict as conflict:
            raise BadInput(str(conflict), field="input.part") from conflict
        except LineTaken as taken:
            message = f"line {taken.line} was sent in an earlier part."
            raise BadInput(message, field="input.rows") from taken
        if stored.state is PlanState.READING:
            self._wake()
        return stored

    async def _validate(self, principal: Principal, sent: SentPart) -> list[PlanRow]:
        now = self._clock()
        rows: list[PlanRow] = []
        for start in range(0, len(sent.rows), _ROWS_PER_TURN):
            some = sent.rows[start : start + _ROWS_PER_TURN]
            rows += [self._validator.build_row(principal, row, now) for row in some]
            # Other requests have their turn.
            await asyncio.sleep(0)
        return rows

    async def _find_or_make(self, principal: Principal, sent: SentPart) -> Plan:
        if sent.plan_id is None:
            if sent.number != 1:
                raise BadInput("planId must be sent with a later part.", field="input.planId")
            _check_key(sent.idempotency_key)
            return self._make(principal, sent)
        if sent.number == 1:
            raise BadInput("planId must be left out for part 1.", field="input.planId")
        plan = await self._require_plan(principal, sent.plan_id, "input.planId")
        if plan.made_by != principal.name:
            raise Forbidden("Only the principal that sent part 1 can add to the plan.")
        if sent.needs_approval and not plan.needs_approval:
            raise BadInput("needsApproval must be sent with part 1.", field="input.needsApproval")
        return plan

    def _make(self, principal: Principal, sent: SentPart) -> Plan:
        now = self._clock()
        return Plan(
            id=self._new_id(),
            tenant=principal.tenant,
            state=PlanState.RECEIVING,
            needs_approval=sent.needs_approval,
            made_by=principal.name,
            made_at=now,
            expires_at=now + PLAN_LIFETIME,
            idempotency_key=sent.idempotency_key,
        )

    def _check_next_part(self, plan: Plan, sent: SentPart) -> None:
        if plan.find_state(self._clock()) is PlanState.EXPIRED:
            raise BadInput(_WHY_NOT_READY[PlanState.EXPIRED], field="input.planId")
        if plan.row_count + len(sent.rows) > PLAN_ROWS_MAX:
            message = f"A plan must have at most {PLAN_ROWS_MAX} rows; make several plans."
            raise BadInput(message, field="input.rows")

    async def approve(
        self, principal: Principal, plan_id: str, content_hash: str | None = None
    ) -> Plan:
        """Approve the content of a plan that another principal made; return the plan.

        Args:
            principal: the caller.
            plan_id: the plan.
            content_hash: the content that the caller has seen; None approves the plan as it is,
                which never changes once it is READY.

        Raises:
            Forbidden: the caller made the plan, or lacks the scope balances:write.
            BadInput: there is no such plan, it needs no approval or is not READY, or it has
                another content.
            JournalUnavailable: the storage is unavailable.
        """
        principal.require(Scope.BALANCES_WRITE)
        for _ in range(_ATTEMPTS):
            plan = await self._require_plan(principal, plan_id, "id")
            if not plan.needs_approval:
                raise BadInput("The plan needs no approval.", field="id")
            if is_same_principal(plan.made_by, principal.name):
                raise Forbidden(
                    "Another principal than the one that made the plan must approve it; two keys"
                    " with one name are one principal."
                )
            if content_hash is not None and content_hash != plan.content_hash:
                message = "contentHash is not that of the plan: look at the plan again."
                raise BadInput(message, field="contentHash")
            if plan.is_approved:
                return plan
            self._require_ready(plan)
            assert plan.content_hash is not None
            approval = PlanApproval(principal.name, self._clock(), plan.content_hash)
            try:
                return await self._store.approve(plan, approval)
            except PlanConflict:
                continue
        raise BadInput("The plan has changed meanwhile; look at it again.", field="id")

    async def apply(self, principal: Principal, plan_id: str) -> Plan:
        """Let the gateway apply a plan; return the plan at once, with its progress.

        A plan that is being applied, or was, is returned as it is: its rows are sent once, however
        often this is called. A plan that is PAUSED goes on.

        Raises:
            Forbidden: the caller lacks the scope balances:write.
            BadInput: there is no such plan, it is not READY, or needs an approval that it lacks.
            JournalUnavailable: the storage is unavailable.
        """
        principal.require(Scope.BALANCES_WRITE)
        for _ in range(_ATTEMPTS):
            plan = await self._require_plan(principal, plan_id, "id")
            if plan.state is PlanState.FINISHED:
                return plan
            if plan.state is PlanState.APPLYING:
                self._wake()
                return plan
            if plan.state is not PlanState.PAUSED:
                self._require_ready(plan)
            if plan.needs_approval and not plan.is_approved:
                message = "The plan needs the approval of another principal (approvePlan) first."
                raise BadInput(message, field="id")
            try:
                started = await self._store.start(plan, principal.name, self._clock())
            except PlanConflict:
                continue
            self._wake()
            return started
        raise BadInput("The plan has changed meanwhile; look at it again.", field="id")

    async def find(self, principal: Principal, plan_id: str) -> Plan | None:
        """Return a plan of the caller's tenant; None when there is none with the id.

        Raises:
            Forbidden: the caller lacks the scope balances:write.
            JournalUnavailable: the storage is unavailable.
        """
        principal.require(Scope.BALANCES_WRITE)
        # No id is such a text, and databases refuse it.
        if not is_storable(plan_id):
            return None
        return await self._store.find(principal.tenant, plan_id)

    async def count_rows(self, plan: Plan) -> Mapping[RowOutcome, int]:
        """Return the number of rows of each outcome."""
        found = await self._store.count_rows(plan.id)
        return {outcome: found.get(outcome, 0) for outcome in RowOutcome}

    async def page_rows(
        self,
        plan: Plan,
        limit: int,
        *,
        outcomes: Collection[RowOutcome] | None = None,
        after_line: int | None = None,
    ) -> Sequence[PlanRow]:
        """Return rows of a plan sorted by line; see ``PlanStore.page_rows``."""
        return await self._store.page_rows(plan.id, limit, outcomes=outcomes, after_line=after_line)

    async def _require_plan(self, principal: Principal, plan_id: str, field: str) -> Plan:
        plan = await self.find(principal, plan_id)
        if plan is None:
            raise BadInput("There is no such plan.", field=field)
        return plan

    def _require_ready(self, plan: Plan) -> None:
        state = plan.find_state(self._clock())
        if state is not PlanState.READY:
            raise BadInput(_WHY_NOT_READY[state], field="id")


def _check_key(key: str | None) -> None:
    if key is None:
        return
    if not 1 <= len(key) <= IDEMPOTENCY_KEY_LENGTH_MAX or not is_storable(key):
        message = (
            f"idempotencyKey must have 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} characters that can be"
            " stored."
        )
        raise BadInput(message, field="input.idempotencyKey")
