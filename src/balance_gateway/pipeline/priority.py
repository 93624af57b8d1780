"""How urgent the call is that is being made: it travels with the task, not through every signature.

A read that somebody waits for goes before one that refreshes a value ahead of its expiry; and a
read that has an older value to fall back on need not wait for a spent budget at all.
"""

import enum
from contextvars import ContextVar


class Urgency(enum.IntEnum):
    """Who goes first; smaller is sooner."""

    WAITED_FOR = 0
    BACKGROUND = 1


#: Of the calls made by the current task.
urgency: ContextVar[Urgency] = ContextVar("urgency", default=Urgency.WAITED_FOR)

#: For how many seconds the current task may wait for a budget to refill.
patience_s: ContextVar[float] = ContextVar("patience_s", default=10.0)
