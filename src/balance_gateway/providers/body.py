"""Reads an answer's body: bounded while it arrives, inflated under the same bound, decoded exactly.

Numbers with a point or an exponent become ``Decimal``; no number passes through binary floating
point. What two JSON readers could read differently is refused: a member given twice, NaN,
Infinity, bytes that are not UTF-8, a number too long to be meant.
"""

import json
import zlib
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import httpx

from balance_gateway.providers.json_fields import WrongShape

#: Longest number with a point or an exponent, in characters. Python bounds integers by itself.
NUMBER_CHARACTERS_MAX = 1000

#: zlib's sign for "gzip or zlib, whichever the bytes say".
_EITHER_HEADER = 32 + zlib.MAX_WBITS


class BodyTooLarge(WrongShape):
    """The body passes the bound; the rest of it was not read."""


async def read_body(response: httpx.Response, bytes_max: int) -> bytes:
    """The whole body, inflated, at most ``bytes_max`` bytes at any moment.

    Raises:
        BodyTooLarge: it is larger.
        WrongShape: it is compressed in a way that was not asked for, or wrongly.
        httpx.HTTPError: the connection failed on the way.
    """
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in {"identity", "gzip", "deflate", ""}:
        raise WrongShape("its content encoding was not asked for")
    inflater = zlib.decompressobj(_EITHER_HEADER) if coding in {"gzip", "deflate"} else None
    chunks: list[bytes] = []
    size = 0
    async for raw in response.aiter_raw():
        chunk = _inflated(inflater, raw, bytes_max - size) if inflater else raw
        size += len(chunk)
        if size > bytes_max:
            raise BodyTooLarge(f"its body is larger than {bytes_max} bytes")
        chunks.append(chunk)
    if inflater and size and not inflater.eof:
        raise WrongShape("its compressed body is cut off")
    return b"".join(chunks)


def _inflated(inflater: "zlib._Decompress", raw: bytes, room: int) -> bytes:
    try:
        return inflater.decompress(raw, room + 1)
    except zlib.error:
        raise WrongShape("its compressed body is broken") from None


def decode_json(body: bytes) -> Any:
    """One JSON text; fractions as Decimal, objects as dict.

    Raises:
        WrongShape: see the top of this module.
    """
    try:
        return _EXACTLY.decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        problem = "it is not UTF-8"
    except RecursionError:
        problem = "it is nested too deeply"
    except ValueError:
        problem = "it is not JSON"
    # Raised out here, because json's own errors hold the body, and a token answer's is a secret.
    raise WrongShape(problem)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise WrongShape("an object has the same member twice")
    return record


def _decimal(literal: str) -> Decimal:
    if len(literal) > NUMBER_CHARACTERS_MAX:
        raise WrongShape("a number is too long")
    try:
        return Decimal(literal)
    except InvalidOperation:
        raise WrongShape("a number is out of range") from None


def _refuse_constant(_: str) -> NoReturn:
    raise WrongShape("a number is not finite")


_EXACTLY = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_decimal, parse_constant=_refuse_constant
)
