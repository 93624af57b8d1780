"""Read and write the wire format: strict JSON, exact numbers, dates and date-times."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from json import JSONDecodeError, loads
from typing import Any, Final, NoReturn

import msgspec
from starlette.responses import Response

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
DIGITS_MAX: Final = 60
"""Maximum digits of an amount before and after the point. The pages name no limit."""
NUMBER_DIGITS_MAX: Final = 12
"""Maximum digits of a number in a query or a form; Python converts no number of any length."""

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt](?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


class InvalidJSONError(ValueError):
    """The bytes are not one JSON text in UTF-8."""


def _reject_constant(literal: str) -> NoReturn:
    message = f"{literal} is not JSON"
    raise InvalidJSONError(message)


def parse_json(raw: bytes) -> Any:
    """Parse one JSON text. Numbers with a point or exponent become `Decimal`, never float.

    Raises:
        InvalidJSONError: The bytes are not UTF-8 or not JSON, contain NaN or Infinity, are nested
            too deeply, or contain a number with too many digits.
    """
    try:
        return loads(raw.decode(), parse_float=Decimal, parse_constant=_reject_constant)
    except InvalidJSONError:
        raise
    except (
        UnicodeDecodeError,
        JSONDecodeError,
        RecursionError,
        ValueError,
        InvalidOperation,
    ) as error:
        raise InvalidJSONError(str(error)) from error


def encode_json(value: object) -> bytes:
    """Encode a value as JSON. A `Decimal` becomes a JSON number with exactly its digits."""
    return _ENCODER.encode(value)


def build_json_response(
    value: object,
    status: int = 200,
    *,
    media_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Build a response with `value` as its exact JSON body."""
    response = Response(encode_json(value), status_code=status, headers=headers)
    response.headers["content-type"] = media_type
    return response


def parse_media_type(content_type: str) -> str:
    """Return the lower-case media type of a Content-Type header, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_int64(value: object) -> bool:
    """Return whether a parsed JSON value is a 64-bit integer. A bool or `1.0` is not."""
    return type(value) is int and INT64_MIN <= value <= INT64_MAX


def to_plain_decimal(amount: Decimal) -> Decimal:
    """Return the same amount without an exponent or a negative zero. All digits are kept."""
    # `abs` removes the sign of a negative zero.
    return Decimal(format(amount, "f")) if amount else abs(Decimal(format(amount, "f")))


def has_supported_digits(amount: Decimal) -> bool:
    """Return whether an amount has at most `DIGITS_MAX` digits before and after the point."""
    exponent = amount.as_tuple().exponent
    return (
        isinstance(exponent, int)
        and exponent >= -DIGITS_MAX
        and (not amount or amount.adjusted() < DIGITS_MAX)
    )


def parse_day(text: str) -> date | None:
    """Parse a date written as YYYY-MM-DD. Return None for any other form, including ISO weeks."""
    if not _DAY.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def parse_instant(text: object) -> datetime | None:
    """Parse an RFC 3339 date-time as a UTC instant. Return None if invalid or without an offset."""
    if not isinstance(text, str) or not _INSTANT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def format_instant(at: datetime) -> str:
    """Format an instant as RFC 3339 in UTC with `Z`. Zero microseconds are omitted."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
