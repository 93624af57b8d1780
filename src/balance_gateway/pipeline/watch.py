"""Watches the calls of each connector: how its provider is doing, as this process has seen it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from balance_gateway.domain.days import Clock
from balance_gateway.domain.health import ConnectorStatus, HealthState

#: So many failures in a row, and a provider is called down rather than degraded.
FAILURES_UNTIL_DOWN = 5

#: Outcomes that say nothing about the provider's health.
_NEUTRAL = frozenset({"cancelled", "redirected"})

#: Rate headers, as Light and Layer (and in lower case Asset) send them.
_LIMIT, _REMAINING, _RESET = "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"


class SeenCall(Protocol):
    """What is told of one HTTP exchange."""

    @property
    def connector(self) -> str:
        """The connector's name."""
        ...

    @property
    def outcome(self) -> str:
        """``ok``, ``refused``, ``cancelled``, ``redirected`` or the code of an error."""
        ...

    @property
    def status(self) -> int | None:
        """The HTTP status; None without an answer."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers by lower-case name."""
        ...


@dataclass(slots=True)
class _Seen:
    """What has been seen of one connector."""

    failures_in_row: int = 0
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    last_failure_code: str | None = None
    limit: int | None = None
    remaining: int | None = None
    refills_at: datetime | None = None


class ConnectorWatch:
    """Keeps the state of every connector.

    Args:
        budgets: calls per minute by connector, where configured or known.
        clock: tells the time.
    """

    def __init__(self, budgets: Mapping[str, int | None], clock: Clock) -> None:
        self._seen = {connector: _Seen(limit=budget) for connector, budget in budgets.items()}
        self._clock = clock

    def observe(self, call: SeenCall) -> None:
        """Takes note of one exchange that has ended."""
        seen = self._seen[call.connector]
        self._note_budget(seen, call.headers)
        if call.outcome in _NEUTRAL:
            return
        now = self._clock()
        # A refusal of what was asked for shows a provider that works; these do not.
        unwell = call.status is None or call.status >= 500 or call.status in (401, 403, 429)
        if call.outcome == "ok" or (call.outcome == "refused" and not unwell):
            seen.failures_in_row = 0
            seen.last_success_at = now
        else:
            seen.failures_in_row += 1
            seen.last_failure_at = now
            seen.last_failure_code = _code(call)

    def status(self, connector: str) -> ConnectorStatus:
        """How the connector is doing."""
        seen = self._seen[connector]
        return ConnectorStatus(
            state=_state(seen),
            last_success_at=seen.last_success_at,
            last_failure_at=seen.last_failure_at,
            last_failure_code=seen.last_failure_code,
            requests_per_minute=seen.limit,
            remaining=seen.remaining,
            refills_at=seen.refills_at,
        )

    def _note_budget(self, seen: _Seen, headers: Mapping[str, str]) -> None:
        limit, remaining, reset = _numbers(
            headers.get(name) for name in (_LIMIT, _REMAINING, _RESET)
        )
        if remaining is None:
            return
        seen.remaining = remaining
        seen.limit = limit if limit is not None else seen.limit
        if reset is not None:
            now = self._clock()
            at = (
                datetime.fromtimestamp(reset, UTC)
                if reset > 10**9
                else now + timedelta(seconds=reset)
            )
            seen.refills_at = at


def _state(seen: _Seen) -> HealthState:
    if seen.failures_in_row >= FAILURES_UNTIL_DOWN:
        return HealthState.DOWN
    if seen.failures_in_row:
        return HealthState.DEGRADED
    return HealthState.UNKNOWN if seen.last_success_at is None else HealthState.UP


def _code(call: SeenCall) -> str:
    by_status = {
        401: "PROVIDER_CREDENTIALS_REJECTED",
        403: "PROVIDER_CREDENTIALS_REJECTED",
        429: "PROVIDER_RATE_LIMITED",
    }
    if call.outcome == "refused" and call.status is not None:
        return by_status.get(call.status, "PROVIDER_UNAVAILABLE")
    return call.outcome


def _numbers(texts: Iterable[str | None]) -> list[int | None]:
    """Small whole numbers; anything else a provider may send counts as absent."""
    return [
        int(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else None
        for text in texts
    ]
