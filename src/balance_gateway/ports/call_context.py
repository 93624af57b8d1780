"""How urgent the call is that is being made: it travels with the task, not through every signature.

A read that somebody waits for goes before one that refreshes a value ahead of its expiry; and a
read that has an older value to fall back on need not wait for a spent budget at all.
"""

import asyncio
import enum
from contextvars import ContextVar
from dataclasses import dataclass, field


class Priority(enum.IntEnum):
    """Who goes first; smaller is sooner."""

    FOREGROUND = 0
    BACKGROUND = 1


#: Of the calls made by the current task.
urgency: ContextVar[Priority] = ContextVar("urgency", default=Priority.FOREGROUND)

#: For how many seconds the current task may wait for a budget to refill.
patience_s: ContextVar[float] = ContextVar("patience_s", default=10.0)


@dataclass(slots=True)
class PriorityBoost:
    """Lets somebody who comes to wait for a refresh make it go on as a read that is waited for.

    Attributes:
        requested: set when somebody waits.
        patience_s: for how long they may.
    """

    requested: asyncio.Event = field(default_factory=asyncio.Event)
    patience_s: float = 0.0

    def call(self, patience: float) -> None:
        """Somebody waits now."""
        self.patience_s = max(self.patience_s, patience)
        self.requested.set()

    def apply(self) -> None:
        """From now on the current task's calls are ones that somebody waits for."""
        urgency.set(Priority.FOREGROUND)
        patience_s.set(self.patience_s)


#: Of the refresh that the current task makes; None where somebody waits in any case.
hurry: ContextVar[PriorityBoost | None] = ContextVar("hurry", default=None)


#: In how many seconds the current task's read is cut off; None: by its own timeouts alone.
read_within_s: ContextVar[float | None] = ContextVar("read_within_s", default=None)


@dataclass(slots=True)
class SendStatus:
    """How far a write has come, for whoever stops waiting for it.

    Attributes:
        left: whether an exchange that writes was handed to the wire, be it the first of several.
            False: certainly none was, the write is still waiting (for a place, for the budget, for
            a token) or reading what it needs. None: nobody has told, so that it may have been.
    """

    left: bool | None = None

    def wait(self) -> None:
        """Something is about to be sent, and nothing of the write has been."""
        if self.left is None:
            self.left = False


#: Of the write that the current task carries out; None where it carries out none.
departure: ContextVar[SendStatus | None] = ContextVar("departure", default=None)
