"""A semaphore with turns by caller, so that a long queue of one delays no other."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable


class FairSlots:
    """A number of slots, which callers with waiting calls receive in rotation.

    Args:
        count: The number of slots.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()

    def locked(self) -> bool:
        """Return whether ``acquire`` would wait."""
        return self._free == 0

    def try_acquire(self) -> bool:
        """Take a slot and return True; return False if all are taken."""
        # A free slot means that no call waits.
        if not self._free:
            return False
        self._free -= 1
        return True

    async def acquire(self, caller: Hashable) -> None:
        """Wait for a slot; ``release`` frees it."""
        if self.try_acquire():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(future)
        try:
            await future
        except asyncio.CancelledError:
            # The slot may have been given in the same loop iteration as the cancellation.
            if future.done() and not future.cancelled():
                self.release()
            else:
                self._forget(caller, future)
            raise

    def release(self) -> None:
        """Give the slot to the next caller that waits, or free it."""
        while self._waiting:
            caller, calls = next(iter(self._waiting.items()))
            future = calls.popleft()
            self._waiting.move_to_end(caller)
            if not calls:
                del self._waiting[caller]
            if not future.done():
                future.set_result(None)
                return
        self._free += 1

    def _forget(self, caller: Hashable, future: "asyncio.Future[None]") -> None:
        calls = self._waiting.get(caller)
        if calls is not None and future in calls:
            calls.remove(future)
            if not calls:
                del self._waiting[caller]
