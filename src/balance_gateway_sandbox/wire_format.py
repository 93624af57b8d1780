"""What crosses the wire: strict JSON in, exact numbers out, and the two date formats."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from json import JSONDecodeError, loads
from typing import Any, Final, NoReturn

import msgspec
from starlette.responses import Response

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
DIGITS_MAX: Final = 60
"""Longest amount the sandbox takes, before and after the point; the pages name no bound."""

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


class InvalidJSONError(ValueError):
    """The bytes are not one JSON text in UTF-8."""


def _reject_constant(literal: str) -> NoReturn:
    message = f"{literal} is not JSON"
    raise InvalidJSONError(message)


def parse_json(raw: bytes) -> Any:
    """Read one JSON text; numbers with a point or exponent become `Decimal`, never float.

    Raises:
        InvalidJSONError: not UTF-8, not JSON, NaN or Infinity, nested too deeply, or a number
            with too many digits.
    """
    try:
        return loads(raw.decode(), parse_float=Decimal, parse_constant=_reject_constant)
    except InvalidJSONError:
        raise
    except (UnicodeDecodeError, JSONDecodeError, RecursionError, ValueError) as error:
        raise InvalidJSONError(str(error)) from error


def encode_json(value: object) -> bytes:
    """Write JSON; a `Decimal` becomes a JSON number with exactly its digits."""
    return _ENCODER.encode(value)


def build_json_response(
    value: object,
    status: int = 200,
    *,
    media_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An response carrying `value` as exact JSON."""
    response = Response(encode_json(value), status_code=status, headers=headers)
    response.headers["content-type"] = media_type
    return response


def parse_media_type(content_type: str) -> str:
    """The bare, lower-case media type of a Content-Type header, its parameters cut off."""
    return content_type.partition(";")[0].strip().lower()


def is_int64(value: object) -> bool:
    """Whether a parsed JSON value is an integer (no bool, no `1.0`) that fits in 64 bits."""
    return type(value) is int and INT64_MIN <= value <= INT64_MAX


def to_plain_decimal(amount: Decimal) -> Decimal:
    """The same amount without an exponent and without a negative zero, digits kept."""
    return Decimal(format(amount, "f")) if amount else abs(Decimal(format(amount, "f")))


def has_supported_digits(amount: Decimal) -> bool:
    """Whether an amount can be written out in at most `DIGITS_MAX` digits on either side."""
    exponent = amount.as_tuple().exponent
    return (
        isinstance(exponent, int)
        and exponent >= -DIGITS_MAX
        and (not amount or amount.adjusted() < DIGITS_MAX)
    )


def parse_day(text: str) -> date | None:
    """The day written as YYYY-MM-DD and in no other ISO 8601 form, or None."""
    if not _DAY.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def parse_instant(text: object) -> datetime | None:
    """The UTC instant of an RFC 3339 date-time; None when it is not one or names no offset."""
    if not isinstance(text, str) or not _INSTANT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def format_instant(at: datetime) -> str:
    """An instant as RFC 3339 in UTC with `Z`, microseconds only when there are any."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
