"""The context of the current task's calls to providers.

The context travels with the task instead of through every signature: a task that starts another
passes its context on, and changes of the inner task do not reach the outer one.
"""

import asyncio
import enum
import math
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict, Unpack


class Priority(enum.IntEnum):
    """The importance of calls: each kind leaves a part of the rate limit to those before it.

    A write, and what writes and all other calls depend on; a read that is waited for; a refresh.
    """

    WRITE = -1
    FOREGROUND = 0
    BACKGROUND = 1


@dataclass(slots=True)
class PriorityBoost:
    """Raises a background refresh to foreground priority when a reader starts to wait for it.

    Attributes:
        requested: Set when a reader waits.
        max_wait_s: The longest wait, in seconds, that any of these readers accepts.
    """

    requested: asyncio.Event = field(default_factory=asyncio.Event)
    max_wait_s: float = 0.0

    def request(self, max_wait_s: float) -> None:
        """Request foreground priority for a reader that accepts a wait of ``max_wait_s``."""
        self.max_wait_s = max(self.max_wait_s, max_wait_s)
        self.requested.set()

    def apply(self) -> None:
        """Give the current task's further calls foreground priority and the readers' wait."""
        set_call_context(priority=Priority.FOREGROUND, max_wait_s=self.max_wait_s)


@dataclass(slots=True)
class SendStatus:
    """How far a write has got, for a caller that stops waiting for it.

    Attributes:
        sent: True when a writing exchange was handed to the transport, even if it was only the
            first of several. False when certainly none was: the write waits for a slot, the rate
            limit or a token, or reads what it needs. None when the provider adapter has not
            reported anything, so the write may have been sent.
    """

    sent: bool | None = None

    def mark_waiting(self) -> None:
        """Record that an exchange is about to start; has no effect once the write was sent."""
        if self.sent is None:
            self.sent = False


class CallContext(NamedTuple):
    """How the current task's calls to providers are made.

    Attributes:
        priority: The order among waiting calls.
        max_wait_s: Seconds that a call may wait for a slot or for the rate limit. A read that can
            fall back on an older value has 0.
        max_budget_wait_s: Seconds that a call may wait for the rate limit, if that is less.
        boost: Raises the priority of a background refresh; None when a reader waits already.
        read_timeout_s: Seconds after which the read is cancelled; None when only the timeouts of
            its exchanges apply.
        send_status: Receives the progress of the write; None when the task carries out none.
        is_optional: Whether only additional information depends on the call: that it fails must
            not stop the calls that read figures.
        tenant: The tenant of the account that is read; empty when no tenant's share counts it.
        caller: The name of the caller that reads; empty without one.
    """

    priority: Priority = Priority.FOREGROUND
    max_wait_s: float = 10.0
    boost: PriorityBoost | None = None
    read_timeout_s: float | None = None
    send_status: SendStatus | None = None
    is_optional: bool = False
    max_budget_wait_s: float = math.inf
    tenant: str = ""
    caller: str = ""


class CallContextChanges(TypedDict, total=False):
    """The fields of ``CallContext`` that a caller may change."""

    priority: Priority
    max_wait_s: float
    boost: PriorityBoost | None
    read_timeout_s: float | None
    send_status: SendStatus | None
    is_optional: bool
    max_budget_wait_s: float
    tenant: str
    caller: str


#: The circuit breaker's generation for the slot that the task holds; None outside a slot.
#: A variable of its own, because it is set twice for every exchange.
breaker_generation: ContextVar[int | None] = ContextVar("breaker_generation", default=None)

#: The name of the caller that the task serves; empty in tasks of the gateway itself.
#: A variable of its own, because it is set for every request.
caller_name: ContextVar[str] = ContextVar("caller_name", default="")

#: The id of the request that the task serves, for its log lines; empty in tasks of the gateway.
request_id: ContextVar[str] = ContextVar("request_id", default="")

#: The ids of the accounts that the task's current call to a provider concerns, for its log lines.
account_ids: ContextVar[tuple[str, ...]] = ContextVar("account_ids", default=())

_DEFAULT = CallContext()
_current: ContextVar[CallContext] = ContextVar("call_context", default=_DEFAULT)


def current_call() -> CallContext:
    """Return the context of the current task's calls."""
    return _current.get()


def build_isolated_context() -> Context:
    """Return a context for a task that serves others as well: only log lines name its cause.

    Priority and limits of wait are the default ones.
    """
    context = Context()
    context.run(request_id.set, request_id.get())
    context.run(account_ids.set, account_ids.get())
    return context


def set_call_context(**changes: Unpack[CallContextChanges]) -> None:
    """Change the given fields for the rest of the current task; the others keep their values."""
    _current.set(_current.get()._replace(**changes))
