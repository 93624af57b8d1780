"""Records the outcome of a write, again and again until the journal takes it.

A definite answer of a provider must not be lost because the journal fails for a while: for some
providers nothing else can show it later. The caller waits for the record until the lease of the
write ends. After that the outcome is kept in memory and recorded in the background.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.writes import WriteOutcome, WriteRecord
from balance_gateway.ports.reads import WriteFence
from balance_gateway.ports.write_journal import WriteJournal, WriteNotBegun
from balance_gateway.service.reconciler import Reconciler

logger = logging.getLogger(__name__)

#: Shortest and longest wait in seconds between two attempts.
RETRY_FROM_S = 0.1
RETRY_TO_S = 5.0

#: Time in seconds after which an attempt without an answer is given up for another one.
ATTEMPT_S = 10.0

#: Time in seconds that a stopping process waits for the journal to take the kept outcomes.
DRAIN_S = 5.0

#: Least time in seconds that a caller waits, where the lease ends while the write is finished.
_WAIT_MIN_S = 1.0


class OutcomeRecorder:
    """Records outcomes, and lowers the fence of a write after its outcome is recorded.

    Args:
        fence: blocks caching during the write.
        journal: records the outcomes.
        reconciler: knows the unsettled writes.
        clock: returns the current instant.
        lease_s: the time after its start, in seconds, for which the caller of a write waits.
    """

    def __init__(
        self,
        fence: WriteFence,
        journal: WriteJournal,
        reconciler: Reconciler,
        clock: Clock,
        lease_s: float,
    ) -> None:
        self._fence = fence
        self._journal = journal
        self._reconciler = reconciler
        self._clock = clock
        self._lease_s = lease_s
        self._kept: dict[str, asyncio.Task[bool]] = {}
        self._attempts: set[asyncio.Task[None]] = set()

    def keeps(self, write_id: str) -> bool:
        """Return whether the outcome of a write is known here and not recorded yet."""
        return write_id in self._kept

    async def record(self, account: Account, record: WriteRecord, *, lower: bool) -> bool:
        """Record an outcome, then lower the fence if ``lower`` is set.

        Returns:
            Whether the outcome was recorded before the lease ended. If not, it is recorded in the
            background.
        """
        task = self._start(record.intent.id, self._record(account, record, lower=lower))
        age_s = (self._clock() - record.intent.started_at).total_seconds()
        done, _ = await asyncio.wait({task}, timeout=max(self._lease_s - age_s, _WAIT_MIN_S))
        return bool(done) and task.result()

    def keep_unsent(self, account: Account, record: WriteRecord) -> None:
        """Record in the background that a write was not sent, for as long as its lease takes.

        After that, the write is resolved like any other without an outcome.
        """

        async def record_in_time() -> bool:
            try:
                async with asyncio.timeout(self._lease_s):
                    return await self._record(account, record, lower=False)
            except TimeoutError:
                return False

        self._start(record.intent.id, record_in_time())

    def _start(self, write_id: str, work: Coroutine[Any, Any, bool]) -> "asyncio.Task[bool]":
        task = asyncio.get_running_loop().create_task(work)
        self._kept[write_id] = task
        task.add_done_callback(lambda _task: self._kept.pop(write_id, None))
        return task

    async def finish(self) -> None:
        """Wait until the journal has taken every kept outcome, however long that takes."""
        while self._kept:
            await asyncio.wait(list(self._kept.values()))

    async def drain(self) -> None:
        """Wait a while for the journal to take the kept outcomes; log those it does not take."""
        kept = dict(self._kept)
        if kept:
            await asyncio.wait(kept.values(), timeout=DRAIN_S)
        for write_id, task in kept.items():
            if not task.done():
                logger.error("write.outcome_lost", extra={"write_id": write_id})
        unfinished = [*self._kept.values(), *self._attempts]
        for each in unfinished:
            each.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

    async def _record(self, account: Account, record: WriteRecord, *, lower: bool) -> bool:
        if not await self._finish(account, record):
            return False
        if record.outcome is WriteOutcome.APPLIED:
            await self._reconciler.supersede(record)
        elif record.outcome is WriteOutcome.UNCERTAIN:
            self._reconciler.add(record)
        if lower:
            await self._fence.end_write(account, record.intent.id)
        return True

    async def _finish(self, account: Account, record: WriteRecord) -> bool:
        """Try until the journal takes the outcome; False when it does not know the write."""
        extra = {"write_id": record.intent.id, "outcome": record.outcome.value}
        wait_s, failures = RETRY_FROM_S, 0
        while True:
            try:
                await self._try_once(account, record, again=failures > 0)
            except WriteNotBegun:
                logger.warning("write.outcome_without_start", extra=extra)
                return False
            except Exception as error:
                failures += 1
                if failures == 1:
                    logger.exception("write.outcome_not_recorded", extra=extra)
                else:
                    logger.info(
                        "write.outcome_refused", extra={**extra, "kind": type(error).__name__}
                    )
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_TO_S)
                continue
            if failures:
                logger.info("write.outcome_recorded", extra={**extra, "failures": failures})
            return True

    async def _try_once(self, account: Account, record: WriteRecord, *, again: bool) -> None:
        attempt = asyncio.get_running_loop().create_task(
            self._finish_fenced(account, record) if again else self._journal.finish(record)
        )
        self._attempts.add(attempt)
        attempt.add_done_callback(self._attempts.discard)
        done, _ = await asyncio.wait({attempt}, timeout=ATTEMPT_S)
        if not done:
            # Not awaited: a driver's cancellation can wait for the server too.
            attempt.cancel()
            raise TimeoutError
        attempt.result()

    async def _finish_fenced(self, account: Account, record: WriteRecord) -> None:
        """Record the outcome under a fence of its own, because the write's may have expired."""
        if record.outcome is not WriteOutcome.APPLIED:
            await self._journal.finish(record)
            return
        # A recorded opening balance changes with it: a cached one must not outlive it.
        fence_id = f"{record.intent.id}:recorded"
        await self._fence.begin_write(account, fence_id)
        try:
            await self._journal.finish(record)
        finally:
            await self._fence.end_write(account, fence_id)
