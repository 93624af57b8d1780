"""After a crash: writes that an earlier process began and did not end."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import ProviderTimeout
from balance_gateway.domain.writes import (
    WriteOutcome,
    WriteRecord,
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
from balance_gateway.service.directory import Directory
from balance_gateway.service.read_back import UNCERTAIN, resolve_by_reading, with_failure
from balance_gateway.service.write_execution import WriteDeadlines

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a starting process does about writes without an outcome.

    Attributes:
        directory: accounts.
        providers: by connector name.
        fence: to be held for writes that may still land.
        journal: where such writes are found.
        clock: tells the time.
        limits: the time limits of writes.
    """

    directory: Directory
    providers: Mapping[str, BalanceProvider]
    fence: WriteFence
    journal: WriteJournal
    clock: Clock
    limits: WriteDeadlines

    async def hold_fences(self, lands_within_s: float) -> None:
        """Raises the fences of writes that may still land. To be done before anything is read.

        Args:
            lands_within_s: how long after it was recorded as begun a write may land.

        Raises:
            CacheUnavailable: the shared cache is out of reach; nothing can be kept in it either.
        """
        now = self.clock()
        for write in await self.journal.unsettled_since(now - timedelta(seconds=lands_within_s)):
            account = self.directory.any_account(write.tenant, write.account_id)
            left_s = lands_within_s
            if write.started_at is None:
                logger.error("write.unreadable", extra={"write_id": write.id})
            else:
                left_s -= (now - write.started_at).total_seconds()
            if account is not None and left_s > 0:
                await self.fence.hold(account, write.id, left_s)

    async def resolve_unfinished(self) -> None:
        """Gives each unfinished write its outcome.

        A write younger than the lease may belong to another process that is alive, and is left
        until it is older. One that cannot be recorded is left to the next start.
        """
        for record in await self.journal.unfinished():
            age_s = (self.clock() - record.intent.started_at).total_seconds()
            await asyncio.sleep(max(0.0, self.limits.lease_s - age_s))
            settled = await self._settle(record)
            try:
                await self.journal.finish(replace(settled, finished_at=self.clock()))
            except Exception:
                logger.exception("write.not_resolved", extra={"write_id": record.intent.id})
                continue
            logger.info("write.resolved", extra={"outcome": settled.outcome.value})

    async def _settle(self, record: WriteRecord) -> WriteRecord:
        account = self.directory.any_account(record.intent.tenant, record.intent.account_id)
        if account is None:
            return with_failure(record, ProviderTimeout(UNCERTAIN), WriteOutcome.UNCERTAIN)
        provider = self.providers[account.connector]
        return await resolve_by_reading(account, provider, record, self.limits.read_back_s)
