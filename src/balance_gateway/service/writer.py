"""Writing: one opening balance, journalled, fenced, sent at most once, read back.

The order of a write, and what its failure means at each step:

1. planned: what is wrong with it is said, and nothing has happened;
2. the previous value is read, and compared where the caller wants that;
3. **journalled** as begun: if this fails, nothing has happened. From now on no other process
   writes the account, so what the caller expects is compared once more;
4. **fenced**: if this fails the write is recorded as rejected, and nothing has happened;
5. **sent**, once, under a deadline;
6. read back where the provider can be read;
7. its outcome **journalled**: if this fails the outcome is uncertain, and the fence expires;
8. the fence **lowered**, only when the outcome is definite; then the caller is answered.

From step 3 on a write belongs to nobody: a caller that goes away does not stop it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import (
    FreshnessState,
    Observed,
    OpeningBalance,
    OpeningBalanceWrite,
)
from balance_gateway.domain.days import Clock
from balance_gateway.domain.errors import (
    BadInput,
    CacheUnavailable,
    GatewayError,
    Internal,
    ProviderError,
    ProviderTimeout,
    Unsupported,
)
from balance_gateway.domain.ports import BalanceProvider, WriteFence
from balance_gateway.domain.writes import (
    AccountBusy,
    WriteIntent,
    WriteJournal,
    WriteOutcome,
    WriteRecord,
)
from balance_gateway.service.directory import Directory
from balance_gateway.service.opening_balances import (
    Applied,
    Rejected,
    Uncertain,
    UpsertRequest,
    UpsertResult,
)
from balance_gateway.service.read_back import UNCERTAIN, failed, read_back, settled_by_reading
from balance_gateway.service.upsert_plan import UpsertPlan, check_expectation, plan_upsert

logger = logging.getLogger(__name__)

#: How often a write of another process is looked at while waiting for its end.
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """Time limits of a write, in seconds.

    Attributes:
        deadline_s: for sending it, by connector.
        read_back_s: for reading it back, and for reading the previous value.
        lease_s: after which a write that was begun and not ended is nobody's.
    """

    deadline_s: Mapping[str, float]
    read_back_s: float
    lease_s: float


class OpeningBalanceWriter:
    """Sets opening balances.

    Args:
        directory: accounts.
        providers: by connector name.
        fence: around every write.
        journal: of every write.
        clock: tells the time.
        new_id: makes unique ids.
        limits: time limits.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        providers: Mapping[str, BalanceProvider],
        fence: WriteFence,
        journal: WriteJournal,
        clock: Clock,
        new_id: Callable[[], str],
        limits: WriteLimits,
    ) -> None:
        self._directory = directory
        self._providers = providers
        self._fence = fence
        self._journal = journal
        self._clock = clock
        self._new_id = new_id
        self._limits = limits
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
        lock = self._locks.setdefault(plan.account.id, asyncio.Lock())
        async with lock:
            try:
                record = await self._begin(plan)
            except GatewayError as error:
                return _rejected(error)
            except Exception:
                logger.exception("write.failed_before_sending")
                return _rejected(Internal("The write could not be recorded and was not sent."))
            if record.outcome is not WriteOutcome.STARTED:
                return self._result(plan.account, record, replayed=True)
            record = await self._perform(plan, record)
            return self._result(plan.account, record, replayed=False)

    async def _begin(self, plan: UpsertPlan) -> WriteRecord:
        """The record of this write as STARTED, or the finished one of an earlier write alike."""
        if plan.idempotency_key is not None:
            earlier = await self._journal.by_key(plan.account.tenant, plan.idempotency_key)
            if earlier is not None and (ended := await self._finished(plan, earlier)) is not None:
                return ended
        previous = await self._previous(plan)
        intent = self._intent(plan, previous)
        give_up_at = self._clock().timestamp() + self._limits.lease_s
        while True:
            try:
                record = await self._journal.begin(intent, lease_s=self._limits.lease_s)
            except AccountBusy:
                if self._clock().timestamp() >= give_up_at:
                    raise CacheUnavailable(
                        "Another write of this account is under way; try again."
                    ) from None
                await asyncio.sleep(_POLL_S)
                continue
            if record.intent.id == intent.id:
                return record
            if (ended := await self._finished(plan, record)) is not None:
                return ended

    async def _finished(self, plan: UpsertPlan, record: WriteRecord) -> WriteRecord | None:
        """The record once it is no longer STARTED by another process; UNCERTAIN after its lease.

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
            assert record.intent.idempotency_key is not None
            again = await self._journal.by_key(record.intent.tenant, record.intent.idempotency_key)
            if again is None:
                return None
            record = again
        return record

    def _intent(self, plan: UpsertPlan, previous: OpeningBalance | None) -> WriteIntent:
        return WriteIntent(
            id=self._new_id(),
            tenant=plan.account.tenant,
            account_id=plan.account.id,
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

    async def _previous(self, plan: UpsertPlan) -> OpeningBalance | None:
        """What stands before the write, for the audit log and for comparing.

        Raises:
            BadInput: it is not what the caller expects.
            Unsupported: the caller expects something, and nobody can tell what stands.
        """
        expected = plan.expected_previous
        try:
            async with asyncio.timeout(self._limits.read_back_s):
                previous = await plan.provider.opening_balance(plan.account)
        except (GatewayError, TimeoutError) as error:
            if expected is None:
                return None
            if isinstance(error, Unsupported):
                raise Unsupported(
                    "This provider cannot tell what stands, so it cannot be compared;"
                    " leave expectedPrevious out.",
                    field="expectedPrevious",
                ) from error
            if isinstance(error, TimeoutError):
                raise ProviderTimeout("The provider did not tell what stands in time.") from error
            raise
        if expected is not None:
            check_expectation(expected, previous)
        return previous

    async def _perform(self, plan: UpsertPlan, record: WriteRecord) -> WriteRecord:
        """Steps 4 to 8."""
        try:
            if plan.expected_previous is not None:
                # Before the journal had it, another process may have written what is compared.
                await self._previous(plan)
            await self._fence.begin_write(plan.account)
        except GatewayError as error:
            unsent = failed(record, error, WriteOutcome.REJECTED)
            return await self._conclude(plan.account, unsent, fenced=False)
        except Exception:
            logger.exception("write.failed_before_sending", extra={"write_id": record.intent.id})
            defect = Internal("The write could not be fenced and was not sent.")
            unsent = failed(record, defect, WriteOutcome.REJECTED)
            return await self._conclude(plan.account, unsent, fenced=False)
        record = await self._send(plan, record)
        return await self._conclude(plan.account, record, fenced=True)

    async def _send(self, plan: UpsertPlan, record: WriteRecord) -> WriteRecord:
        """The record with its outcome, STARTED no longer."""
        intent = record.intent
        write = OpeningBalanceWrite(
            plan.account, intent.amount, intent.effective_at, intent.memo, intent.reference_number
        )
        try:
            async with asyncio.timeout(self._limits.deadline_s[plan.account.connector]):
                answered = await plan.provider.set_opening_balance(write)
        except (ProviderError, TimeoutError) as error:
            if isinstance(error, ProviderError) and not error.maybe_applied:
                return failed(record, error, WriteOutcome.REJECTED)
            return await settled_by_reading(
                plan.account, plan.provider, record, self._limits.read_back_s
            )
        except GatewayError as error:
            return failed(record, error, WriteOutcome.REJECTED)
        except Exception:
            logger.exception("write.defect", extra={"write_id": intent.id})
            return await settled_by_reading(
                plan.account, plan.provider, record, self._limits.read_back_s
            )
        found = await read_back(plan.account, plan.provider, self._limits.read_back_s)
        verified = found is not None and found.amount == intent.amount
        return replace(
            record,
            outcome=WriteOutcome.APPLIED,
            applied=found or answered,
            verified=verified,
        )

    async def _conclude(
        self, account: Account, record: WriteRecord, *, fenced: bool
    ) -> WriteRecord:
        """Journals the outcome and lowers the fence, in this order.

        The journal comes first: for some providers it is what reads are answered from, and a
        read after the fence is down keeps what it finds.
        """
        record = replace(record, finished_at=self._clock())
        try:
            await self._journal.finish(record)
        except Exception:
            logger.exception("write.outcome_not_recorded", extra={"write_id": record.intent.id})
            return replace(record, outcome=WriteOutcome.UNCERTAIN)
        if fenced and record.outcome is not WriteOutcome.UNCERTAIN:
            await self._fence.end_write(account)
        return record

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


def _rejected(error: GatewayError) -> Rejected:
    return Rejected(error.code, error.message, error.retryable, error.field)
