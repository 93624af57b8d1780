"""Carries plans out in the background: one process at a time, and another when that one ends.

The process that carries a plan out owns it for a short time and renews that. Ownership saves work
and does not protect writes: a process that lost it and goes on sends nothing twice either.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import GatewayError
from balance_gateway.domain.opening_balance_plans import Plan, PlanState
from balance_gateway.ports.call_context import Priority, caller_name, set_call_context
from balance_gateway.ports.plan_store import PlanStore
from balance_gateway.service.opening_balance_plans.applying import PlanApplier
from balance_gateway.service.opening_balance_plans.reading import PlanReader

logger = logging.getLogger(__name__)

#: How long a process owns a plan, in seconds, unless it renews that.
OWNERSHIP_S = 30.0
_RENEW_S = OWNERSHIP_S / 3

#: Number of plans that one process carries out at the same time. They mostly wait for providers,
#: and a few long ones must not keep those of other companies waiting.
_PLANS_AT_ONCE = 50


class PlanRunner:
    """Finds plans under way that no process owns, and carries them out.

    Args:
        store: stores the plans.
        reader: reads what is set now.
        applier: applies rows.
        clock: returns the current instant, the same for all processes.
        owner: the name of this process, different from that of every other.
    """

    def __init__(
        self, store: PlanStore, reader: PlanReader, applier: PlanApplier, clock: Clock, owner: str
    ) -> None:
        self._store = store
        self._reader = reader
        self._applier = applier
        self._clock = clock
        self._owner = owner
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look for plans at once instead of after the interval."""
        self._woken.set()

    async def run(self, interval_s: float) -> None:
        """Carry out plans until the task is cancelled; its plans are then released."""
        try:
            while True:
                self._woken.clear()
                try:
                    await self.start_plans()
                except Exception:
                    logger.exception("plan.not_started")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(interval_s):
                        await self._woken.wait()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def start_plans(self) -> Sequence[asyncio.Task[None]]:
        """Take over free plans, and return the tasks that carry them out."""
        free = _PLANS_AT_ONCE - len(self._tasks)
        if free <= 0:
            return []
        now = self._clock()
        until = now + timedelta(seconds=OWNERSHIP_S)
        started = []
        for plan in await self._store.claim(self._owner, now, until, free):
            task = asyncio.get_running_loop().create_task(self._carry_out(plan))
            self._tasks[plan.id] = task
            task.add_done_callback(partial(self._forget, plan.id))
            started.append(task)
        return started

    def _forget(self, plan_id: str, _task: object) -> None:
        del self._tasks[plan_id]
        # There may be a plan that had to wait for this one.
        self._woken.set()

    async def _carry_out(self, plan: Plan) -> None:
        work = asyncio.get_running_loop().create_task(self._work(plan))
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=_RENEW_S)
                if work.done() or await self._renew(plan):
                    continue
                if not work.done():
                    logger.warning("plan.lost", extra={"plan_id": plan.id})
                    return
            await work
        except Exception:
            # Owned a little longer, so that a failure that lasts is not met all the time.
            logger.exception("plan.failed", extra={"plan_id": plan.id})
        except asyncio.CancelledError:
            await _end(work)
            with contextlib.suppress(GatewayError):
                await self._store.release(plan.id, self._owner)
            raise
        finally:
            await _end(work)

    async def _renew(self, plan: Plan) -> bool:
        until = self._clock() + timedelta(seconds=OWNERSHIP_S)
        try:
            return await self._store.renew(plan.id, self._owner, until)
        except GatewayError:
            # The work notices as well if the storage stays away.
            return True

    async def _work(self, plan: Plan) -> None:
        # In a task of its own, so that this ends with it.
        set_call_context(priority=Priority.BACKGROUND, tenant=plan.tenant)
        caller_name.set(plan.applied_by or plan.made_by)
        if plan.state is PlanState.READING:
            await self._reader.read(plan)
        else:
            await self._applier.apply(plan)


async def _end(work: asyncio.Task[None]) -> None:
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
