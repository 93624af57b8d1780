"""Extract typed fields from decoded JSON and reject everything the provider's page rules out.

Each parser names the field at fault in its error and never its value: callers see the text of an
error, and a provider's data must not be shown to them.
"""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.money import INT64_MAX, INT64_MIN, parse_minor_units

#: Maximum number of an amount's digits before and after the decimal point. It prevents expanding
#: ``1e999999999`` and exceeds any sum of money by far.
AMOUNT_DIGITS_MAX = 100

#: Maximum nesting depth of ledger trees and of free-form metadata.
DEPTH_MAX = 64

#: RFC 3339, 5.6: hours end at 23 and minutes at 59, those of the offset too. Python adds up more.
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt](?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]{1,12})?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])",
    re.ASCII,
)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class MalformedResponse(Exception):
    """A response contradicts the provider's page. The text says how, without any value."""


def require_object(value: Any, what: str) -> dict[str, Any]:
    """Return the value if it is a JSON object; ``what`` names it in the error."""
    if not isinstance(value, dict):
        raise MalformedResponse(f"{what} is not an object")
    return value


def require_list(value: Any, what: str) -> list[Any]:
    """Return the value if it is a JSON array; ``what`` names it in the error."""
    if not isinstance(value, list):
        raise MalformedResponse(f"{what} is not a list")
    return value


def parse_optional_list(record: dict[str, Any], key: str) -> list[Any]:
    """Return a JSON array; an empty list if the field is null or missing."""
    value = record.get(key)
    return [] if value is None else require_list(value, key)


def parse_integer(record: dict[str, Any], key: str) -> int:
    """Return a whole JSON number, also one written ``1.0``; ``true`` and ``"1"`` are rejected."""
    value = record.get(key)
    # type() and not isinstance(), because bool is a subclass of int.
    if type(value) is int:
        return value
    if not isinstance(value, Decimal):
        raise MalformedResponse(f"{key} is not an integer")
    if not value:
        return 0
    if not 0 <= value.adjusted() < AMOUNT_DIGITS_MAX or int(value) != value:
        raise MalformedResponse(f"{key} is not an integer")
    return int(value)


def parse_int64(record: dict[str, Any], key: str) -> int:
    """Return a JSON integer that fits into 64 bits."""
    value = parse_integer(record, key)
    if not INT64_MIN <= value <= INT64_MAX:
        raise MalformedResponse(f"{key} is outside of int64")
    return value


def parse_nullable_int64(record: dict[str, Any], key: str) -> int | None:
    """Return an int64, or None for null. A missing field has no meaning and is rejected."""
    if key not in record:
        raise MalformedResponse(f"{key} is missing")
    return None if record[key] is None else parse_int64(record, key)


def parse_major_units(record: dict[str, Any], key: str, currency: str) -> int:
    """Convert a JSON number of major units to minor units of the currency, without rounding."""
    value = record.get(key)
    if type(value) is not int and not isinstance(value, Decimal):
        raise MalformedResponse(f"{key} is not a number")
    number = Decimal(value)
    if not number:
        return 0
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or not (
        number.adjusted() < AMOUNT_DIGITS_MAX and exponent >= -AMOUNT_DIGITS_MAX
    ):
        raise MalformedResponse(f"{key} is out of range")
    try:
        return parse_minor_units(format(number, "f"), currency)
    except BadInput:
        raise MalformedResponse(f"{key} has more decimals than {currency} allows") from None


def parse_text(record: dict[str, Any], key: str) -> str:
    """Return a string that can be encoded as UTF-8; lone surrogates are rejected."""
    value = record.get(key)
    if not isinstance(value, str):
        raise MalformedResponse(f"{key} is not a string")
    if not _is_encodable(value):
        raise MalformedResponse(f"{key} is not Unicode text")
    return value


def parse_currency(record: dict[str, Any], key: str) -> str:
    """Return a currency code in upper case."""
    value = parse_text(record, key)
    # Some letters outside of ASCII have an upper case within it.
    return value.upper() if value.isascii() else value


def parse_optional_text(record: dict[str, Any], key: str) -> str | None:
    """Return a string; None if the field is null or missing."""
    return None if record.get(key) is None else parse_text(record, key)


def parse_instant(record: dict[str, Any], key: str) -> datetime:
    """Parse an RFC 3339 date-time with an offset; returns UTC with microseconds."""
    value = parse_text(record, key)
    if not _INSTANT.fullmatch(value):
        raise MalformedResponse(f"{key} is not a date-time with an offset")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise MalformedResponse(f"{key} is not an existing date-time") from None


def parse_optional_instant(record: dict[str, Any], key: str) -> datetime | None:
    """Parse a date-time with an offset; None if the field is null or missing."""
    return None if record.get(key) is None else parse_instant(record, key)


def parse_day(record: dict[str, Any], key: str) -> date:
    """Parse a date in the form YYYY-MM-DD."""
    value = parse_text(record, key)
    if not _DAY.fullmatch(value):
        raise MalformedResponse(f"{key} is not a date")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise MalformedResponse(f"{key} is not an existing date") from None


def is_same_instant(one: datetime, other: datetime) -> bool:
    """Return whether two instants differ by less than a second.

    The precision with which providers store instants is not documented.
    """
    return abs(one - other) < timedelta(seconds=1)


def normalize_json(value: Any, what: str, depth: int = 0) -> Any:
    """Convert free-form JSON to values that any JSON encoder can write.

    A number that a 64-bit integer or a double represents exactly remains a number; any other
    number becomes its decimal text, so that no digit is lost. These numbers are never amounts.

    Args:
        value: Decoded JSON.
        what: Name of the value for the error.
        depth: Nesting depth of the value.
    """
    if depth > DEPTH_MAX:
        raise MalformedResponse(f"{what} is nested too deeply")
    if isinstance(value, dict):
        if not all(map(_is_encodable, value)):
            raise MalformedResponse(f"{what} is not Unicode text")
        return {key: normalize_json(member, what, depth + 1) for key, member in value.items()}
    if isinstance(value, list):
        return [normalize_json(member, what, depth + 1) for member in value]
    if isinstance(value, str) and not _is_encodable(value):
        raise MalformedResponse(f"{what} is not Unicode text")
    if isinstance(value, Decimal):
        nearest = float(value)
        return nearest if Decimal(repr(nearest)) == value else str(value)
    if type(value) is int and not INT64_MIN <= value <= INT64_MAX:
        return str(value)
    return value


def _is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
