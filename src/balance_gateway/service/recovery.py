"""Resolves the writes that an earlier process started and did not finish."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import Internal
from balance_gateway.domain.writes import WriteOutcome, WriteRecord
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.ports.reads import WriteFence
from balance_gateway.ports.write_journal import WriteJournal
from balance_gateway.service.directory import Directory
from balance_gateway.service.read_back import as_uncertain, resolve_by_reading
from balance_gateway.service.write_execution import WriteDeadlines

logger = logging.getLogger(__name__)

#: Not a timeout of the provider: the process that sent the write ended before its outcome.
_INTERRUPTED = Internal("The gateway was interrupted while it made the write.")


@dataclass(frozen=True, slots=True)
class Recovery:
    """Handles writes without an outcome at the start of a process.

    Attributes:
        directory: looks up accounts.
        sources: the providers by connector name, without the gateway's record in front of them.
        fence: blocks caching for accounts with a write that may still take effect.
        journal: lists the unfinished writes and records their outcomes.
        clock: returns the current instant.
        limits: the time limits of writes.
        on_uncertain: called with every write whose outcome stays unknown.
    """

    directory: Directory
    sources: Mapping[str, BalanceProvider]
    fence: WriteFence
    journal: WriteJournal
    clock: Clock
    limits: WriteDeadlines
    on_uncertain: Callable[[WriteRecord], object] = lambda _record: None

    async def hold_fences(self, lands_within_s: float) -> None:
        """Raise the fences of all writes that may still take effect.

        Must run before anything is read.

        Args:
            lands_within_s: the time after its recorded start within which a write may take
                effect, in seconds.

        Raises:
            CacheUnavailable: the shared cache is unavailable, so nothing can be cached either.
        """
        now = self.clock()
        for write in await self.journal.unsettled_since(now - timedelta(seconds=lands_within_s)):
            account = self.directory.find_account(write.tenant, write.account_id)
            remaining_s = lands_within_s
            if write.started_at is None:
                # An unknown start may be now: hold the fence for the whole time.
                logger.error("write.unreadable", extra={"write_id": write.id})
            else:
                remaining_s -= (now - write.started_at).total_seconds()
            if account is not None and remaining_s > 0:
                await self.fence.hold(account, write.id, remaining_s)

    async def resolve_unfinished(self) -> None:
        """Determine and record the outcome of each unfinished write.

        A write that cannot be recorded is left for the next start.
        """
        for record in await self.journal.unfinished():
            age_s = (self.clock() - record.intent.started_at).total_seconds()
            # Until the lease has expired the write may belong to another live process.
            await asyncio.sleep(max(0.0, self.limits.lease_s - age_s))
            resolved = await self._resolve(record)
            try:
                await self.journal.finish(replace(resolved, finished_at=self.clock()))
            except Exception:
                logger.exception("write.not_resolved", extra={"write_id": record.intent.id})
                continue
            if resolved.outcome is WriteOutcome.UNCERTAIN:
                self.on_uncertain(resolved)
            logger.info("write.resolved", extra={"outcome": resolved.outcome.value})

    async def _resolve(self, record: WriteRecord) -> WriteRecord:
        account = self.directory.find_account(record.intent.tenant, record.intent.account_id)
        if account is None:
            return as_uncertain(record, _INTERRUPTED, None)
        source = self.sources[account.connector]
        return await resolve_by_reading(
            account, source, record, _INTERRUPTED, self.limits.read_back_s
        )
