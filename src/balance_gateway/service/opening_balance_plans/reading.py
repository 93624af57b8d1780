"""Reads what is set now at the accounts of a plan, and makes the plan READY."""

import asyncio
import logging
from collections.abc import Sequence

from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import AccountNotFound, ErrorCode, GatewayError, Internal
from balance_gateway.domain.opening_balance_plans import Plan, PlanRow, RowOutcome
from balance_gateway.ports.plan_store import PlanStore
from balance_gateway.ports.reads import Observed, ReadPipeline
from balance_gateway.service.directory import Directory
from balance_gateway.service.opening_balance_plans.content import (
    ContentHash,
    SummaryBuilder,
    iterate_rows,
)
from balance_gateway.service.opening_balance_plans.previous import find_failure, with_previous

logger = logging.getLogger(__name__)

#: Number of accounts that are read at once: each batch is a query, and a transaction with a sync.
_BATCH_ROWS = 100

#: Rounds in a row in which no account could be read, until those that are left count as failed.
_FRUITLESS_ROUNDS_MAX = 6

_WAIT_MAX_S = 60.0


class PlanReader:
    """Reads through the ordinary read service, within the budgets of the providers.

    A read that can succeed later is tried again, in rounds: while a budget is spent until the plan
    expires, after other failures a few times. The account then counts as unknown.

    Args:
        directory: looks up accounts.
        reads: the read service.
        store: stores the plans.
        clock: returns the current instant.
    """

    def __init__(
        self, directory: Directory, reads: ReadPipeline, store: PlanStore, clock: Clock
    ) -> None:
        self._directory = directory
        self._reads = reads
        self._store = store
        self._clock = clock

    async def read(self, plan: Plan) -> None:
        """Read the accounts of a READING plan, those that were read before excepted.

        Raises:
            JournalUnavailable: the storage is unavailable; another call continues.
        """
        fruitless = 0
        is_last = False
        while True:
            is_fruitful, wait_s, only_budget = await self._read_round(plan, is_last=is_last)
            if wait_s is None:
                break
            fruitless = 0 if is_fruitful or only_budget else fruitless + 1
            is_last = fruitless >= _FRUITLESS_ROUNDS_MAX or self._clock() >= plan.expires_at
            if not is_last:
                await asyncio.sleep(min(max(wait_s, 2.0**fruitless), _WAIT_MAX_S))
        await self._finish(plan)

    async def _read_round(self, plan: Plan, *, is_last: bool) -> tuple[bool, float | None, bool]:
        """Read each account once that was not read yet.

        Returns:
            Whether one was read, the seconds until the others can be tried again (None when none
            is left), and whether only spent budgets were in the way.
        """
        is_fruitful, only_budget = False, True
        wait_s: float | None = None
        after_line: int | None = None
        while rows := await self._store.page_rows(
            plan.id,
            _BATCH_ROWS,
            outcomes={RowOutcome.PENDING},
            is_unread=True,
            after_line=after_line,
        ):
            after_line = rows[-1].line
            results = await self._read_rows(plan, rows)
            read: list[PlanRow] = []
            for row, result in zip(rows, results, strict=True):
                failure = find_failure(result)
                if failure is None or not failure[2] or is_last:
                    read.append(with_previous(row, result, self._clock()))
                    continue
                only_budget = only_budget and failure[0] is ErrorCode.PROVIDER_RATE_LIMITED
                wait_s = max(wait_s or 0.0, failure[3] or 1.0)
            await self._store.record_previous(plan.id, read)
            is_fruitful = is_fruitful or bool(read)
        return is_fruitful, wait_s, only_budget

    async def _read_rows(
        self, plan: Plan, rows: Sequence[PlanRow]
    ) -> Sequence[Observed[OpeningBalance | None] | GatewayError]:
        found = [self._directory.find_account(plan.tenant, row.account_id) for row in rows]
        accounts = [account for account in found if account is not None]
        try:
            results = iter(await self._reads.opening_balances(accounts) if accounts else ())
        except Exception:
            logger.exception("plan.read_failed", extra={"plan_id": plan.id})
            return [Internal("The opening balance could not be read.") for _ in rows]
        return [
            AccountNotFound(row.account_id) if account is None else next(results)
            for row, account in zip(rows, found, strict=True)
        ]

    async def _finish(self, plan: Plan) -> None:
        content, summary = ContentHash(plan), SummaryBuilder(self._directory, plan.tenant)
        async for row in iterate_rows(self._store, plan):
            content.add(row)
            summary.add(row)
        await self._store.finish_reading(plan, content.compute(), summary.build(), self._clock())
        logger.info("plan.ready", extra={"plan_id": plan.id, "rows": plan.row_count})
