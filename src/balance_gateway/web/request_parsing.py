"""Reading requests: bodies within a limit, JSON without surprises, GraphQL's four parameters.

Python's own JSON reader takes NaN, keeps the last of two equal keys, recurses into whatever it is
sent and raises four kinds of exceptions. Here each of these is a refusal that says what is wrong.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from starlette.types import Receive

from balance_gateway.api.execution.engine import GraphQLRequest

#: Deeper JSON than this is no GraphQL request of ours.
JSON_DEPTH_MAX = 64
#: Digits of a JSON integer; longer ones are taken by no argument.
JSON_INTEGER_DIGITS_MAX = 1000

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_BRACKET = re.compile(rb"[\[\]{}]")


class BadRequest(Exception):
    """The request cannot be read; the message tells the caller why.

    Attributes:
        status: the HTTP status.
        message: for the caller.
        headers: further headers of the answer.
    """

    def __init__(
        self, status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


class ClientDisconnected(Exception):
    """The client went away before its request was complete."""


async def read_body(receive: Receive, content_length: bytes | None, bytes_max: int) -> bytes:
    """The whole body.

    Raises:
        BadRequest: 413, told by Content-Length or found out while reading.
        ClientGone: the client went away.
    """
    if content_length is not None and int(content_length[:15] or b"0") > bytes_max:
        raise _too_large(bytes_max)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > bytes_max:
            raise _too_large(bytes_max)
        if not message.get("more_body", False):
            return b"".join([*chunks, chunk]) if chunks else chunk
        chunks.append(chunk)


def _too_large(bytes_max: int) -> BadRequest:
    return BadRequest(413, f"The body is larger than {bytes_max} bytes.")


def parse_body(body: bytes) -> GraphQLRequest:
    """A POST's body as a request.

    Raises:
        BadRequest: 400, naming what is wrong.
    """
    if not body.strip():
        raise BadRequest(400, "The body is empty; send a JSON object with a query.")
    parameters = parse_json(body, "The body")
    if isinstance(parameters, list):
        raise BadRequest(400, "Batches are not taken: send one JSON object per request.")
    if not isinstance(parameters, dict):
        raise BadRequest(400, "The body has to be a JSON object with a query.")
    return _request_of(parameters)


def parse_query_string(query_string: bytes) -> GraphQLRequest:
    """A GET's query string as a request; variables and extensions are JSON in it.

    Raises:
        BadRequest: 400, naming what is wrong.
    """
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=20,
        )
    except ValueError:
        raise BadRequest(400, "The query string is not UTF-8, or has too many fields.") from None
    parameters: dict[str, Any] = {}
    for name, value in pairs:
        if name in parameters:
            raise BadRequest(400, f"{name[:40]} is there more than once in the query string.")
        parameters[name] = value
    for name in ("variables", "extensions"):
        if parameters.get(name):
            parameters[name] = parse_json(parameters[name].encode(), name)
        elif name in parameters:
            del parameters[name]
    if not parameters.get("operationName"):
        parameters.pop("operationName", None)
    return _request_of(parameters)


def parse_json(text: bytes, what: str) -> Any:
    """JSON in UTF-8, without duplicate keys, NaN or Infinity, of bounded depth.

    Raises:
        BadRequest: 400; ``what`` is named in the message.
    """
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest(400, f"{what} is not UTF-8.") from None
    if text.count(b"[") + text.count(b"{") > JSON_DEPTH_MAX and _is_too_deep(text):
        raise BadRequest(400, f"{what} is nested deeper than {JSON_DEPTH_MAX} levels.")
    try:
        parsed = _DECODER.decode(decoded)
        if _SURROGATE.search(text):
            json.dumps(parsed, ensure_ascii=False).encode("utf-8")
        return parsed
    except UnicodeEncodeError:
        raise BadRequest(400, f"{what} has half of a surrogate pair.") from None
    except _Refused as refused:
        raise BadRequest(400, f"{what} {refused}.") from None
    except (ValueError, RecursionError):
        raise BadRequest(400, f"{what} is not JSON.") from None


def _request_of(parameters: Mapping[str, Any]) -> GraphQLRequest:
    query = parameters.get("query")
    if query is None:
        raise BadRequest(400, "query is missing; it is the text of a GraphQL document.")
    if not isinstance(query, str):
        raise BadRequest(400, "query has to be a string.")
    for name in ("variables", "extensions"):
        if not isinstance(parameters.get(name), dict | None):
            raise BadRequest(400, f"{name} has to be a JSON object.")
    operation_name = parameters.get("operationName")
    if not isinstance(operation_name, str | None):
        raise BadRequest(400, "operationName has to be a string.")
    return GraphQLRequest(query, parameters.get("variables"), operation_name)


class _Refused(Exception):
    """What is wrong with a piece of JSON that is otherwise well formed."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    known = dict(pairs)
    if len(known) != len(pairs):
        raise _Refused("has the same key twice in one object")
    return known


def _integer(digits: str) -> int:
    if len(digits) > JSON_INTEGER_DIGITS_MAX + 1:
        raise _Refused(f"has an integer of more than {JSON_INTEGER_DIGITS_MAX} digits")
    return int(digits)


def _constant(name: str) -> NoReturn:
    raise _Refused(f"has {name}, which is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_constant=_constant)


def _is_too_deep(text: bytes) -> bool:
    """Whether arrays and objects are nested too deeply, brackets in strings left out."""
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", text)):
        if bracket[0] in b"]}":
            depth -= 1
        elif depth == JSON_DEPTH_MAX:
            return True
        else:
            depth += 1
    return False
