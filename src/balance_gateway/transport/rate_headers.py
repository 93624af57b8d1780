"""Parses the rate limit headers of responses.

One parser for all users: the error that a caller receives and the limiter that delays calls.
"""

import math
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

#: The longest wait, in seconds, that a header can ask for.
WAIT_MAX_S = 86_400.0

#: Greater numbers are instants in Unix seconds, smaller ones are durations.
_UNIX_TIME_MIN = 1_000_000_000


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Return the seconds to wait according to ``Retry-After``, a number or an HTTP date.

    Args:
        headers: The response's headers, by lower-case name.
        now_s: Seconds since 1970.

    Returns:
        Seconds from 0 to ``WAIT_MAX_S``; None when the header is missing or invalid.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        # Nine digits exceed the maximum by far: an endless number need not be converted.
        return min(float(value[:9]), WAIT_MAX_S)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now_s
    return min(max(seconds, 0.0), WAIT_MAX_S)


def reset_in_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Return the seconds until the rate limit resets according to ``X-RateLimit-Reset``.

    Args:
        headers: The response's headers, by lower-case name.
        now_s: Seconds since 1970.

    Returns:
        Seconds from 0 to ``WAIT_MAX_S``; None when the header is missing or invalid.
    """
    seconds = parse_number(headers.get("x-ratelimit-reset"))
    if seconds is None:
        return None
    if seconds > _UNIX_TIME_MIN:
        seconds -= now_s
    return min(max(seconds, 0.0), WAIT_MAX_S)


def parse_number(text: str | None) -> float | None:
    """Parse a number of seconds or calls; None for a missing, negative or invalid value."""
    if text is None or not text.isascii() or len(text) > 20:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
