"""The custom scalars: exact in input and output, strict in input.

The error messages name the scalar only; ``api/execution/input_errors.py`` adds the name of the
argument or variable.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, NewType, TypeVar

import strawberry
from graphql import FloatValueNode, IntValueNode, StringValueNode, ValueNode
from strawberry.types.scalar import ScalarDefinition

from balance_gateway.api.schema.json_output import serialize_json
from balance_gateway.api.schema.unreadable_inputs import ScalarFault, allow_unreadable
from balance_gateway.domain.calendar_days import format_instant
from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.money import AMOUNT_DIGITS_MAX, currency_exponent

T = TypeVar("T")

BigInt = NewType("BigInt", int)
DecimalText = NewType("DecimalText", str)
CurrencyCode = NewType("CurrencyCode", str)
Json = NewType("Json", object)

_INTEGER = re.compile(rf"[+-]?[0-9]{{1,{AMOUNT_DIGITS_MAX}}}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
#: RFC 3339, 5.6: hours end at 23 and minutes at 59, those of the offset too. Python adds up more.
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]((?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?",
    re.ASCII,
)

# Syntax and length are checked here and not in the service: a scalar that cannot be parsed is an
# error of the request, which GraphQL reports before anything is executed.
_BIG_INT_RULE = (
    f"A BigInt must be an integer of at most {AMOUNT_DIGITS_MAX} digits, sent as a string such as "
    '"-12345".'
)
_DECIMAL_RULE = (
    "A Decimal must be plain decimal text without an exponent, of at most "
    f'{AMOUNT_DIGITS_MAX} characters, such as "-1234.56".'
)
_DATE_RULE = 'A Date must be a calendar day as YYYY-MM-DD, such as "2026-01-31".'
_INSTANT_RULE = (
    'A DateTime must be an RFC 3339 instant with an offset, such as "2026-01-31T23:59:59Z".'
)


def unset_to_none(value: T | None) -> T | None:
    """Return the value of an argument; None when it was null or left out."""
    return None if value is strawberry.UNSET else value


def parse_big_int(value: object) -> int:
    """Parse an integer from a string or a JSON integer.

    Raises:
        ScalarFault: the value is anything else, or has more than ``AMOUNT_DIGITS_MAX`` digits.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= 10**AMOUNT_DIGITS_MAX:
            raise ScalarFault(_BIG_INT_RULE)
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, float):
        raise ScalarFault(f"{_BIG_INT_RULE} A JSON number with a fraction may lose digits.")
    raise ScalarFault(_BIG_INT_RULE)


def parse_decimal(value: object) -> str:
    """Return a decimal as plain text, from a string or a JSON integer.

    Raises:
        ScalarFault: the value is anything else; a JSON float may have lost digits already.
    """
    if isinstance(value, float):
        raise ScalarFault(f"{_DECIMAL_RULE} Send it as a string: a JSON number may lose digits.")
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= 10**AMOUNT_DIGITS_MAX:
            raise ScalarFault(_DECIMAL_RULE)
        return str(value)
    if isinstance(value, str) and len(value) <= AMOUNT_DIGITS_MAX and _DECIMAL.fullmatch(value):
        return value
    raise ScalarFault(_DECIMAL_RULE)


def parse_date(value: object) -> date:
    """Parse a day that exists, strictly ``YYYY-MM-DD``.

    Raises:
        ScalarFault: the value is anything else.
    """
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise ScalarFault(_DATE_RULE)
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ScalarFault(f"The day does not exist in the calendar. {_DATE_RULE}") from None


def parse_instant(value: object) -> datetime:
    """Parse an RFC 3339 instant with an offset, as an aware datetime in UTC.

    Raises:
        ScalarFault: the value is anything else, or is finer than a microsecond.
    """
    match = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ScalarFault(_INSTANT_RULE)
    day, time, fraction, offset = match.groups()
    if offset is None:
        raise ScalarFault(
            f"The offset is missing: append Z for UTC, or an offset such as +01:00. {_INSTANT_RULE}"
        )
    if offset in "Zz":
        offset = "+00:00"
    if fraction and fraction[7:].strip("0"):
        raise ScalarFault("A DateTime must have at most six decimals of a second.")
    try:
        return datetime.fromisoformat(f"{day}T{time}{(fraction or '')[:7]}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise ScalarFault(f"The instant does not exist. {_INSTANT_RULE}") from None


def parse_currency(value: object) -> str:
    """Return an ISO 4217 code in upper case that has a minor unit.

    Raises:
        ScalarFault: the value is anything else.
    """
    if not isinstance(value, str) or not re.fullmatch("[A-Z]{3}", value):
        raise ScalarFault(
            'A CurrencyCode must be three upper-case letters of ISO 4217, such as "EUR".'
        )
    try:
        currency_exponent(value)
    except BadInput as error:
        raise ScalarFault(f"{error.message.rstrip('.')}.") from None
    return value


def _literal(
    parse: Callable[[object], Any], *numbers: type[ValueNode]
) -> Callable[[ValueNode, dict[str, Any] | None], Any]:
    """Build a literal parser that accepts strings and the given kinds of number nodes."""
    accepted: tuple[type[ValueNode], ...] = (StringValueNode, *numbers)

    def parse_literal(node: ValueNode, _variables: dict[str, Any] | None = None) -> Any:
        # The text as written: a number must not be converted to float.
        value = getattr(node, "value", None) if isinstance(node, accepted) else None
        try:
            return parse(value)
        except ScalarFault as fault:
            raise ScalarFault(fault.message, node) from None

    return parse_literal


def _refuse_json(_value: object, _variables: object = None) -> object:
    raise ScalarFault("JSON is an output type; it is not accepted as input.")


_read_big_int = allow_unreadable(parse_big_int)
_read_decimal = allow_unreadable(parse_decimal)
_read_instant = allow_unreadable(parse_instant)
_read_currency = allow_unreadable(parse_currency)

SCALARS: Mapping[object, ScalarDefinition] = {
    BigInt: strawberry.scalar(
        name="BigInt",
        description="An integer of any size, returned as a string. Input: a string or an integer "
        f"of at most {AMOUNT_DIGITS_MAX} digits.",
        serialize=str,
        parse_value=_read_big_int,
        parse_literal=_literal(_read_big_int, IntValueNode),
    ),
    DecimalText: strawberry.scalar(
        name="Decimal",
        description="A decimal number as plain text, never a float. Input: a string, an integer, "
        "or a number literal in the document, of at most "
        f"{AMOUNT_DIGITS_MAX} characters without an exponent.",
        serialize=str,
        parse_value=_read_decimal,
        parse_literal=_literal(_read_decimal, IntValueNode, FloatValueNode),
    ),
    date: strawberry.scalar(
        name="Date",
        description="A calendar day as YYYY-MM-DD, years 0001 to 9999.",
        serialize=date.isoformat,
        parse_value=parse_date,
        parse_literal=_literal(parse_date),
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="An RFC 3339 instant, returned in UTC. Input without an offset is rejected.",
        serialize=format_instant,
        parse_value=_read_instant,
        parse_literal=_literal(_read_instant),
    ),
    CurrencyCode: strawberry.scalar(
        name="CurrencyCode",
        description="An ISO 4217 currency code of three upper-case letters, such as EUR.",
        specified_by_url="https://www.iso.org/iso-4217-currency-codes.html",
        serialize=str,
        parse_value=_read_currency,
        parse_literal=_literal(_read_currency),
    ),
    Json: strawberry.scalar(
        name="JSON",
        description="Any JSON value, as stored by the provider.",
        serialize=serialize_json,
        parse_value=_refuse_json,
        parse_literal=_refuse_json,
    ),
}
