"""Takes what a provider's page promises out of decoded JSON, and refuses anything else.

Every reader names the member at fault in its error, never the value: an error's text is shown to
callers, and a provider's text is not ours to show.
"""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.money import INT64_MAX, INT64_MIN, parse_minor_units

#: Most digits of an amount, before and after the point. It keeps ``1e999999999`` from being
#: written out, and is far beyond any sum of money.
AMOUNT_DIGITS_MAX = 100

#: Deepest nesting that is walked or handed on: ledger trees and free metadata.
DEPTH_MAX = 64

_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,12})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class WrongShape(Exception):
    """An answer is not what the page promises. The text says what is wrong, without its value."""


def an_object(value: Any, what: str) -> dict[str, Any]:
    """The value, a JSON object."""
    if not isinstance(value, dict):
        raise WrongShape(f"{what} is not an object")
    return value


def a_list(value: Any, what: str) -> list[Any]:
    """The value, a JSON array."""
    if not isinstance(value, list):
        raise WrongShape(f"{what} is not a list")
    return value


def optional_list(record: dict[str, Any], key: str) -> list[Any]:
    """The member, a JSON array; empty when it is null or missing."""
    value = record.get(key)
    return [] if value is None else a_list(value, key)


def integer(record: dict[str, Any], key: str) -> int:
    """The member, a JSON integer of any size; ``true``, ``1.0`` and ``"1"`` are none."""
    value = record.get(key)
    if type(value) is not int:
        raise WrongShape(f"{key} is not an integer")
    return value


def int64(record: dict[str, Any], key: str) -> int:
    """The member, a JSON integer that fits 64 bits."""
    value = integer(record, key)
    if not INT64_MIN <= value <= INT64_MAX:
        raise WrongShape(f"{key} is outside of int64")
    return value


def nullable_int64(record: dict[str, Any], key: str) -> int | None:
    """The member, int64 or null. A member that is missing says nothing, and is refused."""
    if key not in record:
        raise WrongShape(f"{key} is missing")
    return None if record[key] is None else int64(record, key)


def major_units(record: dict[str, Any], key: str, currency: str) -> int:
    """The member, a JSON number of major units, as minor units of the currency; never rounded."""
    value = record.get(key)
    if type(value) is not int and not isinstance(value, Decimal):
        raise WrongShape(f"{key} is not a number")
    number = Decimal(value)
    if not number:
        return 0
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or not (
        number.adjusted() < AMOUNT_DIGITS_MAX and exponent >= -AMOUNT_DIGITS_MAX
    ):
        raise WrongShape(f"{key} is out of range")
    try:
        return parse_minor_units(format(number, "f"), currency)
    except BadInput:
        raise WrongShape(f"{key} has more decimals than {currency} has") from None


def text(record: dict[str, Any], key: str) -> str:
    """The member, a string that can be written out again (no half of a surrogate pair)."""
    value = record.get(key)
    if not isinstance(value, str):
        raise WrongShape(f"{key} is not a string")
    if not _is_writable(value):
        raise WrongShape(f"{key} is not Unicode text")
    return value


def optional_text(record: dict[str, Any], key: str) -> str | None:
    """The member, a string; None when it is null or missing."""
    return None if record.get(key) is None else text(record, key)


def instant(record: dict[str, Any], key: str) -> datetime:
    """The member, an RFC 3339 date-time with an offset, in UTC, to the microsecond."""
    value = text(record, key)
    if not _INSTANT.fullmatch(value):
        raise WrongShape(f"{key} is not a date-time with an offset")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise WrongShape(f"{key} is not a date-time that exists") from None


def optional_instant(record: dict[str, Any], key: str) -> datetime | None:
    """The member, a date-time with an offset; None when it is null or missing."""
    return None if record.get(key) is None else instant(record, key)


def day(record: dict[str, Any], key: str) -> date:
    """The member, a date written YYYY-MM-DD."""
    value = text(record, key)
    if not _DAY.fullmatch(value):
        raise WrongShape(f"{key} is not a date")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise WrongShape(f"{key} is not a date that exists") from None


def same_instant(one: datetime, other: datetime) -> bool:
    """Whether two instants are one, to the second: providers keep different precisions."""
    return abs(one - other) < timedelta(seconds=1)


def free_json(value: Any, what: str, depth: int = 0) -> Any:
    """A JSON value of the provider's caller, as any JSON writer can hand it on.

    A number that a 64-bit integer or a double carries exactly stays a number; any other becomes
    its decimal text, so that no digit is lost. These are never amounts.
    """
    if depth > DEPTH_MAX:
        raise WrongShape(f"{what} is nested too deeply")
    if isinstance(value, dict):
        if not all(map(_is_writable, value)):
            raise WrongShape(f"{what} is not Unicode text")
        return {key: free_json(member, what, depth + 1) for key, member in value.items()}
    if isinstance(value, list):
        return [free_json(member, what, depth + 1) for member in value]
    if isinstance(value, str) and not _is_writable(value):
        raise WrongShape(f"{what} is not Unicode text")
    if isinstance(value, Decimal):
        nearest = float(value)
        return nearest if Decimal(repr(nearest)) == value else str(value)
    if type(value) is int and not INT64_MIN <= value <= INT64_MAX:
        return str(value)
    return value


def _is_writable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
