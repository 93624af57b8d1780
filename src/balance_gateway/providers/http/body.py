"""Read, inflate and decode a response body within a size limit and without losing digits.

The size limit applies while the body arrives and again to its inflated form. Numbers with a
decimal point or an exponent become ``Decimal``; no number passes through binary floating point.
Input that JSON parsers may interpret differently is rejected: duplicate members, NaN, Infinity,
bytes that are not UTF-8, and overlong numbers.
"""

import json
import zlib
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import httpx

from balance_gateway.providers.http.json_fields import MalformedResponse

#: Maximum length of a number with a decimal point or an exponent, in characters. Python limits
#: the length of integers itself.
NUMBER_CHARACTERS_MAX = 1000

#: zlib window bits that detect a gzip or a zlib header automatically.
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class BodyTooLarge(MalformedResponse):
    """The body exceeds the size limit; the rest of it was not read."""


async def read_body(response: httpx.Response, bytes_max: int) -> bytes:
    """Read and inflate a whole body, never holding more than ``bytes_max`` bytes.

    Raises:
        BodyTooLarge: The body exceeds ``bytes_max``.
        MalformedResponse: The content encoding is not supported, or the compressed body is
            damaged.
        httpx.HTTPError: The connection failed.
    """
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in {"identity", "gzip", "deflate", ""}:
        raise MalformedResponse("its content encoding is not gzip, deflate or identity")
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB) if coding in {"gzip", "deflate"} else None
    chunks: list[bytes] = []
    size = 0
    async for raw in response.aiter_raw():
        chunk = _inflate(inflater, raw, bytes_max - size) if inflater else raw
        size += len(chunk)
        if size > bytes_max:
            raise BodyTooLarge(f"its body exceeds {bytes_max} bytes")
        chunks.append(chunk)
    if inflater and size and not inflater.eof:
        raise MalformedResponse("its compressed body is truncated")
    return b"".join(chunks)


def _inflate(inflater: "zlib._Decompress", raw: bytes, room: int) -> bytes:
    try:
        # One byte more than allowed is enough to detect an oversized body.
        return inflater.decompress(raw, room + 1)
    except zlib.error:
        raise MalformedResponse("its compressed body is damaged") from None


def decode_json(body: bytes) -> Any:
    """Decode one JSON text; fractions become ``Decimal``, objects become ``dict``.

    Raises:
        MalformedResponse: The body is not JSON or is rejected by the rules of this module.
    """
    try:
        return _DECODER.decode(body.decode("utf-8"))
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


def _parse_decimal(literal: str) -> Decimal:
    if len(literal) > NUMBER_CHARACTERS_MAX:
        raise MalformedResponse(f"a number has more than {NUMBER_CHARACTERS_MAX} characters")
    try:
        return Decimal(literal)
    except InvalidOperation:
        raise MalformedResponse("a number is out of range") from None


def _reject_constant(_: str) -> NoReturn:
    raise MalformedResponse("a number is NaN or infinite")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_object, parse_float=_parse_decimal, parse_constant=_reject_constant
)
