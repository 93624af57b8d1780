"""The gate that every HTTP exchange with a provider passes: breaker, budget, calls in flight.

One gate a connector, so that a slow or failing provider holds back nobody else's calls.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar

from balance_gateway.domain.calls import Call
from balance_gateway.domain.errors import ProviderUnavailable
from balance_gateway.pipeline.breaker import Breaker
from balance_gateway.pipeline.budget import Budget
from balance_gateway.pipeline.priority import Urgency, patience_s, urgency

#: Refreshes ahead of expiry may hold this part of the places.
_BACKGROUND_PART = 4

_entered: ContextVar[int | None] = ContextVar("entered", default=None)


class ConnectorGate:
    """The gate of one connector; a ``domain.calls.Gate``.

    Args:
        breaker: asked first, and told of every outcome.
        budget: asked next; waits, or refuses when the wait is longer than the caller's patience.
        in_flight_max: calls under way at once.
    """

    def __init__(self, breaker: Breaker, budget: Budget, in_flight_max: int) -> None:
        self.breaker = breaker
        self.budget = budget
        self._places = asyncio.Semaphore(in_flight_max)
        self._background = asyncio.Semaphore(max(1, in_flight_max // _BACKGROUND_PART))

    def slot(self, *, write: bool) -> AbstractAsyncContextManager[None]:
        """A place for one exchange.

        Raises, on entering:
            ProviderUnavailable: the breaker is open, or no place came free in time.
            ProviderRateLimited: the budget is spent for longer than the caller can wait.
        """
        return self._slot(write=write)

    @asynccontextmanager
    async def _slot(self, *, write: bool) -> AsyncIterator[None]:
        generation = self.breaker.enter()
        token = _entered.set(generation)
        try:
            await self.budget.take()
            async with self._place(background=not write and urgency.get() is Urgency.BACKGROUND):
                yield
        finally:
            _entered.reset(token)
            # An exchange that was made has told its outcome by now; then this changes nothing.
            self.breaker.leave(generation, healthy=None)

    @asynccontextmanager
    async def _place(self, *, background: bool) -> AsyncIterator[None]:
        if background:
            async with self._background, self._places:
                yield
            return
        try:
            async with asyncio.timeout(max(patience_s.get(), 1.0)):
                await self._places.acquire()
        except TimeoutError:
            raise ProviderUnavailable("Too many calls to the provider are under way.") from None
        try:
            yield
        finally:
            self._places.release()

    def observe(self, call: Call) -> None:
        """Takes in the outcome of the exchange that the current task holds a place for."""
        self.budget.observe(call.status, call.headers)
        generation = _entered.get()
        if generation is not None:
            self.breaker.leave(generation, healthy=_healthy(call))


def _healthy(call: Call) -> bool | None:
    """What an exchange says of the provider's health; None: nothing."""
    if call.outcome == "cancelled":
        return None
    if call.status is None:
        return False
    if call.status == 429:
        return None
    return call.status < 500
