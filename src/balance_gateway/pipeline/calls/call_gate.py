"""Admits HTTP exchanges with one provider: circuit breaker, concurrency limit, rate limit.

A call that waits for the rate limit holds no slot, and reads leave some slots to writes.

Every connector has its own gate, so a slow or failing provider delays no calls to another one.
"""

import asyncio
import logging
from collections.abc import Hashable
from types import TracebackType

from balance_gateway.domain.errors import CircuitOpen, GatewayError
from balance_gateway.pipeline.calls.circuit_breaker import CircuitBreaker
from balance_gateway.pipeline.calls.fair_slots import FairSlots
from balance_gateway.pipeline.calls.rate_limiter import RateLimiter
from balance_gateway.ports.call_context import Priority, breaker_generation, current_call
from balance_gateway.ports.provider_call import ProviderCall

logger = logging.getLogger(__name__)

#: Background refreshes may hold one slot in so many.
_SLOTS_PER_BACKGROUND_SLOT = 4

#: Reads leave one slot in so many to writes, and at least one of two.
_SLOTS_PER_WRITE_SLOT = 8

#: The shortest wait for a free slot, in seconds, even for a caller with less time.
_SLOT_WAIT_MIN_S = 0.5


class ConnectorGate:
    """The gate of one connector; a ``ports.provider_call.CallGate``.

    Args:
        connector: Name of the connector.
        breaker: Checked first; receives the outcome of every exchange.
        rate_limiter: Checked last; waits, or refuses when the wait exceeds the caller's
            ``max_wait_s``.
        in_flight_max: Largest number of concurrent exchanges.
    """

    def __init__(
        self, connector: str, breaker: CircuitBreaker, rate_limiter: RateLimiter, in_flight_max: int
    ) -> None:
        self.connector = connector
        self.breaker = breaker
        self.rate_limiter = rate_limiter
        self._slots = FairSlots(in_flight_max)
        write_slots = max(1, in_flight_max // _SLOTS_PER_WRITE_SLOT)
        self._read_slots = FairSlots(max(1, in_flight_max - write_slots))
        self._background_slots = asyncio.Semaphore(
            max(1, in_flight_max // _SLOTS_PER_BACKGROUND_SLOT)
        )

    def slot(self, *, write: bool) -> "CallSlot":
        """Return a context manager that holds a slot for one exchange.

        Raises:
            CircuitOpen: On entering: the breaker is open, or no slot became free in time.
            BudgetSpent: On entering: the rate limit is exhausted for longer than the caller may
                wait.
        """
        priority = Priority.WRITE if write else current_call().priority
        return CallSlot(self, priority)

    def try_enter(self) -> "CallSlot | None":
        """Enter a slot for a read that is waited for; None if it must wait, or is refused."""
        if not self.breaker.is_closed or not self.try_acquire(Priority.FOREGROUND):
            return None
        # Last, so that a call is sent as soon as it has been counted.
        if not self.rate_limiter.try_acquire_now():
            self.release(Priority.FOREGROUND)
            return None
        slot = CallSlot(self, Priority.FOREGROUND)
        slot.enter_held()
        return slot

    def try_acquire(self, priority: Priority) -> bool:
        """Take a slot without waiting and return True; False if the call has to wait for one."""
        if priority is Priority.WRITE:
            return self._slots.try_acquire()
        if priority is Priority.BACKGROUND or not self._read_slots.try_acquire():
            return False
        if self._slots.try_acquire():
            return True
        self._read_slots.release()
        return False

    async def acquire(self, priority: Priority) -> Priority:
        """Wait for a free slot; ``release`` frees it.

        Returns:
            The priority with which ``release`` must be called: FOREGROUND for a background call
            that was boosted while it waited.
        """
        if priority is Priority.WRITE:
            await self._wait_for(self._slots, caller=Priority.WRITE)
            return priority
        if priority is Priority.BACKGROUND and not await self._acquire_background_slot():
            priority = Priority.FOREGROUND
        waits_always = priority is Priority.BACKGROUND
        try:
            await self._acquire_read_slot(waits_always=waits_always)
        except BaseException:
            if priority is Priority.BACKGROUND:
                self._background_slots.release()
            raise
        return priority

    async def _acquire_read_slot(self, *, waits_always: bool) -> None:
        call = current_call()
        caller = (call.tenant, call.caller)
        await self._wait_for(self._read_slots, caller, waits_always=waits_always)
        try:
            await self._wait_for(self._slots, caller, waits_always=waits_always)
        except BaseException:
            self._read_slots.release()
            raise

    async def _wait_for(
        self, slots: FairSlots, caller: Hashable, *, waits_always: bool = False
    ) -> None:
        # The usual case costs no timer.
        if waits_always or not slots.locked():
            await slots.acquire(caller)
            return
        try:
            async with asyncio.timeout(max(current_call().max_wait_s, _SLOT_WAIT_MIN_S)):
                await slots.acquire(caller)
        except TimeoutError:
            raise CircuitOpen("Too many calls to the provider are in progress.") from None

    async def _acquire_background_slot(self) -> bool:
        """Wait for a background slot; return False when the call is boosted first."""
        boost = current_call().boost
        if boost is None or not self._background_slots.locked():
            await self._background_slots.acquire()
            return True
        acquired = asyncio.ensure_future(self._background_slots.acquire())
        boosted = asyncio.ensure_future(boost.requested.wait())
        try:
            await asyncio.wait((acquired, boosted), return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            # The slot may have been acquired in the same loop iteration as the cancellation.
            if acquired.done():
                self._background_slots.release()
            raise
        finally:
            boosted.cancel()
            acquired.cancel()
        if acquired.done():
            return True
        boost.apply()
        return False

    def release(self, priority: Priority) -> None:
        """Free a slot that ``acquire`` returned."""
        self._slots.release()
        if priority is not Priority.WRITE:
            self._read_slots.release()
        if priority is Priority.BACKGROUND:
            self._background_slots.release()

    async def count_resend(self) -> None:
        """Count a request that is sent again within a slot against the rate limit.

        Raises:
            BudgetSpent: The rate limit leaves no call for it now.
        """
        # Without waiting: whoever waits for the rate limit must hold no slot.
        if (wait_s := await self.rate_limiter.try_acquire()) > 0:
            await self.rate_limiter.wait(wait_s, give_up_s=0.0)

    def observe(self, call: ProviderCall) -> None:
        """Record the outcome of an exchange; only one made inside a slot reaches the breaker."""
        is_optional = current_call().is_optional
        # A token endpoint's limits are its own: the authorization follows them.
        if not call.is_token_request and not (is_optional and call.status == 503):
            self.rate_limiter.observe(call.status, call.headers)
        generation = breaker_generation.get()
        if generation is None:
            return
        was_closed = self.breaker.is_closed
        healthy = _assess_health(call)
        # One endpoint may fail alone, and the calls that read figures go to others.
        if is_optional and healthy is False:
            healthy = None
        self.breaker.record_outcome(generation, healthy=healthy)
        if was_closed and not self.breaker.is_closed:
            logger.warning("breaker.opened", extra={"connector": self.connector})
        elif self.breaker.is_closed and not was_closed:
            logger.info("breaker.closed", extra={"connector": self.connector})


# A class, because a generator-based context manager costs more on every call.
class CallSlot:
    """Holds a slot for one exchange; a ``ports.provider_call.CallSlot``."""

    __slots__ = ("_acquired_s", "_gate", "_generation", "_is_held", "_outer", "_priority")

    def __init__(self, gate: ConnectorGate, priority: Priority) -> None:
        self._gate = gate
        self._priority = priority
        self._is_held = False

    def enter_held(self) -> None:
        """Enter with a place and a call of the budget that the gate has taken already."""
        self._generation = self._gate.breaker.enter()
        self._acquired_s = self._gate.rate_limiter.now_s()
        self._is_held = True

    def mark_context(self) -> None:
        """Let the exchange's outcome reach the breaker from the current context."""
        self._outer = breaker_generation.get()
        breaker_generation.set(self._generation)

    async def __aenter__(self) -> None:
        if self._is_held:
            self.mark_context()
            return
        try:
            await self._enter()
        except GatewayError as error:
            facts = {"connector": self._gate.connector, "code": error.code}
            logger.debug("provider.held_back", extra={**facts, "reason": error.message})
            raise

    async def _enter(self) -> None:
        gate = self._gate
        self._generation = gate.breaker.enter()
        self.mark_context()
        try:
            give_up_s = gate.rate_limiter.compute_give_up_s()
            while (wait_s := await self._try_enter()) > 0:
                await gate.rate_limiter.wait(wait_s, give_up_s)
        except BaseException:
            self._leave()
            raise

    async def _try_enter(self) -> float:
        """Take a slot and count the call; else hold no slot, and return the seconds to wait."""
        gate = self._gate
        is_admitted = False
        # The usual case costs no coroutine.
        if not gate.try_acquire(self._priority):
            self._priority = await gate.acquire(self._priority)
        try:
            gate.breaker.recheck(self._generation)
            # Last, so that a call is sent as soon as it has been counted.
            wait_s = await gate.rate_limiter.try_acquire()
            gate.breaker.recheck(self._generation)
            is_admitted = wait_s == 0.0
        finally:
            if not is_admitted:
                gate.release(self._priority)
        self._acquired_s = gate.rate_limiter.now_s()
        return wait_s

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Free the slot, in a context that is marked."""
        self._gate.rate_limiter.record_end(self._acquired_s)
        self._gate.release(self._priority)
        self._leave()

    def _leave(self) -> None:
        # Not by a token, which only the context that was entered accepts.
        breaker_generation.set(self._outer)
        # Ends a probe that made no exchange; after a recorded outcome this has no effect.
        self._gate.breaker.record_outcome(self._generation, healthy=None)


def _assess_health(call: ProviderCall) -> bool | None:
    """Return whether the exchange shows a healthy provider; None when it shows nothing."""
    if call.outcome == "cancelled":
        return None
    if call.status is None:
        return False
    # An exhausted rate limit shows nothing about the provider's health.
    if call.status == 429:
        return None
    return call.status < 500
