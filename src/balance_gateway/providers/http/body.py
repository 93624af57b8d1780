"""Decode a response body without losing digits.

Numbers with a decimal point or an exponent become ``Decimal``; no number passes through binary
floating point. Input that JSON parsers may interpret differently is rejected: duplicate members,
NaN, Infinity, bytes that are not UTF-8, and overlong numbers. A byte order mark of UTF-8 at the
beginning is ignored (RFC 8259, 8.1).
"""

import codecs
import json
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from balance_gateway.ports.evidence import NumberLiteral
from balance_gateway.providers.http.json_fields import MalformedResponse

#: Maximum length of a number with a decimal point or an exponent, in characters. Python limits
#: the length of integers itself.
NUMBER_CHARACTERS_MAX = 1000


def decode_json(body: bytes, *, keeps_literals: bool = False) -> Any:
    """Decode one JSON text; fractions become ``Decimal``, objects become ``dict``.

    Args:
        body: The text in UTF-8.
        keeps_literals: Whether a number that would lose its spelling becomes a ``NumberLiteral``.

    Raises:
        MalformedResponse: The body is not JSON or is rejected by the rules of this module.
    """
    try:
        decoder = _LITERAL_DECODER if keeps_literals else _DECODER
        return decoder.decode(body.removeprefix(codecs.BOM_UTF8).decode("utf-8"))
    except UnicodeDecodeError:
        problem = "it is not UTF-8"
    except RecursionError:
        problem = "it is nested too deeply"
    except ValueError:
        problem = "it is not JSON"
    # Raised outside of the handlers, so that the error has no context: the errors of json contain
    # the body, and the body of a token response contains a secret.
    raise MalformedResponse(problem)


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise MalformedResponse("an object has a duplicate member")
    return record


def _parse_decimal(literal: str, number: type[Decimal] = Decimal) -> Decimal:
    if len(literal) > NUMBER_CHARACTERS_MAX:
        raise MalformedResponse(f"a number has more than {NUMBER_CHARACTERS_MAX} characters")
    try:
        return number(literal)
    except InvalidOperation:
        raise MalformedResponse("a number is out of range") from None


def _reject_constant(_: str) -> NoReturn:
    raise MalformedResponse("a number is NaN or infinite")


def _parse_literal(literal: str) -> Decimal:
    return _parse_decimal(literal, NumberLiteral)


def _parse_integer_literal(literal: str) -> int | Decimal:
    # The only integer with two spellings.
    return NumberLiteral(literal) if literal == "-0" else int(literal)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_object, parse_float=_parse_decimal, parse_constant=_reject_constant
)
_LITERAL_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_object,
    parse_float=_parse_literal,
    parse_int=_parse_integer_literal,
    parse_constant=_reject_constant,
)
