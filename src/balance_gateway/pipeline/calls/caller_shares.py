"""Limits each tenant and each caller to a share of the calls to a connector.

A caller may have used at most a multiple of the calls that are left (a dynamic threshold, as in
network switches): it stops before the budget is spent, and what is left is for others.
Shares apply only among those that were seen in the last hour, so one alone may use everything.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Hashable

from balance_gateway.pipeline.calls.sliding_window import WINDOW_S
from balance_gateway.ports.call_context import CallContext

#: How often what is left one tenant, and one caller of a tenant, may have used.
TENANT_SHARE = 4
CALLER_SHARE = 2

#: How long, in seconds, a tenant or caller counts as one that shares the connector.
_SEEN_S = 3600.0


class CallerShares:
    """The calls of the last minute by tenant and by caller.

    Args:
        monotonic: Returns the time of a monotonic clock, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._calls: deque[tuple[float, tuple[str, str]]] = deque()
        self._used: Counter[Hashable] = Counter()
        self._seen_s: dict[str, dict[str, float]] = {}
        self._next_cleanup_s = 0.0

    def compute_wait_s(self, call: CallContext, left: int) -> float:
        """Return the seconds until the caller may make a call; 0.0: now.

        Args:
            call: The context of the call, with its tenant and caller.
            left: The calls left to all readers together.
        """
        if not call.tenant:
            return 0.0
        now_s = self._monotonic()
        self._drop_expired(now_s)
        callers = self._seen_s.setdefault(call.tenant, {})
        callers[call.caller] = now_s
        who = (call.tenant, call.caller)
        if len(callers) > 1 and self._used[who] >= CALLER_SHARE * left:
            return self._compute_expiry_s(lambda one: one == who) - now_s
        if len(self._seen_s) > 1 and self._used[call.tenant] >= TENANT_SHARE * left:
            return self._compute_expiry_s(lambda one: one[0] == call.tenant) - now_s
        return 0.0

    def _compute_expiry_s(self, matches: Callable[[tuple[str, str]], bool]) -> float:
        """Return the monotonic time at which the oldest of these calls no longer counts."""
        return WINDOW_S + next(at_s for at_s, who in self._calls if matches(who))

    def record(self, call: CallContext) -> None:
        """Count a call of the caller."""
        if not call.tenant:
            return
        who = (call.tenant, call.caller)
        self._calls.append((self._monotonic(), who))
        self._used[call.tenant] += 1
        self._used[who] += 1

    def _drop_expired(self, now_s: float) -> None:
        while self._calls and self._calls[0][0] + WINDOW_S <= now_s:
            _, who = self._calls.popleft()
            for key in (who[0], who):
                self._used[key] -= 1
                if not self._used[key]:
                    del self._used[key]
        # Not at every call: there may be many callers.
        if now_s < self._next_cleanup_s:
            return
        self._next_cleanup_s = now_s + WINDOW_S
        for tenant, callers in list(self._seen_s.items()):
            for caller in [one for one, at_s in callers.items() if at_s + _SEEN_S <= now_s]:
                del callers[caller]
            if not callers:
                del self._seen_s[tenant]
