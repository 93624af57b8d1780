"""Resolves the writes that a process started and did not finish before their lease ended."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from balance_gateway.domain.accounts import Account
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
    """Handles writes without an outcome, at the start of a process and while it runs.

    Attributes:
        directory: looks up accounts.
        sources: the providers by connector name, without the gateway's record in front of them.
        fence: blocks caching for accounts with a write that may still take effect.
        journal: lists the unfinished writes and records their outcomes.
        clock: returns the current instant.
        limits: the time limits of writes.
        on_uncertain: called with every write that stays without a known outcome.
        keeps_outcome: returns whether this process knows the outcome of a write, by its id, and
            is still trying to record it.
    """

    directory: Directory
    sources: Mapping[str, BalanceProvider]
    fence: WriteFence
    journal: WriteJournal
    clock: Clock
    limits: WriteDeadlines
    on_uncertain: Callable[[WriteRecord], object] = lambda _record: None
    keeps_outcome: Callable[[str], bool] = lambda _write_id: False

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

    async def run(self, interval_s: float) -> None:
        """Resolve unfinished writes, at once and then again and again."""
        while True:
            try:
                await self.resolve_unfinished()
            except Exception:
                logger.exception("write.not_resolved")
            await asyncio.sleep(interval_s)

    async def resolve_unfinished(self) -> None:
        """Determine and record the outcome of each unfinished write after its lease.

        A write that cannot be recorded is left for the next call.
        """
        for record in await self.journal.unfinished():
            age_s = (self.clock() - record.intent.started_at).total_seconds()
            # Until the lease has expired the write may belong to another live process.
            if age_s < self.limits.lease_s or self.keeps_outcome(record.intent.id):
                continue
            account = self.directory.find_account(record.intent.tenant, record.intent.account_id)
            resolved = await self._resolve(account, record)
            try:
                await self._record(account, replace(resolved, finished_at=self.clock()))
            except Exception:
                logger.exception("write.not_resolved", extra={"write_id": record.intent.id})
                continue
            if resolved.outcome is WriteOutcome.UNCERTAIN:
                self.on_uncertain(resolved)
            logger.info("write.resolved", extra={"outcome": resolved.outcome.value})

    async def _resolve(self, account: Account | None, record: WriteRecord) -> WriteRecord:
        if account is None:
            return as_uncertain(record, _INTERRUPTED, None)
        source = self.sources[account.connector]
        return await resolve_by_reading(
            account, source, record, _INTERRUPTED, self.limits.read_back_s
        )

    async def _record(self, account: Account | None, resolved: WriteRecord) -> None:
        if account is None or resolved.outcome is not WriteOutcome.APPLIED:
            await self.journal.finish(resolved)
            return
        # Recorded opening balances change with it: cached ones must not outlive it. The fence of
        # the write itself stays raised.
        fence_id = f"{resolved.intent.id}:resolved"
        await self.fence.begin_write(account, fence_id)
        try:
            await self.journal.finish(resolved)
        finally:
            await self.fence.end_write(account, fence_id)
