"""The gate that every HTTP exchange with a provider passes: breaker, budget, calls in flight.

One gate a connector, so that a slow or failing provider holds back nobody else's calls.
"""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from balance_gateway.domain.errors import CircuitOpen, GatewayError
from balance_gateway.pipeline.calls.circuit_breaker import CircuitBreaker
from balance_gateway.pipeline.calls.rate_limiter import RateLimiter
from balance_gateway.ports.call_context import (
    Priority,
    current_call,
    enter_breaker_generation,
    leave_breaker_generation,
)
from balance_gateway.ports.provider_call import (
    ProviderCall,
)

logger = logging.getLogger(__name__)

#: Refreshes ahead of expiry may hold this part of the places.
_BACKGROUND_PART = 4


class ConnectorGate:
    """The gate of one connector; a ``ports.provider_call.Gate``.

    Args:
        connector: its name.
        breaker: asked first, and told of every outcome.
        budget: asked last; waits, or refuses when the wait is longer than the caller's patience.
        in_flight_max: calls under way at once.
    """

    def __init__(
        self, connector: str, breaker: CircuitBreaker, budget: RateLimiter, in_flight_max: int
    ) -> None:
        self.connector = connector
        self.breaker = breaker
        self.budget = budget
        self._places = asyncio.Semaphore(in_flight_max)
        self._background = asyncio.Semaphore(max(1, in_flight_max // _BACKGROUND_PART))

    def slot(self, *, write: bool) -> AbstractAsyncContextManager[None]:
        """A place for one exchange.

        Raises, on entering:
            ProviderPaused: the breaker is open, or no place came free in time.
            BudgetSpent: the budget is spent for longer than the caller can wait.
        """
        return _Slot(self, background=not write and current_call().priority is Priority.BACKGROUND)

    async def acquire(self, *, background: bool) -> bool:
        """Waits for a place among the calls in flight; ``give_place`` ends what it began.

        Returns:
            Whether it is one of the background's, as ``give_place`` wants to know.
        """
        if not background:
            await self._wait_for_place()
            return False
        if not await self._background_turn():
            await self._wait_for_place()
            return False
        try:
            await self._places.acquire()
        except BaseException:
            self._background.release()
            raise
        return True

    async def _wait_for_place(self) -> None:
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(max(current_call().max_wait_s, 1.0)):
                await self._places.acquire()
        except TimeoutError:
            raise CircuitOpen("Too many calls to the provider are under way.") from None

    async def _background_turn(self) -> bool:
        """Waits for one of the background's turns; False: somebody has come to wait, go at once."""
        hurrying = current_call().boost
        if hurrying is None or not self._background.locked():
            await self._background.acquire()
            return True
        turn = asyncio.ensure_future(self._background.acquire())
        called = asyncio.ensure_future(hurrying.requested.wait())
        try:
            await asyncio.wait((turn, called), return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            if turn.done():
                self._background.release()
            raise
        finally:
            called.cancel()
            turn.cancel()
        if turn.done():
            return True
        hurrying.apply()
        return False

    def release(self, *, background: bool) -> None:
        """Gives a place back."""
        self._places.release()
        if background:
            self._background.release()

    async def count_resend(self) -> None:
        """Counts a second sending in the place that is held.

        Raises:
            BudgetSpent: the budget has none left for it.
        """
        await self.budget.take()

    def observe(self, call: ProviderCall) -> None:
        """Takes in the outcome of the exchange that the current task holds a place for."""
        self.budget.observe(call.status, call.headers)
        generation = current_call().breaker_generation
        if generation is None:
            return
        was_closed = self.breaker.is_closed
        self.breaker.leave(generation, healthy=_healthy(call))
        if was_closed and not self.breaker.is_closed:
            logger.warning("breaker.opened", extra={"connector": self.connector})
        elif self.breaker.is_closed and not was_closed:
            logger.info("breaker.closed", extra={"connector": self.connector})


class _Slot:
    """A place for one exchange; a class, since a generator costs more on every call."""

    __slots__ = ("_background", "_gate", "_generation", "_outer", "_taken_s")

    def __init__(self, gate: ConnectorGate, *, background: bool) -> None:
        self._gate = gate
        self._background = background

    async def __aenter__(self) -> None:
        try:
            await self._enter()
        except GatewayError as error:
            facts = {"connector": self._gate.connector, "code": error.code}
            logger.debug("provider.held_back", extra={**facts, "reason": error.message})
            raise

    async def _enter(self) -> None:
        gate = self._gate
        self._generation = gate.breaker.enter()
        self._outer = enter_breaker_generation(self._generation)
        try:
            self._background = await gate.acquire(background=self._background)
            try:
                gate.breaker.confirm(self._generation)
                # Last, so that a call leaves as soon as it has been counted.
                self._taken_s = await gate.budget.take()
                gate.breaker.confirm(self._generation)
            except BaseException:
                gate.release(background=self._background)
                raise
        except BaseException:
            self._leave()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._gate.budget.ended(self._taken_s)
        self._gate.release(background=self._background)
        self._leave()

    def _leave(self) -> None:
        leave_breaker_generation(self._outer)
        # An exchange that was made has told its outcome by now; then this changes nothing.
        self._gate.breaker.leave(self._generation, healthy=None)


def _healthy(call: ProviderCall) -> bool | None:
    """What an exchange says of the provider's health; None: nothing."""
    if call.outcome == "cancelled":
        return None
    if call.status is None:
        return False
    if call.status == 429:
        return None
    return call.status < 500
