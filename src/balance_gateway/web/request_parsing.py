"""Parse requests: bodies of bounded size, strict JSON, and the parameters of GraphQL over HTTP.

Python's own JSON decoder accepts NaN, keeps the last of two equal keys, recurses without a limit
and raises four kinds of exceptions. Here each of these cases is a ``BadRequest`` with a reason.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from starlette.types import Receive

from balance_gateway.api.schema.errors import REQUEST_ERROR_CODE
from balance_gateway.domain.errors import ErrorCode
from balance_gateway.web.persisted_queries import SentRequest

#: Maximum nesting of JSON arrays and objects; no GraphQL request of this schema is deeper.
JSON_DEPTH_MAX = 64
#: Maximum digits of a JSON integer; no argument accepts a longer one.
JSON_INTEGER_DIGITS_MAX = 1000
#: Maximum characters of a JSON number with a fraction or an exponent.
JSON_FLOAT_CHARACTERS_MAX = 1000

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SHA_256 = re.compile(r"[0-9a-fA-F]{64}")
_BRACKET = re.compile(rb"[\[\]{}]")


class BadRequest(Exception):
    """The request is invalid.

    Attributes:
        status: the HTTP status of the response.
        message: the reason, for the caller.
        headers: additional response headers.
        code: the error code in the response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        code: ErrorCode = REQUEST_ERROR_CODE,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers
        self.code = code


class ClientDisconnected(Exception):
    """The client closed the connection before it got a response."""


async def read_body(receive: Receive, content_length: bytes | None, bytes_max: int) -> bytes:
    """Read the whole body.

    Args:
        receive: ASGI's receive function.
        content_length: the value of Content-Length, digits only; None without the header.
        bytes_max: the maximum size of the body in bytes.

    Raises:
        BadRequest: 413; the body is too large, by its Content-Length or by the bytes received.
        ClientDisconnected: the client closed the connection.
    """
    if content_length is not None and int(content_length[:15] or b"0") > bytes_max:
        raise _build_too_large_error(bytes_max)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > bytes_max:
            raise _build_too_large_error(bytes_max)
        if not message.get("more_body", False):
            return b"".join([*chunks, chunk]) if chunks else chunk
        chunks.append(chunk)


def _build_too_large_error(bytes_max: int) -> BadRequest:
    return BadRequest(413, f"The body is larger than {bytes_max} bytes; send a smaller one.")


def parse_body(body: bytes) -> SentRequest:
    """Parse the body of a POST.

    Raises:
        BadRequest: 400; the message names the parameter and the error.
    """
    if not body.strip():
        raise BadRequest(400, "The body is empty; send a JSON object with 'query'.")
    parameters = parse_json(body, "The body")
    if isinstance(parameters, list):
        raise BadRequest(400, "Batches are not supported; send one JSON object per request.")
    if not isinstance(parameters, dict):
        raise BadRequest(400, "The body must be a JSON object with 'query'.")
    return _build_request(parameters)


def parse_query_string(query_string: bytes) -> SentRequest:
    """Parse the query string of a GET, in which variables and extensions are JSON.

    Raises:
        BadRequest: 400; the message names the parameter and the error.
    """
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=20,
        )
    except ValueError:
        raise BadRequest(400, "The query string is not UTF-8 or has too many fields.") from None
    parameters: dict[str, Any] = {}
    for name, value in pairs:
        if name in parameters:
            raise BadRequest(400, f"{name[:40]} occurs more than once in the query string.")
        parameters[name] = value
    for name in ("variables", "extensions"):
        if parameters.get(name):
            parameters[name] = parse_json(parameters[name].encode(), name)
        elif name in parameters:
            del parameters[name]
    return _build_request(parameters)


def parse_json(text: bytes, what: str) -> Any:
    """Parse JSON in UTF-8 of bounded depth, without duplicate keys, NaN or Infinity.

    Args:
        text: the JSON.
        what: the text's name, at the start of error messages.

    Raises:
        BadRequest: 400; the text is malformed.
    """
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest(400, f"{what} is not UTF-8.") from None
    # Counting brackets is cheap and settles almost every request; the exact scan is not cheap.
    if text.count(b"[") + text.count(b"{") > JSON_DEPTH_MAX and _is_too_deep(text):
        raise BadRequest(400, f"{what} is nested deeper than {JSON_DEPTH_MAX} levels.")
    try:
        parsed = _DECODER.decode(decoded)
        # The decoder accepts an escaped lone surrogate, which cannot be encoded in UTF-8 later.
        if _SURROGATE.search(text):
            json.dumps(parsed, ensure_ascii=False).encode("utf-8")
        return parsed
    except UnicodeEncodeError:
        raise BadRequest(400, f"{what} has an unpaired surrogate.") from None
    except _InvalidJson as invalid:
        raise BadRequest(400, f"{what} {invalid}.") from None
    except (ValueError, RecursionError):
        raise BadRequest(400, f"{what} is not JSON.") from None


def _build_request(parameters: Mapping[str, Any]) -> SentRequest:
    query = parameters.get("query")
    if not isinstance(query, str | None):
        raise BadRequest(400, "query must be a string.")
    for name in ("variables", "extensions"):
        if not isinstance(parameters.get(name), dict | None):
            raise BadRequest(400, f"{name} must be a JSON object.")
    operation_name = parameters.get("operationName")
    if not isinstance(operation_name, str | None):
        raise BadRequest(400, "operationName must be a string.")
    query_hash = _parse_query_hash(parameters.get("extensions") or {})
    if query_hash is None and query is None:
        raise BadRequest(400, "query is missing; send the text of a GraphQL document.")
    # A form or a URL cannot leave a parameter out as easily as leave it empty.
    if query_hash is not None:
        query = query or None
    return SentRequest(query, parameters.get("variables"), operation_name or None, query_hash)


def _parse_query_hash(extensions: Mapping[str, Any]) -> str | None:
    """Return the hash of a persisted query in lower case; None without one."""
    persisted = extensions.get("persistedQuery")
    if persisted is None:
        return None
    name = "extensions.persistedQuery"
    if not isinstance(persisted, dict):
        raise BadRequest(400, f"{name} must be a JSON object.")
    version = persisted.get("version")
    if version != 1 or isinstance(version, bool):
        raise BadRequest(400, f"{name}.version must be 1.")
    digest = persisted.get("sha256Hash")
    if not isinstance(digest, str) or not _SHA_256.fullmatch(digest):
        raise BadRequest(400, f"{name}.sha256Hash must be 64 hexadecimal digits.")
    return digest.lower()


class _InvalidJson(Exception):
    """JSON that the decoder accepts and the gateway does not; the message is a predicate."""


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _InvalidJson("has a duplicate key in an object")
    return members


def _parse_integer(digits: str) -> int:
    if len(digits) > JSON_INTEGER_DIGITS_MAX + 1:
        raise _InvalidJson(f"has an integer of more than {JSON_INTEGER_DIGITS_MAX} digits")
    return int(digits)


def _parse_float(literal: str) -> float:
    if len(literal) > JSON_FLOAT_CHARACTERS_MAX:
        raise _InvalidJson(f"has a number of more than {JSON_FLOAT_CHARACTERS_MAX} characters")
    number = float(literal)
    if math.isinf(number):
        raise _InvalidJson("has a number above the limit of 1.7e308")
    return number


def _reject_constant(name: str) -> NoReturn:
    raise _InvalidJson(f"has {name}, which is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_object,
    parse_int=_parse_integer,
    parse_float=_parse_float,
    parse_constant=_reject_constant,
)


def _is_too_deep(text: bytes) -> bool:
    """Return whether arrays and objects are nested too deeply; brackets in strings do not count."""
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", text)):
        if bracket[0] in b"]}":
            depth -= 1
        elif depth == JSON_DEPTH_MAX:
            return True
        else:
            depth += 1
    return False
