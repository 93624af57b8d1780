"""What providers' headers say of waiting: in seconds, in instants, or not at all.

One reading for all who obey: the error that a caller is told, and the budget that holds calls back.
"""

import math
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

#: Longest wait a provider may ask for and still be believed, in seconds.
WAIT_MAX_S = 86_400.0

#: Numbers above it are instants in unix seconds, below it durations.
_UNIX_TIME_MIN = 1_000_000_000


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds to wait as ``Retry-After`` says, a number or an HTTP date; None where it does not.

    Args:
        headers: by lower-case name.
        now_s: seconds since 1970.
    """
    given = headers.get("retry-after", "").strip()
    if given.isascii() and given.isdigit():
        return min(float(given[:9]), WAIT_MAX_S)
    try:
        at = parsedate_to_datetime(given)
    except (ValueError, OverflowError):
        return None
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now_s
    return min(max(seconds, 0.0), WAIT_MAX_S)


def reset_in_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds until the rate limit is full again, as its reset header says; None likewise."""
    seconds = number_of(headers.get("x-ratelimit-reset"))
    if seconds is None:
        return None
    if seconds > _UNIX_TIME_MIN:
        seconds -= now_s
    return min(max(seconds, 0.0), WAIT_MAX_S)


def number_of(text: str | None) -> float | None:
    """A number of seconds or calls; anything else that a header may hold counts as absent."""
    if text is None or not text.isascii() or len(text) > 20:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
