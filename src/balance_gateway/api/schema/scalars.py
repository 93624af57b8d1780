"""The scalars: exact in both directions, strict in what they take, with messages of our own.

graphql-core puts the argument's or the variable's name around these messages, so that they only
say what is wrong with the value and what to send instead.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal as PyDecimal
from typing import Any, NewType, TypeVar

import orjson
import strawberry
from graphql import FloatValueNode, GraphQLError, IntValueNode, StringValueNode, ValueNode
from strawberry.types.scalar import ScalarDefinition

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
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})?",
    re.ASCII,
)

_BIG_INT = (
    f"A BigInt is an integer of at most {AMOUNT_DIGITS_MAX} digits, sent as a string such as "
    '"-12345".'
)
_DECIMAL_IS = (
    "A Decimal is plain decimal text without an exponent, of at most "
    f'{AMOUNT_DIGITS_MAX} characters, such as "-1234.56".'
)
_DATE_IS = 'A Date is a day of the calendar as YYYY-MM-DD, such as "2026-01-31".'
_INSTANT_IS = 'A DateTime is an instant of RFC 3339, such as "2026-01-31T23:59:59Z".'


def unset_to_none(value: T | None) -> T | None:
    """The value of an argument; None when it was null or left out."""
    return None if value is strawberry.UNSET else value


def parse_big_int(value: object) -> int:
    """A string of an integer, or a JSON integer, as an int."""
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= 10**AMOUNT_DIGITS_MAX:
            raise GraphQLError(_BIG_INT)
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, float):
        raise GraphQLError(f"{_BIG_INT} A number with a fraction or exponent may have lost digits.")
    raise GraphQLError(_BIG_INT)


def parse_decimal(value: object) -> str:
    """Plain decimal text, or a JSON integer, as text. A JSON float has lost digits already."""
    if isinstance(value, float):
        raise GraphQLError(f"{_DECIMAL_IS} Send it as a string: a JSON number may lose digits.")
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= 10**AMOUNT_DIGITS_MAX:
            raise GraphQLError(_DECIMAL_IS)
        return str(value)
    if isinstance(value, str) and len(value) <= AMOUNT_DIGITS_MAX and _DECIMAL.fullmatch(value):
        return value
    raise GraphQLError(_DECIMAL_IS)


def parse_date(value: object) -> date:
    """Strictly ``YYYY-MM-DD``, a day that exists."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise GraphQLError(_DATE_IS)
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise GraphQLError(f"There is no such day in the calendar. {_DATE_IS}") from None


def parse_instant(value: object) -> datetime:
    """An instant of RFC 3339 with an offset, as an aware datetime in UTC."""
    match = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise GraphQLError(_INSTANT_IS)
    day, time, fraction, offset = match.groups()
    if offset is None:
        raise GraphQLError(f"The offset is missing: append Z for UTC, or +01:00. {_INSTANT_IS}")
    if offset in "Zz":
        offset = "+00:00"
    if fraction and fraction[7:].strip("0"):
        raise GraphQLError("A DateTime has at most six decimals of a second here.")
    try:
        return datetime.fromisoformat(f"{day}T{time}{(fraction or '')[:7]}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise GraphQLError(f"There is no such instant. {_INSTANT_IS}") from None


def instant_text(value: datetime) -> str:
    """An aware datetime as RFC 3339 in UTC, with ``Z``."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_currency(value: object) -> str:
    """An ISO 4217 code in upper case that has a minor unit."""
    if not isinstance(value, str) or not re.fullmatch("[A-Z]{3}", value):
        raise GraphQLError('A CurrencyCode is three upper case letters of ISO 4217, such as "EUR".')
    try:
        currency_exponent(value)
    except BadInput as error:
        raise GraphQLError(f"{error.message}.") from None
    return value


def json_value(value: object) -> object:
    """A JSON value whose numbers are written out exactly, however large."""
    if isinstance(value, str | bool | None):
        return value
    if isinstance(value, int | PyDecimal):
        finite = isinstance(value, int) or value.is_finite()
        return orjson.Fragment(str(value)) if finite else None
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [json_value(item) for item in value]
    return value


def _literal(
    parse: Callable[[object], Any], *numbers: type[ValueNode]
) -> Callable[[ValueNode, dict[str, Any] | None], Any]:
    """Parses a literal from its text as written: a number never passes through float."""
    taken: tuple[type[ValueNode], ...] = (StringValueNode, *numbers)

    def parse_literal(node: ValueNode, _variables: dict[str, Any] | None = None) -> Any:
        if isinstance(node, taken):
            return parse(getattr(node, "value", None))
        return parse(None)

    return parse_literal


def _refuse_json(_value: object, _variables: object = None) -> object:
    raise GraphQLError("JSON is answered and never taken.")


SCALARS: Mapping[object, ScalarDefinition] = {
    BigInt: strawberry.scalar(
        name="BigInt",
        description="An integer of any size, answered as a string. Taken as a string or as an "
        f"integer, of at most {AMOUNT_DIGITS_MAX} digits.",
        serialize=str,
        parse_value=parse_big_int,
        parse_literal=_literal(parse_big_int, IntValueNode),
    ),
    DecimalText: strawberry.scalar(
        name="Decimal",
        description="Plain decimal text, never a float. Taken as a string, as an integer, or as "
        f"a number in the document itself; at most {AMOUNT_DIGITS_MAX} characters, no exponent.",
        serialize=str,
        parse_value=parse_decimal,
        parse_literal=_literal(parse_decimal, IntValueNode, FloatValueNode),
    ),
    date: strawberry.scalar(
        name="Date",
        description="A day of the calendar as YYYY-MM-DD, years 0001 to 9999.",
        serialize=date.isoformat,
        parse_value=parse_date,
        parse_literal=_literal(parse_date),
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="An instant of RFC 3339 with an offset; answered in UTC. Without an offset it "
        "is refused.",
        serialize=instant_text,
        parse_value=parse_instant,
        parse_literal=_literal(parse_instant),
    ),
    CurrencyCode: strawberry.scalar(
        name="CurrencyCode",
        description="A currency of ISO 4217 as three upper case letters, such as EUR.",
        specified_by_url="https://www.iso.org/iso-4217-currency-codes.html",
        serialize=str,
        parse_value=parse_currency,
        parse_literal=_literal(parse_currency),
    ),
    Json: strawberry.scalar(
        name="JSON",
        description="Any JSON value, as the provider keeps it.",
        serialize=json_value,
        parse_value=_refuse_json,
        parse_literal=_refuse_json,
    ),
}
