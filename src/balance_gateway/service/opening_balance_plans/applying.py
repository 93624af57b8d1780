"""Applies the rows of a plan: each is sent at most once, whatever ends or starts meanwhile.

A row's write has an idempotency key of its plan and its line. The journal has the write before it
is sent, so a row that was begun before is answered from there, by any process. What the journal
has is looked up before anything else: an account that was removed from the configuration does not
hide that the row was sent.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace

from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import (
    AccountNotFound,
    BadInput,
    GatewayError,
    Internal,
    WriteUnsettled,
)
from balance_gateway.domain.opening_balance_plans import (
    Plan,
    PlanRow,
    PreviousState,
    RowOutcome,
    is_same_principal,
)
from balance_gateway.domain.writes import WriteOutcome, WriteRecord
from balance_gateway.ports.plan_store import PlanStore
from balance_gateway.ports.reads import ReadPipeline
from balance_gateway.ports.write_journal import WriteJournal
from balance_gateway.service.directory import Directory
from balance_gateway.service.opening_balance_plans.content import compute_content_hash
from balance_gateway.service.opening_balance_plans.patience import Patience
from balance_gateway.service.opening_balance_plans.previous import (
    can_be_compared,
    find_failure,
    has_values_of,
)
from balance_gateway.service.opening_balances import (
    Applied,
    ExpectedPrevious,
    ExpectedUnreadable,
    Rejected,
    Uncertain,
    UpsertRequest,
    UpsertResult,
)
from balance_gateway.service.read_back import UNCERTAIN
from balance_gateway.service.reconciler import Reconciler
from balance_gateway.service.upsert_plan import compute_fingerprint
from balance_gateway.service.write_results import build_rejection, parse_code
from balance_gateway.service.writer import OpeningBalanceWriter

logger = logging.getLogger(__name__)

#: Number of rows of a connector in memory.
_BATCH_ROWS = 100

#: Interval in seconds at which the outcome of a write under way is looked up.
_POLL_S = 0.5

_DRIFTED = "The opening balance is no longer what it was when the plan was made. Nothing was sent."
_MOVED = "The account was configured differently when the plan was made; plan again."
_RESTORED = (
    "The storage was restored from a backup that was made while the plan was being applied, and the"
    " provider cannot be read: whether the row was sent since the backup is not known. Look at the"
    " account in the provider's own interface, then plan again."
)
_CHANGED = "The stored rows are not those that were planned and approved; nothing more was sent."


class PlanApplier:
    """Applies plans.

    Args:
        directory: looks up accounts.
        remote_accounts: the remote account of each account, by account id.
        reads: the read service.
        writer: sets opening balances.
        reconciler: knows the unsettled writes.
        journal: has the writes of rows that were begun before.
        store: stores the plans.
        clock: returns the current instant.
        unfinished_s: how long a write may take, in seconds; one without an outcome after that is
            uncertain.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        remote_accounts: Mapping[str, str],
        reads: ReadPipeline,
        writer: OpeningBalanceWriter,
        reconciler: Reconciler,
        journal: WriteJournal,
        store: PlanStore,
        clock: Clock,
        unfinished_s: float,
    ) -> None:
        self._directory = directory
        self._remote_accounts = remote_accounts
        self._reads = reads
        self._writer = writer
        self._reconciler = reconciler
        self._journal = journal
        self._store = store
        self._clock = clock
        self._unfinished_s = unfinished_s

    async def apply(self, plan: Plan) -> None:
        """Apply the pending rows of an APPLYING plan, and finish it.

        The rows of each connector are applied one after the other, those of several at the same
        time.

        Raises:
            JournalUnavailable: the storage is unavailable; another call continues.
        """
        assert plan.summary is not None
        is_genuine = await self._is_genuine(plan)
        if not is_genuine:
            logger.error("plan.content_changed", extra={"plan_id": plan.id})
        async with asyncio.TaskGroup() as group:
            for connector in plan.summary.connectors:
                group.create_task(self._apply_at(plan, connector.name, is_genuine=is_genuine))
        await self._store.finish(plan, self._clock())
        logger.info("plan.finished", extra={"plan_id": plan.id, "rows": plan.row_count})

    async def _is_genuine(self, plan: Plan) -> bool:
        """Return whether the stored rows are those that were planned, and approved if needed."""
        if plan.needs_approval:
            approval = plan.approval
            if approval is None or is_same_principal(approval.principal, plan.made_by):
                return False
            if approval.content_hash != plan.content_hash:
                return False
        return await compute_content_hash(self._store, plan) == plan.content_hash

    async def _apply_at(self, plan: Plan, connector: str, *, is_genuine: bool) -> None:
        patience = Patience()
        after_line: int | None = None
        while rows := await self._store.page_rows(
            plan.id,
            _BATCH_ROWS,
            outcomes={RowOutcome.PENDING},
            connector=connector,
            after_line=after_line,
        ):
            for row in rows:
                done = await self._apply_row(plan, row, patience, is_genuine=is_genuine)
                await self._store.record_outcome(plan.id, done)
            after_line = rows[-1].line

    async def _apply_row(
        self, plan: Plan, row: PlanRow, patience: Patience, *, is_genuine: bool
    ) -> PlanRow:
        """Return the row with its final outcome."""
        request = build_row_request(plan, row)
        while True:
            recorded = await self._find_recorded(plan, request)
            if recorded is not None:
                return _with_record(row, recorded)
            if not is_genuine:
                return _with_error(row, Internal(_CHANGED))
            result = await self._attempt(plan, row, request)
            if isinstance(result, PlanRow):
                patience.reset()
                return result
            wait_s = patience.find_wait_s(result, self._clock())
            if wait_s is None:
                return _as_rejected(row, result)
            await asyncio.sleep(wait_s)

    async def _find_recorded(self, plan: Plan, request: UpsertRequest) -> WriteRecord | None:
        """Return the row's write in the journal, with its outcome; None when there is none."""
        assert request.idempotency_key is not None
        fingerprint = compute_fingerprint(request)
        while True:
            record = await self._journal.by_key(plan.tenant, request.idempotency_key)
            # A caller's own write may have the same key: it is not the row's.
            if record is None or record.intent.fingerprint != fingerprint:
                return None
            if record.outcome is not WriteOutcome.STARTED:
                return record
            age_s = (self._clock() - record.intent.started_at).total_seconds()
            if age_s >= self._unfinished_s:
                return replace(record, outcome=WriteOutcome.UNCERTAIN, error_message=UNCERTAIN)
            await asyncio.sleep(_POLL_S)

    async def _attempt(
        self, plan: Plan, row: PlanRow, request: UpsertRequest
    ) -> PlanRow | Rejected:
        """Try to apply a row; return it with an outcome, or why it was rejected for now."""
        account = self._directory.find_account(plan.tenant, row.account_id)
        if account is None:
            return _with_error(row, AccountNotFound(row.account_id))
        if self._remote_accounts[account.id] != row.remote_account:
            return _with_error(row, BadInput(_MOVED, field="accountId"))
        if row.previous_state is PreviousState.FAILED:
            return replace(row, outcome=RowOutcome.REJECTED)
        if plan.resumed_at is not None and not can_be_compared(row):
            return _with_error(row, BadInput(_RESTORED, field="expectedPrevious"))
        if row.is_unchanged:
            return await self._compare(plan, row)
        # Whoever applied the plan may have lost the scope since: applying it was allowed.
        caller = Principal(
            plan.applied_by or plan.made_by, plan.tenant, frozenset({Scope.BALANCES_WRITE})
        )
        result = _judge(row, await self._writer.upsert(caller, request))
        if isinstance(result, PlanRow) and result.outcome is RowOutcome.UNCERTAIN:
            # The reason is in the journal only; a row that is still begun there has none.
            record = await self._journal.by_key(plan.tenant, request.idempotency_key or "")
            if record is not None and record.error_code is not None:
                return replace(result, code=parse_code(record.error_code).value)
        return result

    async def _compare(self, plan: Plan, row: PlanRow) -> PlanRow | Rejected:
        """Return an unchanged row as UNCHANGED if that is still so."""
        account = self._directory.find_account(plan.tenant, row.account_id)
        assert account is not None
        try:
            await self._reconciler.require_settled(self._remote_accounts[account.id])
            (result,) = await self._reads.opening_balances([account])
        except WriteUnsettled as error:
            return _with_error(row, error)
        except GatewayError as error:
            return build_rejection(error, account)
        failure = find_failure(result)
        if failure is not None:
            code, message, retryable, retry_after_s = failure
            return Rejected(code, message, retryable, None, account, retry_after_s=retry_after_s)
        if isinstance(result, GatewayError) or not has_values_of(result.value, row):
            return _with_error(row, BadInput(_DRIFTED, field="expectedPrevious"))
        return replace(row, outcome=RowOutcome.UNCHANGED)


def build_row_request(plan: Plan, row: PlanRow) -> UpsertRequest:
    """Build the write of a row; it is the same at every attempt."""
    assert row.amount is not None
    expected: ExpectedPrevious | ExpectedUnreadable = ExpectedUnreadable()
    if row.previous_state is not PreviousState.UNREADABLE:
        previous = row.previous
        expected = ExpectedPrevious(None if previous is None else previous.amount.minor_units)
    return UpsertRequest(
        account_id=row.account_id,
        minor_units=row.amount.minor_units,
        amount_text=None,
        currency=row.amount.currency,
        effective_at=row.effective_at,
        expected_previous=expected,
        idempotency_key=f"plan:{plan.id}:{row.line}",
        memo=row.memo,
        reference_number=row.reference_number,
    )


def _judge(row: PlanRow, result: UpsertResult) -> PlanRow | Rejected:
    match result:
        case Applied():
            return replace(
                row,
                outcome=RowOutcome.APPLIED,
                write_id=result.write_id,
                code=None,
                message=result.message,
            )
        case Uncertain():
            return replace(
                row,
                outcome=RowOutcome.UNCERTAIN,
                write_id=result.write_id,
                code=None,
                message=result.message,
            )
        case Rejected():
            return result if result.retryable else _as_rejected(row, result)


def _as_rejected(row: PlanRow, result: Rejected) -> PlanRow:
    return replace(
        row,
        outcome=RowOutcome.REJECTED,
        write_id=result.write_id,
        code=result.code.value,
        message=result.message,
        field=result.field,
        retryable=result.retryable,
    )


def _with_error(row: PlanRow, error: GatewayError) -> PlanRow:
    return _as_rejected(row, build_rejection(error, None))


def _with_record(row: PlanRow, record: WriteRecord) -> PlanRow:
    """Return a row with the outcome of its write in the journal."""
    is_applied = record.outcome is WriteOutcome.APPLIED
    return replace(
        row,
        outcome=RowOutcome[record.outcome.name],
        write_id=record.intent.id,
        code=None if is_applied else parse_code(record.error_code).value,
        message=record.error_message,
        field=record.error_field,
        retryable=record.error_retryable,
    )
