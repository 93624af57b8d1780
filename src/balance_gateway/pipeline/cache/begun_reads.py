"""Begin the upstream calls of a request together: without a task where nothing must be waited for.

The calls share one context and one reading of the clock, and no call has a timer of its own: a
connection ends its exchange in time. A call whose end is unusual continues in a task.
"""

import asyncio
import contextvars
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from balance_gateway.domain.balances import BalanceFigures
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.pipeline.cache.cache_entry_rules import PendingRead, ReadResult
from balance_gateway.pipeline.cache.read_through import FirstAttempt, ReadThrough, complete
from balance_gateway.pipeline.cache.result_keeping import ResultKeeper
from balance_gateway.pipeline.cache.single_flight import SingleFlight
from balance_gateway.ports.begun_balances import BalanceBeginner, BegunBalance
from balance_gateway.ports.call_context import account_ids
from balance_gateway.ports.evidence import current_evidence
from balance_gateway.ports.reads import FreshnessState, Observed

logger = logging.getLogger(__name__)

#: How many calls of one request are begun in a turn of the event loop: others have their turns too.
CALLS_PER_TURN = 16


class CallGroup(NamedTuple):
    """Reads that one upstream call answers.

    Attributes:
        reads: the reads.
        max_wait_s: how long the call may wait for a rate limit, in seconds.
    """

    reads: Sequence[PendingRead]
    max_wait_s: float


class CallBeginner:
    """Begins the upstream calls of requests.

    Args:
        read_through: makes the calls that need a task.
        beginners: the providers that begin balance reads without one, by connector name.
        keeper: stores the results.
        single_flight: keeps the running calls.
        clock: returns the current time.
        deadline_s: for all attempts of one upstream read together.
    """

    def __init__(
        self,
        *,
        read_through: ReadThrough,
        beginners: Mapping[str, BalanceBeginner],
        keeper: ResultKeeper,
        single_flight: SingleFlight[ReadResult],
        clock: Clock,
        deadline_s: float,
    ) -> None:
        self.read_through = read_through
        self.keeper = keeper
        self.single_flight = single_flight
        self.deadline_s = deadline_s
        self._beginners = beginners
        self._clock = clock

    def begin(self, groups: Sequence[CallGroup]) -> None:
        """Begin the calls, not too many in one turn of the event loop."""
        loop = asyncio.get_running_loop()
        for first in range(0, len(groups), CALLS_PER_TURN):
            batch, turn = groups[first : first + CALLS_PER_TURN], first // CALLS_PER_TURN
            # A context of its own: setting the calls' limits must not change the request's.
            loop.call_soon(self._begin_later, batch, turn, context=contextvars.copy_context())

    def _begin_later(self, batch: Sequence[CallGroup], turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._begin_later, batch, turns - 1)
            return
        context = contextvars.copy_context()
        started_at = self._clock()
        set_for: tuple[str, float] | None = None
        for group in batch:
            account = group.reads[0].read.account
            # The limits of the calls: in most requests the same for all of them.
            if set_for != (account.tenant, group.max_wait_s):
                set_for = account.tenant, group.max_wait_s
                self.read_through.set_call_context(account, group.max_wait_s)
                context = contextvars.copy_context()
            if not self._try_begin(group, context, started_at):
                self.single_flight.spawn(
                    self.read_through.run(group.reads, max_wait_s=group.max_wait_s)
                )

    def _try_begin(
        self, group: CallGroup, context: contextvars.Context, started_at: datetime
    ) -> bool:
        read = group.reads[0].read
        beginner = self._beginners.get(read.account.connector)
        if beginner is None or read.query is None or current_evidence() is not None:
            return False
        call = _BegunCall(self, beginner, group, context, started_at)
        try:
            call.begun = beginner.begin_balance(read.query, self.deadline_s, call.end)
        except Exception:
            logger.exception("provider.defect", extra={"connector": read.account.connector})
            return False
        if call.begun is None:
            return False
        self.single_flight.add(call)
        return True


class _BegunCall:
    """One call without a task; a ``RunningCall``."""

    __slots__ = ("_beginner", "_context", "_group", "_owner", "_started_at", "begun")

    def __init__(
        self,
        owner: CallBeginner,
        beginner: BalanceBeginner,
        group: CallGroup,
        context: contextvars.Context,
        started_at: datetime,
    ) -> None:
        self._owner = owner
        self._beginner = beginner
        self._group = group
        self._context = context
        self._started_at = started_at
        self.begun: BegunBalance | None = None

    @property
    def futures(self) -> Sequence["asyncio.Future[ReadResult]"]:
        """The futures that receive the results."""
        return [pending.future for pending in self._group.reads]

    def cancel(self) -> None:
        """End the call; its readers receive an error."""
        if self.begun is not None:
            self._context.run(self.begun.cancel)
        complete(self._group.reads, [])

    def end(self, begun: BegunBalance) -> None:
        """Give the readers their results; called in the turn in which the response arrived."""
        self.begun = begun
        # Callbacks of a connection run in the context of whoever opened it.
        self._context.run(self._end, begun)

    def _end(self, begun: BegunBalance) -> None:
        reads = self._group.reads
        account_ids.set(tuple([pending.read.account.id for pending in reads]))
        self._owner.single_flight.remove(self)
        query = reads[0].read.query
        assert query is not None
        figures: BalanceFigures | None = None
        try:
            figures = self._beginner.take_balance(query, begun)
        except Exception:
            connector = reads[0].read.account.connector
            logger.exception("provider.defect", extra={"connector": connector})
            if begun.is_over:
                complete(self._group.reads, [])
                return
        owner = self._owner
        if figures is None:
            first = FirstAttempt(self._beginner, begun, self._started_at)
            owner.single_flight.spawn(owner.read_through.continue_call(reads, first))
            return
        results = [Observed(figures, self._started_at, FreshnessState.LIVE)] * len(reads)
        marks = owner.keeper.store_at_once(reads, results)
        if marks is None:
            owner.single_flight.spawn(owner.read_through.keep(reads, results))
        else:
            complete(reads, owner.keeper.finish(reads, results, marks))
