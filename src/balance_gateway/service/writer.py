"""Writing: one opening balance, journalled, fenced, sent at most once, read back.

The order of a write, and what its failure means at each step:

1. planned: what is wrong with it is said, and nothing has happened;
2. the previous value is read, and compared where the caller wants that;
3. **journalled** as begun: if this fails, nothing has happened, and it can be tried again. From
   now on no other process writes the remote account, under whichever of its names, so what the
   caller expects is compared once more;
4. **fenced**, soon after: if this fails, or has taken too long, the write is recorded as rejected,
   and nothing has happened;
5. **sent**, once, under a deadline;
6. read back where the provider can be read;
7. its outcome **journalled**: if this fails the outcome is uncertain, and the fence expires;
8. the fence **lowered**, only when the provider has answered definitely; then the caller is
   answered.

Before step 2 a write waits for its turn, as those of one account go one after the other: if that
takes longer than a write may take, nothing has happened, and it can be tried again. From step 3 on
it belongs to nobody: a caller that goes away does not stop it. A repetition under an idempotency
key that finds the first write waits for its outcome; if that cannot be had, because the lease is
over or the journal out of reach, the answer is uncertain.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import (
    OpeningBalance,
)
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import BadInput, CacheUnavailable, GatewayError, Internal
from balance_gateway.domain.writes import (
    WriteIntent,
    WriteOutcome,
    WriteRecord,
)
from balance_gateway.ports.providers import (
    BalanceProvider,
)
from balance_gateway.ports.reads import (
    FreshnessState,
    Observed,
    WriteFence,
)
from balance_gateway.ports.write_journal import (
    AccountBusy,
    JournalUnavailable,
    WriteJournal,
)
from balance_gateway.service.directory import Directory
from balance_gateway.service.opening_balances import (
    Applied,
    Rejected,
    Uncertain,
    UpsertRequest,
    UpsertResult,
)
from balance_gateway.service.read_back import UNCERTAIN, read_previous
from balance_gateway.service.upsert_plan import UpsertPlan, plan_upsert
from balance_gateway.service.write_execution import WriteDeadlines, WriteExecutor

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: How often a write of another process is looked at while waiting for its end.
_POLL_S = 0.05

_BUSY = "Another write of this account is under way; try again."


class OpeningBalanceWriter:
    """Sets opening balances.

    Args:
        directory: accounts.
        providers: by connector name.
        remote_accounts: the remote account of each account, by its id.
        fence: around every write.
        journal: of every write.
        clock: tells the time.
        new_id: makes unique ids.
        limits: time limits.
        on_outcome: told of every write that was tried: its connector and what it came to.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        providers: Mapping[str, BalanceProvider],
        remote_accounts: Mapping[str, str],
        fence: WriteFence,
        journal: WriteJournal,
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
        self._sender = WriteExecutor(fence, journal, clock, limits)
        self._locks: dict[str, asyncio.Lock] = {}
        self._under_way: set[asyncio.Task[UpsertResult]] = set()

    async def upsert(self, principal: Principal, request: UpsertRequest) -> UpsertResult:
        """Sets one opening balance. Raises nothing: every outcome is a result."""
        try:
            principal.require(Scope.BALANCES_WRITE)
            account = self._directory.account(principal, request.account_id)
            provider = self._providers[account.connector]
            plan = plan_upsert(principal, request, account, provider, self._clock())
        except GatewayError as error:
            return _rejected(error)
        task = asyncio.get_running_loop().create_task(self._carry_out(plan))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Waits until every write that was begun has its outcome."""
        while self._under_way:
            await asyncio.wait(list(self._under_way))

    async def _carry_out(self, plan: UpsertPlan) -> UpsertResult:
        remote_account = self._remote_accounts[plan.account.id]
        lock = self._locks.setdefault(remote_account, asyncio.Lock())
        try:
            # As long as one write may take: behind several that hang nobody waits for all of them.
            async with asyncio.timeout(self._limits.lease_s):
                await lock.acquire()
        except TimeoutError:
            return await self._crowded_out(plan)
        try:
            return await self._in_turn(plan)
        finally:
            lock.release()

    async def _in_turn(self, plan: UpsertPlan) -> UpsertResult:
        try:
            record = await self._begin(plan)
        except GatewayError as error:
            return _rejected(error)
        except Exception:
            logger.exception("write.failed_before_sending")
            return _rejected(Internal("The write could not be prepared and was not sent."))
        if record.outcome is not WriteOutcome.STARTED:
            return self._result(plan.account, record, replayed=True)
        record = await self._sender.perform(plan, record)
        self._on_outcome(plan.account.connector, record.outcome.value)
        return self._result(plan.account, record, replayed=False)

    async def _crowded_out(self, plan: UpsertPlan) -> UpsertResult:
        """Rejected, with nothing journalled or sent; unless its key has an outcome already."""
        try:
            ended = await self._earlier(plan)
        except GatewayError as error:
            return _rejected(error)
        if ended is None:
            return _rejected(CacheUnavailable(_BUSY))
        return self._result(plan.account, ended, replayed=True)

    async def _begin(self, plan: UpsertPlan) -> WriteRecord:
        """The record of this write as STARTED, or the finished one of an earlier write alike."""
        if (ended := await self._earlier(plan)) is not None:
            return ended
        previous = await read_previous(plan, self._limits.read_back_s)
        intent = self._intent(plan, previous)
        give_up_at = self._clock().timestamp() + self._limits.lease_s
        while True:
            # It begins now, however long it has waited: so long it may land after a crash.
            intent = replace(intent, started_at=self._clock())
            try:
                begun = self._journal.begin(intent, lease_s=self._limits.lease_s)
                record = await _recorded(begun)
            except AccountBusy:
                if self._clock().timestamp() >= give_up_at:
                    raise CacheUnavailable(_BUSY) from None
                await asyncio.sleep(_POLL_S)
                continue
            if record.intent.id == intent.id:
                return record
            if (ended := await self._finished(plan, record)) is not None:
                return ended

    async def _earlier(self, plan: UpsertPlan) -> WriteRecord | None:
        """The finished record of an earlier write under the key; None without a key or a record."""
        if plan.idempotency_key is None:
            return None
        tenant, key = plan.account.tenant, plan.idempotency_key
        record = await _recorded(self._journal.by_key(tenant, key))
        return None if record is None else await self._finished(plan, record)

    async def _finished(self, plan: UpsertPlan, record: WriteRecord) -> WriteRecord | None:
        """The record once it is no longer STARTED by another process.

        UNCERTAIN after its lease, or when the journal cannot tell: the write may have been sent.
        None: its key came free, because it was rejected and can be tried again.
        """
        if record.intent.fingerprint != plan.fingerprint:
            raise BadInput(
                "This idempotencyKey was used for another write; use a new one.",
                field="idempotencyKey",
            )
        give_up_at = self._clock().timestamp() + self._limits.lease_s
        while record.outcome is WriteOutcome.STARTED:
            if self._clock().timestamp() >= give_up_at:
                return replace(record, outcome=WriteOutcome.UNCERTAIN)
            await asyncio.sleep(_POLL_S)
            tenant, key = record.intent.tenant, record.intent.idempotency_key
            assert key is not None
            try:
                again = await _recorded(self._journal.by_key(tenant, key))
            except JournalUnavailable:
                return replace(record, outcome=WriteOutcome.UNCERTAIN)
            if again is None:
                return None
            record = again
        return record

    def _intent(self, plan: UpsertPlan, previous: OpeningBalance | None) -> WriteIntent:
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

    def _result(self, account: Account, record: WriteRecord, *, replayed: bool) -> UpsertResult:
        if record.outcome is WriteOutcome.APPLIED:
            assert record.applied is not None
            observed_at = record.finished_at or self._clock()
            observed = Observed(record.applied, observed_at, FreshnessState.LIVE)
            return Applied(account, observed, record.verified, replayed)
        if record.outcome is WriteOutcome.REJECTED:
            return Rejected(
                record.error_code or Internal.code,
                record.error_message or "The write was refused.",
                record.error_retryable,
                record.error_field,
            )
        return Uncertain(account, record.intent.id, UNCERTAIN)


async def _recorded(asked: Awaitable[T]) -> T:
    """The journal's answer.

    Raises:
        AccountBusy: it said so.
        JournalUnavailable: there was none.
    """
    try:
        return await asked
    except AccountBusy:
        raise
    except Exception as error:
        logger.exception("write.journal_failed")
        raise JournalUnavailable(
            "The write journal is out of reach, and nothing was sent; try again, under the same"
            " idempotencyKey if there was one."
        ) from error


def _rejected(error: GatewayError) -> Rejected:
    return Rejected(error.code, error.message, error.retryable, error.field)
