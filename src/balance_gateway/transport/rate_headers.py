"""Parses the rate limit headers of responses, and believes only what is plausible.

One parser for all users: the error that a caller receives and the limiter that delays calls. A
value that fits no known unit is ignored, because a wrong one would stop a whole connector.
"""

import math
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import NamedTuple

#: The longest wait, in seconds, that a header can ask for: then one call finds out.
WAIT_MAX_S = 3600.0

#: The longest wait, in seconds, that is plausible at all: providers count by the day at most.
_PLAUSIBLE_S = 86_400.0

#: A window starts again within so many seconds, if the header is a duration. Greater numbers are
#: more likely milliseconds than hours.
_DURATION_MAX_S = 3600.0

#: Smaller numbers are durations, not instants in Unix time.
_UNIX_TIME_MIN = 1_000_000_000

#: The units of instants in Unix time, per second: seconds, milli-, micro- and nanoseconds.
_UNITS_PER_S = (1.0, 1e3, 1e6, 1e9)


class ReportedBudget(NamedTuple):
    """The calls that a provider says are left.

    Attributes:
        remaining: The calls left.
        limit: The calls of the whole window; None when that is not reported.
        reset_s: Seconds until the window ends, greater than 0.
    """

    remaining: int
    limit: int | None
    reset_s: float


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Return the seconds to wait according to ``Retry-After``, a number or an HTTP date.

    Args:
        headers: The response's headers, by lower-case name.
        now_s: Seconds since 1970.

    Returns:
        Seconds from 0 to ``WAIT_MAX_S``; None when the header is missing, invalid or not plausible.
    """
    value = headers.get("retry-after", "").strip()
    number = parse_number(value)
    if number is None:
        at_s = _parse_date(value)
        return None if at_s is None else _find_wait_s([at_s], headers, now_s)
    if number <= _PLAUSIBLE_S:
        return min(number, WAIT_MAX_S)
    return _find_wait_s(_list_instants(number), headers, now_s)


def reset_in_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Return the seconds until the rate limit resets according to ``X-RateLimit-Reset``.

    The header is a duration in seconds or an instant in Unix time, of any usual unit.

    Args:
        headers: The response's headers, by lower-case name.
        now_s: Seconds since 1970.

    Returns:
        Seconds from 0 to ``WAIT_MAX_S``; None when the header is missing, invalid or not plausible.
    """
    number = parse_number(headers.get("x-ratelimit-reset"))
    if number is None:
        return None
    if number <= _DURATION_MAX_S:
        return number
    return _find_wait_s(_list_instants(number), headers, now_s)


def reported_budget(headers: Mapping[str, str], now_s: float) -> ReportedBudget | None:
    """Return the calls that are left according to ``X-RateLimit-Remaining``.

    Args:
        headers: The response's headers, by lower-case name.
        now_s: Seconds since 1970.

    Returns:
        None when a header is missing, invalid or not plausible, or the window is over.
    """
    remaining = parse_number(headers.get("x-ratelimit-remaining"))
    if remaining is None:
        return None
    reset_s = reset_in_s(headers, now_s)
    if not reset_s:
        return None
    limit = parse_number(headers.get("x-ratelimit-limit")) or None
    if limit is not None and limit < remaining:
        # The two do not speak of one window.
        limit = None
    return ReportedBudget(int(remaining), None if limit is None else int(limit), reset_s)


def parse_number(text: str | None) -> float | None:
    """Parse a number of seconds or calls; None for a missing, negative or invalid value."""
    if text is None or not text.isascii() or len(text) > 20:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _list_instants(number: float) -> list[float]:
    """Return the instants in seconds since 1970 that a number can mean."""
    return [number / unit for unit in _UNITS_PER_S if number / unit >= _UNIX_TIME_MIN]


def _find_wait_s(instants_s: list[float], headers: Mapping[str, str], now_s: float) -> float | None:
    """Return the seconds until the plausible instant; None when none is plausible."""
    # First by the provider's clock, which may differ from ours.
    provider_now_s = _parse_date(headers.get("date", ""))
    for from_s in (now_s,) if provider_now_s is None else (provider_now_s, now_s):
        for at_s in instants_s:
            if abs(at_s - from_s) <= _PLAUSIBLE_S:
                return min(max(at_s - from_s, 0.0), WAIT_MAX_S)
    return None


def _parse_date(value: str) -> float | None:
    """Return an HTTP date in seconds since 1970; None for anything else."""
    try:
        at = parsedate_to_datetime(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
