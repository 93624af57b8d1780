"""Executes a write that is recorded as started: steps 4 to 8 of ``writer.py``."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceWrite
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import GatewayError, Internal, ProviderError, ProviderTimeout
from balance_gateway.domain.writes import WriteOutcome, WriteRecord
from balance_gateway.ports.call_context import SendStatus, set_call_context
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.ports.reads import WriteFence
from balance_gateway.service.outcome_recorder import OutcomeRecorder
from balance_gateway.service.read_back import (
    as_uncertain,
    read_back,
    read_previous,
    resolve_by_reading,
    with_failure,
)
from balance_gateway.service.reconciler import Reconciler
from balance_gateway.service.upsert_plan import ExpectationFailed, UpsertPlan

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WriteDeadlines:
    """Time limits of a write, in seconds.

    Attributes:
        deadline_s: limit for sending the write, by connector.
        read_back_s: limit for reading it back and for reading the previous opening balance.
        prepare_s: limit from the recorded start to the sending. A write that exceeds it is not
            sent.
        lease_s: the time after which an unfinished write no longer has an owner. Another write
            of the account waits no longer than this.
    """

    deadline_s: Mapping[str, float]
    read_back_s: float
    prepare_s: float
    lease_s: float


@dataclass(frozen=True, slots=True)
class WriteExecutor:
    """Fences a write, sends it once, reads it back, records its outcome, lowers the fence.

    Attributes:
        fence: blocks caching during the write.
        recorder: records the outcome.
        reconciler: knows the unsettled writes.
        sources: the providers by connector name, without the gateway's record in front of them.
        clock: returns the current instant.
        limits: the time limits of a write.
    """

    fence: WriteFence
    recorder: OutcomeRecorder
    reconciler: Reconciler
    sources: Mapping[str, BalanceProvider]
    clock: Clock
    limits: WriteDeadlines

    async def perform(self, plan: UpsertPlan, record: WriteRecord) -> WriteRecord:
        """Execute a STARTED write and return its record with the outcome."""
        write_id = record.intent.id
        try:
            if plan.expected_previous is not None:
                # Another process may have changed the value, or left it in doubt, before this write
                # was recorded.
                await self.reconciler.require_settled(record.intent.remote_account)
                await read_previous(plan, self.limits.read_back_s)
            await self.fence.begin_write(plan.account, write_id)
        except GatewayError as error:
            return await self._reject_unsent(plan.account, record, error, fenced=False)
        except Exception:
            logger.exception("write.failed_before_sending", extra={"write_id": write_id})
            defect = Internal("The write could not be fenced and was not sent.")
            return await self._reject_unsent(plan.account, record, defect, fenced=False)
        prepared_s = (self.clock() - record.intent.started_at).total_seconds()
        if prepared_s > self.limits.prepare_s:
            # Recovery assumes that a write is sent within this limit, and holds the fence
            # accordingly.
            late = ProviderTimeout("The write took too long to prepare and was not sent.")
            return await self._reject_unsent(plan.account, record, late, fenced=True)
        sent, can_lower = await self._send(plan, record)
        return await self._conclude(plan.account, sent, lower=can_lower)

    async def _reject_unsent(
        self, account: Account, record: WriteRecord, error: GatewayError, *, fenced: bool
    ) -> WriteRecord:
        rejected = with_failure(record, error, WriteOutcome.REJECTED)
        if isinstance(error, ExpectationFailed):
            rejected = replace(rejected, found=error.current)
        return await self._conclude(account, rejected, lower=fenced)

    async def _send(self, plan: UpsertPlan, record: WriteRecord) -> tuple[WriteRecord, bool]:
        """Send the write once.

        Returns:
            The record with its outcome, and whether the fence can be lowered: the write was not
            sent, or the provider responded definitely. After anything else the write may still
            take effect later.
        """
        intent = record.intent
        write = OpeningBalanceWrite(
            plan.account, intent.amount, intent.effective_at, intent.memo, intent.reference_number
        )
        try:
            confirmed = await self._call_provider(plan.provider, write)
        except TimeoutError:
            late = ProviderTimeout("The provider did not respond in time.", maybe_applied=True)
            return await self._resolve(plan, record, late), False
        except ProviderError as error:
            if not error.maybe_applied:
                return with_failure(record, error, WriteOutcome.REJECTED), True
            return await self._resolve(plan, record, error), False
        except GatewayError as error:
            return with_failure(record, error, WriteOutcome.REJECTED), True
        except Exception:
            logger.exception("write.defect", extra={"write_id": intent.id})
            defect = Internal("The gateway could not process the provider's response.")
            return await self._resolve(plan, record, defect), False
        found = await read_back(plan.account, plan.provider, self.limits.read_back_s)
        verified = found is not None and found.amount == intent.amount
        applied = replace(
            record, outcome=WriteOutcome.APPLIED, applied=found or confirmed, verified=verified
        )
        return applied, True

    async def _call_provider(
        self, provider: BalanceProvider, write: OpeningBalanceWrite
    ) -> OpeningBalance:
        """Send the write and return the opening balance that the provider confirms.

        Raises:
            TimeoutError: the deadline passed, and the write may have been sent.
            ProviderTimeout: the deadline passed while the write was still waiting, so it was
                certainly not sent.
            ProviderError: the provider failed; see ``maybe_applied``.
        """
        status = SendStatus()
        set_call_context(send_status=status)
        try:
            async with asyncio.timeout(self.limits.deadline_s[write.account.connector]):
                return await provider.set_opening_balance(write)
        except TimeoutError as error:
            if status.sent is not False:
                raise
            message = "The write waited too long for a free call to the provider and was not sent."
            raise ProviderTimeout(message) from error

    async def _resolve(
        self, plan: UpsertPlan, record: WriteRecord, error: GatewayError
    ) -> WriteRecord:
        source = self.sources[plan.account.connector]
        return await resolve_by_reading(
            plan.account, source, record, error, self.limits.read_back_s
        )

    async def _conclude(self, account: Account, record: WriteRecord, *, lower: bool) -> WriteRecord:
        """Record the outcome, then lower the fence if ``lower`` is set."""
        record = replace(record, finished_at=self.clock())
        # The journal comes first: for some providers opening balances are read from it, and a read
        # after the fence is lowered caches its result.
        if await self.recorder.record(account, record, lower=lower):
            return record
        lost = Internal("The outcome of the write is known and could not be recorded yet.")
        return as_uncertain(record, lost, record.applied)
