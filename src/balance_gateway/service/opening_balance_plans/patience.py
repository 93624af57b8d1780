"""Decides how long a row of a plan is tried again."""

from datetime import datetime, timedelta

from balance_gateway.domain.errors import ErrorCode
from balance_gateway.service.opening_balances import Rejected

#: How long a spent budget is waited for while no row of the connector gets through.
BUDGET_TIME_MAX = timedelta(hours=24)

#: Failures in a row at one connector after which its rows are not tried again any more.
FAILURES_MAX = 8

_WAIT_MAX_S = 60.0
#: Each attempt is a row of the journal, so there are not too many.
_BUDGET_WAIT_S = 15.0


class Patience:
    """The patience with one connector.

    A spent budget is waited for: it comes back. Other failures are waited for a few times in a row,
    about four minutes altogether; after that each further row has one attempt, until one succeeds.
    An unsettled write is not waited for, since that may take a person.
    """

    def __init__(self) -> None:
        self._failures = 0
        #: Since when the budget is spent; None when it is not.
        self._spent_since: datetime | None = None

    def reset(self) -> None:
        """Take note that the connector works."""
        self._failures = 0
        self._spent_since = None

    def find_wait_s(self, rejected: Rejected, now: datetime) -> float | None:
        """Return the seconds until the next attempt; None when there is none."""
        if not rejected.retryable or rejected.code is ErrorCode.WRITE_UNSETTLED:
            return None
        wanted_s = rejected.retry_after_s or 0.0
        if rejected.code is ErrorCode.PROVIDER_RATE_LIMITED:
            self._spent_since = self._spent_since or now
            if now - self._spent_since >= BUDGET_TIME_MAX:
                return None
            return min(max(wanted_s, _BUDGET_WAIT_S), _WAIT_MAX_S)
        if self._failures >= FAILURES_MAX:
            return None
        self._failures += 1
        return min(max(wanted_s, 2.0**self._failures), _WAIT_MAX_S)
