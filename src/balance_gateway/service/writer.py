"""Sets an opening balance: plans, records, fences, sends at most once and reads back.

The steps of a write, and the meaning of a failure in each step:

1. **Plan** the write. An invalid request is rejected; nothing has happened.
2. **Read** the previous opening balance and compare it if the caller expects one. While an earlier
   write of the remote account is unsettled, a comparison is refused.
3. **Record** the write as started. On failure nothing has happened and the caller can try again.
   From here on no other process writes the same remote account, under any of its account ids, so
   the expectation is compared once more.
4. **Fence** the account. If this fails or takes too long, the write is recorded as rejected;
   nothing has happened.
5. **Send** the write once, with a deadline.
6. **Read back** the opening balance if the provider supports reading it.
7. **Record** the outcome, again and again until the lease ends. If the journal does not take it
   by then, the caller's outcome is uncertain, and the known one is recorded in the background
   (``outcome_recorder.py``).
8. **Lower** the fence, unless the write may still take effect. Then respond to the caller.

Writes of one account run one after the other. A write that waits longer for its turn (before step
2) than a write may take is rejected; nothing has happened and the caller can try again. Each write
runs in a task of its own, so a caller that disconnects does not stop it. A request that repeats
an idempotency key waits for the outcome of the first write; when the lease of that write expires or
the journal becomes unavailable meanwhile, the result is uncertain.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import (
    BadInput,
    CacheUnavailable,
    GatewayError,
    Internal,
    WriteUnsettled,
)
from balance_gateway.domain.writes import WriteIntent, WriteOutcome, WriteRecord
from balance_gateway.ports.call_context import Priority, set_call_context
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.ports.reads import FreshnessState, Observed, WriteFence
from balance_gateway.ports.write_journal import AccountBusy, JournalUnavailable, WriteJournal
from balance_gateway.service.directory import Directory
from balance_gateway.service.opening_balances import UpsertRequest, UpsertResult
from balance_gateway.service.outcome_recorder import OutcomeRecorder
from balance_gateway.service.read_back import as_uncertain, read_previous, with_failure
from balance_gateway.service.reconciler import Reconciler
from balance_gateway.service.upsert_plan import ExpectationFailed, UpsertPlan, plan_upsert
from balance_gateway.service.write_execution import WriteDeadlines, WriteExecutor
from balance_gateway.service.write_results import (
    build_rejection,
    build_result,
    log_uncertain,
    observe_opening_balance,
)

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Interval in seconds at which the journal is read while waiting for another process's write.
_POLL_S = 0.05

_STARTED = WriteOutcome.STARTED

_BUSY = "Another write of this account is in progress; try again."


class OpeningBalanceWriter:
    """Sets opening balances; the module docstring explains the steps.

    Args:
        directory: looks up accounts.
        providers: providers by connector name.
        remote_accounts: the remote account of each account, by account id.
        fence: blocks caching during a write.
        journal: records every write.
        reconciler: settles uncertain writes.
        sources: the providers by connector name, without the gateway's record in front of them.
        clock: returns the current instant.
        new_id: creates unique ids.
        limits: the time limits of a write.
        on_outcome: called with the connector and the outcome of every executed write.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        providers: Mapping[str, BalanceProvider],
        remote_accounts: Mapping[str, str],
        fence: WriteFence,
        journal: WriteJournal,
        reconciler: Reconciler,
        sources: Mapping[str, BalanceProvider],
        clock: Clock,
        new_id: Callable[[], str],
        limits: WriteDeadlines,
        on_outcome: Callable[[str, str], object] = lambda _connector, _outcome: None,
    ) -> None:
        self._directory = directory
        self._providers = providers
        self._remote_accounts = remote_accounts
        self._journal = journal
        self._clock = clock
        self._new_id = new_id
        self._limits = limits
        self._on_outcome = on_outcome
        self._reconciler = reconciler
        self._recorder = OutcomeRecorder(fence, journal, reconciler, clock, limits.lease_s)
        self._executor = WriteExecutor(fence, self._recorder, reconciler, sources, clock, limits)
        self._locks: dict[str, asyncio.Lock] = {}
        self._in_progress: set[asyncio.Task[UpsertResult]] = set()

    async def upsert(self, principal: Principal, request: UpsertRequest) -> UpsertResult:
        """Set one opening balance. Errors of the gateway are results, not exceptions."""
        account = None
        try:
            principal.require(Scope.BALANCES_WRITE)
            account = self._directory.account(principal, request.account_id)
            provider = self._providers[account.connector]
            plan = plan_upsert(principal, request, account, provider, self._clock())
        except GatewayError as error:
            return build_rejection(error, account)
        task = asyncio.get_running_loop().create_task(self._run_in_turn(plan))
        # The event loop holds only weak references to tasks.
        self._in_progress.add(task)
        task.add_done_callback(self._in_progress.discard)
        # A cancelled caller must not stop a write that may already have been sent.
        return await asyncio.shield(task)

    async def finish(self) -> None:
        """Wait until every write in progress has its outcome, and the journal has taken it."""
        while self._in_progress:
            await asyncio.wait(list(self._in_progress))
        await self._recorder.finish()

    async def drain(self) -> None:
        """Wait until every write in progress has its outcome, and a while for its record."""
        while self._in_progress:
            await asyncio.wait(list(self._in_progress))
        await self._recorder.drain()

    def keeps_outcome(self, write_id: str) -> bool:
        """Return whether the outcome of a write is known here and not recorded yet."""
        return self._recorder.keeps(write_id)

    async def _run_in_turn(self, plan: UpsertPlan) -> UpsertResult:
        # In the write's own task: the reads that follow in the same request are only reads.
        set_call_context(priority=Priority.WRITE)
        remote_account = self._remote_accounts[plan.account.id]
        lock = self._locks.setdefault(remote_account, asyncio.Lock())
        try:
            # At most the duration of one write, however many slow writes are ahead in the queue.
            async with asyncio.timeout(self._limits.lease_s):
                await lock.acquire()
        except TimeoutError:
            return await self._reject_busy(plan)
        try:
            return await self._execute(plan)
        finally:
            lock.release()

    async def _execute(self, plan: UpsertPlan) -> UpsertResult:
        account = plan.account
        try:
            record = await self._begin(plan)
        except ExpectationFailed as error:
            return build_rejection(error, account, self._observe_now(error.current))
        except GatewayError as error:
            return build_rejection(error, account)
        except Exception:
            logger.exception("write.failed_before_sending")
            defect = Internal("The write could not be prepared and was not sent.")
            return build_rejection(defect, account)
        if record.outcome is not WriteOutcome.STARTED:
            return build_result(account, record, replayed=True)
        try:
            record = await self._executor.perform(plan, record)
        except Exception:
            # It may have been sent, and its id must reach the caller.
            logger.exception("write.defect", extra={"write_id": record.intent.id})
            defect = Internal("A defect of the gateway interrupted the write.")
            record = as_uncertain(record, defect, None)
        self._on_outcome(account.connector, record.outcome.value)
        if record.outcome is WriteOutcome.UNCERTAIN:
            log_uncertain(record)
        return build_result(account, record, replayed=False)

    def _observe_now(self, current: OpeningBalance | None) -> Observed[OpeningBalance] | None:
        if current is None:
            return None
        return observe_opening_balance(current, self._clock(), FreshnessState.LIVE)

    async def _reject_busy(self, plan: UpsertPlan) -> UpsertResult:
        """Reject the write without recording it, or return the outcome its key already has."""
        try:
            finished = await self._find_finished(plan)
        except GatewayError as error:
            return build_rejection(error, plan.account)
        if finished is None:
            return build_rejection(CacheUnavailable(_BUSY), plan.account)
        return build_result(plan.account, finished, replayed=True)

    async def _begin(self, plan: UpsertPlan) -> WriteRecord:
        """Record the write as STARTED, or return the finished record of its idempotency key."""
        if (finished := await self._find_finished(plan)) is not None:
            return finished
        if plan.expected_previous is not None:
            await _call_journal(
                self._reconciler.require_settled(self._remote_accounts[plan.account.id])
            )
        previous = await read_previous(plan, self._limits.read_back_s)
        intent = self._build_intent(plan, previous)
        deadline = self._clock().timestamp() + self._limits.lease_s
        while True:
            # The start is reset after each wait, because recovery holds the fence of a write for
            # a fixed time after its start.
            intent = replace(intent, started_at=self._clock())
            try:
                begin = self._journal.begin(intent, lease_s=self._limits.lease_s)
                record = await _call_journal(begin)
            except JournalUnavailable as error:
                # It may have been recorded as started: the row must not block the account.
                unsent = with_failure(WriteRecord(intent, _STARTED), error, WriteOutcome.REJECTED)
                unsent = replace(unsent, finished_at=self._clock())
                self._recorder.keep_unsent(plan.account, unsent)
                raise
            except AccountBusy:
                if self._clock().timestamp() >= deadline:
                    raise CacheUnavailable(_BUSY) from None
                await asyncio.sleep(_POLL_S)
                continue
            if record.intent.id == intent.id:
                return record
            if (finished := await self._wait_for_outcome(plan, record)) is not None:
                return finished

    async def _find_finished(self, plan: UpsertPlan) -> WriteRecord | None:
        """Return the finished record of the plan's idempotency key; None without key or record."""
        if plan.idempotency_key is None:
            return None
        tenant, key = plan.account.tenant, plan.idempotency_key
        record = await _call_journal(self._journal.by_key(tenant, key))
        return None if record is None else await self._wait_for_outcome(plan, record)

    async def _wait_for_outcome(self, plan: UpsertPlan, record: WriteRecord) -> WriteRecord | None:
        """Wait until a record under the same key has an outcome.

        Returns:
            The finished record. It is UNCERTAIN when the lease expires or the journal becomes
            unavailable first, because the write may have been sent. None when the write was
            rejected with a retryable error, which releases the key.

        Raises:
            BadInput: the key belongs to a different request.
        """
        if record.intent.fingerprint != plan.fingerprint:
            raise BadInput(
                "This idempotencyKey was already used for a different write; use a new one.",
                field="idempotencyKey",
            )
        # At most a lease from now, even if the start was recorded by a clock that is ahead.
        start_s = min(record.intent.started_at, self._clock()).timestamp()
        deadline = start_s + self._limits.lease_s
        while record.outcome is WriteOutcome.STARTED:
            if self._clock().timestamp() >= deadline:
                return replace(record, outcome=WriteOutcome.UNCERTAIN)
            await asyncio.sleep(_POLL_S)
            tenant, key = record.intent.tenant, record.intent.idempotency_key
            assert key is not None
            try:
                current = await _call_journal(self._journal.by_key(tenant, key))
            except JournalUnavailable:
                return replace(record, outcome=WriteOutcome.UNCERTAIN)
            if current is None:
                return None
            record = current
        return record

    def _build_intent(self, plan: UpsertPlan, previous: OpeningBalance | None) -> WriteIntent:
        return WriteIntent(
            id=self._new_id(),
            tenant=plan.account.tenant,
            account_id=plan.account.id,
            remote_account=self._remote_accounts[plan.account.id],
            connector=plan.account.connector,
            principal=plan.principal.name,
            amount=plan.amount,
            effective_at=plan.effective_at,
            memo=plan.memo,
            reference_number=plan.reference_number,
            idempotency_key=plan.idempotency_key,
            fingerprint=plan.fingerprint,
            previous=previous,
            started_at=self._clock(),
        )


async def _call_journal(call: Awaitable[T]) -> T:
    """Await a call of the journal and return its result.

    Raises:
        AccountBusy: raised by the journal.
        WriteUnsettled: an earlier write is unsettled.
        JournalUnavailable: the call failed in any other way.
    """
    try:
        return await call
    except (AccountBusy, WriteUnsettled):
        raise
    except Exception as error:
        logger.exception("write.journal_failed")
        raise JournalUnavailable(
            "The write journal is unavailable and this request sent nothing; try again, with the"
            " same idempotencyKey if the request had one."
        ) from error
