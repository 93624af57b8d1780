"""Single flight: equal reads in the air are one upstream call."""

import asyncio
from collections.abc import Hashable
from typing import Any, Generic, NamedTuple, TypeVar

from balance_gateway.ports.call_context import (
    PriorityBoost,
)

T = TypeVar("T")


class InFlight(NamedTuple, Generic[T]):
    """A flight that can be joined.

    Attributes:
        flight: lands with the answer.
        started_s: when, in seconds since 1970: what it brings is as old as that.
        hurry: of one that nobody waits for yet; None: somebody does.
    """

    flight: "asyncio.Future[T]"
    started_s: float
    hurry: PriorityBoost | None


class SingleFlight(Generic[T]):
    """The reads that are in the air in this process, by what makes them equal.

    A flight belongs to nobody: it goes on when the reader that started it goes away, and each
    reader that joined waits for it under a deadline of its own.
    """

    def __init__(self) -> None:
        self._in_air: dict[Hashable, InFlight[T]] = {}
        self._crews: set[asyncio.Task[Any]] = set()

    def in_flight(self, key: Hashable) -> InFlight[T] | None:
        """The flight with this key that is in the air; None when there is none."""
        return self._in_air.get(key)

    def open(
        self, key: Hashable | None, started_s: float, hurry: PriorityBoost | None = None
    ) -> "asyncio.Future[T]":
        """A new flight. With None as its key nobody can join it."""
        flight: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if key is not None:
            self._in_air[key] = InFlight(flight, started_s, hurry)
            flight.add_done_callback(lambda _: self._forget(key, flight))
        return flight

    def _forget(self, key: Hashable, flight: "asyncio.Future[T]") -> None:
        in_air = self._in_air.get(key)
        if in_air is not None and in_air.flight is flight:
            del self._in_air[key]

    def run(self, crew: Any) -> None:
        """Runs the coroutine that will land flights, whatever becomes of its starter."""
        task = asyncio.get_running_loop().create_task(crew)
        self._crews.add(task)
        task.add_done_callback(self._crews.discard)

    def __len__(self) -> int:
        return len(self._in_air)

    async def aclose(self) -> None:
        """Cancels what is still in the air."""
        crews = list(self._crews)
        for crew in crews:
            crew.cancel()
        await asyncio.gather(*crews, return_exceptions=True)
