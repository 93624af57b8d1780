"""Encodes requests, protected against request smuggling, and decodes compressed bodies."""

import functools
import re
import zlib
from collections.abc import Iterable
from typing import NamedTuple

from balance_gateway.transport.errors import (
    InvalidRequest,
    ResponseTooLarge,
    UndecodableBody,
    UnknownCoding,
)

Headers = list[tuple[bytes, bytes]]

READ_METHODS = frozenset({b"GET", b"HEAD"})
_METHODS_WITH_BODY = frozenset({b"POST", b"PUT", b"PATCH"})
_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding"})
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET_BYTES = bytes(range(0x21, 0x7F))
_VALUE_BYTES = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))
_GZIP_WBITS = 31
_WBITS = {b"gzip": _GZIP_WBITS, b"x-gzip": _GZIP_WBITS, b"deflate": 15}

#: Values of Content-Encoding that change no byte: none at all, and charsets and transfer encodings
#: that servers put there by mistake.
_NO_CODINGS = frozenset(
    {b"", b"identity", b"none", b"utf-8", b"utf8", b"us-ascii", b"ascii", b"iso-8859-1"}
    | {b"binary", b"8bit", b"7bit"}
)

#: A gzip body may consist of several members; each costs a copy of those after it.
GZIP_MEMBERS_MAX = 100


class RawResponse(NamedTuple):
    """A complete response.

    Attributes:
        status: 200 to 999.
        headers: Names and values as sent, in order, without trailers; without content coding and
            length when the body was inflated.
        body: The whole body, inflated, at most ``Bounds.body_bytes_max`` bytes.
    """

    status: int
    headers: Headers
    body: bytes


@functools.lru_cache(maxsize=512)
def _lower_name(name: bytes) -> bytes:
    if not _TOKEN.fullmatch(name):
        raise InvalidRequest(f"Illegal header name {name!r}.")
    return name.lower()


@functools.lru_cache(maxsize=64)
def require_method(method: str | bytes) -> bytes:
    """Return the method as upper-case bytes.

    Raises:
        InvalidRequest: The method is not an HTTP token.
    """
    name = method.encode("utf-8") if isinstance(method, str) else bytes(method)
    if not _TOKEN.fullmatch(name):
        raise InvalidRequest(f"Illegal method {name!r}.")
    return name.upper()


def encode_head(host: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Encode the lines of a request's head that depend on the headers alone.

    Host and framing are set by the transport: the caller's ``Content-Length`` and
    ``Transfer-Encoding`` are left out, a ``Host`` other than the URL's is rejected.

    Raises:
        InvalidRequest: A name or value contains bytes that HTTP forbids there.
    """
    lines = [b"Host: ", host, b"\r\n"]
    values = []
    has_accept_encoding = False
    for name, value in headers:
        lowered = _lower_name(name)
        if lowered in _FRAMING:
            if lowered == b"host" and value.lower() != host:
                raise InvalidRequest("The Host header must be the URL's host.")
            continue
        if lowered == b"accept-encoding":
            has_accept_encoding = True
        values.append(value)
        lines += (name, b": ", value, b"\r\n")
    # One pass over all values: a line break in any of them would begin another header.
    if b"".join(values).translate(None, _VALUE_BYTES):
        raise InvalidRequest("Illegal header value.")
    if not has_accept_encoding:
        lines.append(b"Accept-Encoding: identity\r\n")
    return b"".join(lines)


def encode_request(method: bytes, target: bytes, head: bytes, body: bytes) -> bytes:
    """Encode a whole request.

    Args:
        method: As ``require_method`` returns it.
        target: Path and query.
        head: As ``encode_head`` returns it.
        body: The whole body.

    Raises:
        InvalidRequest: The target contains bytes that HTTP forbids there.
    """
    if not target.startswith(b"/") or target.translate(None, _TARGET_BYTES):
        raise InvalidRequest("Illegal request target.")
    length = b"Content-Length: %d\r\n" % len(body) if body or method in _METHODS_WITH_BODY else b""
    return b"%b %b HTTP/1.1\r\n%b%b\r\n%b" % (method, target, head, length, body)


def decode_response(response: RawResponse, body_bytes_max: int) -> RawResponse:
    """Return the response without its content coding, if it has any.

    Raises:
        UndecodableBody, ResponseTooLarge: See ``decode_content``.
    """
    codings = [
        value.strip().lower()
        for name, values in response.headers
        if name.lower() == b"content-encoding"
        for value in values.split(b",")
    ]
    coding = b",".join(value for value in codings if value not in _NO_CODINGS)
    if not coding or not response.body:
        return response
    dropped = {b"content-encoding", b"content-length"}
    return RawResponse(
        response.status,
        [field for field in response.headers if field[0].lower() not in dropped],
        decode_content(response.body, coding, body_bytes_max),
    )


def decode_content(body: bytes, coding: bytes, body_bytes_max: int) -> bytes:
    """Return the body without its content coding.

    At most ``body_bytes_max`` bytes and one more are inflated.

    Raises:
        UnknownCoding: The coding is not gzip or deflate.
        UndecodableBody: The data is broken.
        ResponseTooLarge: The inflated body exceeds ``body_bytes_max``.
    """
    wbits = _WBITS.get(coding)
    if wbits is None:
        message = f"Unknown content coding {coding!r}."
        raise UnknownCoding(message)
    if wbits == 15 and body[0] & 0x0F != 8:
        wbits = -15  # Some servers send "deflate" without the zlib wrapper.
    plain, rest = b"", body
    for _ in range(GZIP_MEMBERS_MAX if wbits == _GZIP_WBITS else 1):
        stream = zlib.decompressobj(wbits)
        try:
            plain += stream.decompress(rest, body_bytes_max + 1 - len(plain))
        except zlib.error as error:
            raise UndecodableBody(str(error)) from error
        if len(plain) > body_bytes_max:
            raise ResponseTooLarge("The inflated body is too large.")
        # gzip itself takes zeros between and after members for padding.
        rest = stream.unused_data.lstrip(b"\0") if wbits == _GZIP_WBITS else stream.unused_data
        if not stream.eof:
            break
        if not rest:
            return plain
    message = "The compressed body is incomplete or followed by other data."
    raise UndecodableBody(message)
