"""Read the headers of requests."""

import itertools
import re
import uuid
from collections.abc import Mapping, Sequence

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")

#: The first half of a generated request id identifies the process, the second half the request.
_PROCESS_ID = uuid.uuid4().hex[:16]
_request_numbers = itertools.count(1)


def headers_by_name(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """Return the headers by lower-case name; values of a repeated header are joined by a comma."""
    named = dict(headers)
    if len(named) == len(headers):
        return named
    named.clear()
    for name, value in headers:
        named[name] = named[name] + b", " + value if name in named else value
    return named


def decode_header(value: bytes | None) -> str | None:
    """Decode the value of a header; None without it."""
    return None if value is None else value.decode("latin-1")


def choose_request_id(sent: bytes | None) -> str:
    """Return the client's X-Request-Id if it is well-formed, else a new id."""
    if sent is not None and _REQUEST_ID.fullmatch(sent):
        return sent.decode("ascii")
    return f"{_PROCESS_ID}{next(_request_numbers):016x}"
