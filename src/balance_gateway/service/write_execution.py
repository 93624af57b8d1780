"""The second half of a write, from when it is journalled as begun: see ``writer.py``, steps 4 to 8.

Whether the fence may be lowered is asked of the provider's own answer alone. Reading that shows
the amount to be there is enough to call the write applied, since what was asked for stands; but
somebody else may have written the same, and then ours may still land.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceWrite
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import GatewayError, Internal, ProviderError, ProviderTimeout
from balance_gateway.domain.writes import (
    WriteOutcome,
    WriteRecord,
)
from balance_gateway.ports.call_context import (
    SendStatus,
    set_call_context,
)
from balance_gateway.ports.providers import (
    BalanceProvider,
)
from balance_gateway.ports.reads import (
    WriteFence,
)
from balance_gateway.ports.write_journal import (
    WriteJournal,
)
from balance_gateway.service.read_back import (
    read_back,
    read_previous,
    resolve_by_reading,
    with_failure,
)
from balance_gateway.service.upsert_plan import UpsertPlan

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WriteDeadlines:
    """Time limits of a write, in seconds.

    Attributes:
        deadline_s: for sending it, by connector.
        read_back_s: for reading it back, and for reading the previous value.
        prepare_s: from when it is recorded as begun; one that takes longer is not sent any more.
        lease_s: after which a write that was begun and not ended is nobody's. Another one of its
            account waits for no longer than that.
    """

    deadline_s: Mapping[str, float]
    read_back_s: float
    prepare_s: float
    lease_s: float


@dataclass(frozen=True, slots=True)
class WriteExecutor:
    """Fences a write, sends it once, reads it back, journals its outcome, lowers the fence.

    Attributes:
        fence: around every write.
        journal: of every write.
        clock: tells the time.
        limits: time limits.
    """

    fence: WriteFence
    journal: WriteJournal
    clock: Clock
    limits: WriteDeadlines

    async def perform(self, plan: UpsertPlan, record: WriteRecord) -> WriteRecord:
        """The record, which was STARTED, with its outcome."""
        write_id = record.intent.id
        try:
            if plan.expected_previous is not None:
                # Before the journal had it, another process may have written what is compared.
                await read_previous(plan, self.limits.read_back_s)
            await self.fence.begin_write(plan.account, write_id)
        except GatewayError as error:
            return await self._unsent(plan.account, record, error, fenced=False)
        except Exception:
            logger.exception("write.failed_before_sending", extra={"write_id": write_id})
            defect = Internal("The write could not be fenced and was not sent.")
            return await self._unsent(plan.account, record, defect, fenced=False)
        prepared_s = (self.clock() - record.intent.started_at).total_seconds()
        if prepared_s > self.limits.prepare_s:
            # After a crash the write is taken to have been sent before then.
            late = ProviderTimeout("The write took too long to prepare and was not sent.")
            return await self._unsent(plan.account, record, late, fenced=True)
        sent, answered = await self._send(plan, record)
        return await self._conclude(plan.account, sent, lower=answered)

    async def _unsent(
        self, account: Account, record: WriteRecord, error: GatewayError, *, fenced: bool
    ) -> WriteRecord:
        rejected = with_failure(record, error, WriteOutcome.REJECTED)
        return await self._conclude(account, rejected, lower=fenced)

    async def _send(self, plan: UpsertPlan, record: WriteRecord) -> tuple[WriteRecord, bool]:
        """The record with its outcome, and whether that is the provider's own definite answer."""
        intent = record.intent
        write = OpeningBalanceWrite(
            plan.account, intent.amount, intent.effective_at, intent.memo, intent.reference_number
        )
        try:
            answered = await self._answered(plan.provider, write)
        except (ProviderError, TimeoutError) as error:
            if isinstance(error, ProviderError) and not error.maybe_applied:
                return with_failure(record, error, WriteOutcome.REJECTED), True
            return await self._looked_for(plan, record), False
        except GatewayError as error:
            return with_failure(record, error, WriteOutcome.REJECTED), True
        except Exception:
            logger.exception("write.defect", extra={"write_id": intent.id})
            return await self._looked_for(plan, record), False
        found = await read_back(plan.account, plan.provider, self.limits.read_back_s)
        verified = found is not None and found.amount == intent.amount
        applied = replace(
            record, outcome=WriteOutcome.APPLIED, applied=found or answered, verified=verified
        )
        return applied, True

    async def _answered(
        self, provider: BalanceProvider, write: OpeningBalanceWrite
    ) -> OpeningBalance:
        """The provider's answer, within the deadline.

        Raises:
            TimeoutError: there was none, and the write may have left.
            ProviderTimeout: there was none, and it certainly has not: it was still waiting.
        """
        told = SendStatus()
        set_call_context(send_status=told)
        try:
            async with asyncio.timeout(self.limits.deadline_s[write.account.connector]):
                return await provider.set_opening_balance(write)
        except TimeoutError as error:
            if told.sent is not False:
                raise
            message = "The write waited for its turn at the provider for too long; it was not sent."
            raise ProviderTimeout(message) from error

    async def _looked_for(self, plan: UpsertPlan, record: WriteRecord) -> WriteRecord:
        return await resolve_by_reading(
            plan.account, plan.provider, record, self.limits.read_back_s
        )

    async def _conclude(self, account: Account, record: WriteRecord, *, lower: bool) -> WriteRecord:
        """Journals the outcome and lowers the fence, in this order.

        The journal comes first: for some providers it is what reads are answered from, and a
        read after the fence is down keeps what it finds.
        """
        record = replace(record, finished_at=self.clock())
        try:
            await self.journal.finish(record)
        except Exception:
            logger.exception("write.outcome_not_recorded", extra={"write_id": record.intent.id})
            return replace(record, outcome=WriteOutcome.UNCERTAIN)
        if lower:
            await self.fence.end_write(account, record.intent.id)
        return record
