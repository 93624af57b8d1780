"""Writes the bytes of a request, refusing what could smuggle, and undoes an answer's coding."""

import functools
import re
import zlib
from collections.abc import Iterable
from typing import NamedTuple

import httpx

from balance_gateway.transport.errors import ResponseTooLarge, Sent, mark

Headers = list[tuple[bytes, bytes]]

READS = frozenset({b"GET", b"HEAD"})
_WITH_BODY = frozenset({b"POST", b"PUT", b"PATCH"})
_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding"})
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET_BYTES = bytes(range(0x21, 0x7F))
_VALUE_BYTES = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))
_WBITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}


class RawResponse(NamedTuple):
    """A complete answer.

    Attributes:
        status: 200 to 999.
        headers: name and value as sent, in order, trailers left out; without the content
            coding and length when the body was inflated.
        body: the whole body, inflated, at most the bound's size.
    """

    status: int
    headers: Headers
    body: bytes


def _refused(message: str) -> httpx.LocalProtocolError:
    return mark(httpx.LocalProtocolError(message), Sent.NEVER)


@functools.lru_cache(maxsize=512)
def _lowered(name: bytes) -> bytes:
    if not _TOKEN.fullmatch(name):
        raise _refused(f"Illegal header name {name!r}.")
    return name.lower()


@functools.lru_cache(maxsize=64)
def require_method(method: str | bytes) -> bytes:
    """The method as bytes, upper case.

    Raises:
        httpx.LocalProtocolError: it is no HTTP token.
    """
    name = method.encode("utf-8") if isinstance(method, str) else bytes(method)
    if not _TOKEN.fullmatch(name):
        raise _refused(f"Illegal method {name!r}.")
    return name.upper()


def encode_head(host: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The lines of a request's head that depend on the headers alone.

    Host and framing are ours: ``Content-Length`` and ``Transfer-Encoding`` of the caller are
    left out, a ``Host`` other than the URL's is refused.

    Raises:
        httpx.LocalProtocolError: a name or value holds what HTTP forbids there.
    """
    lines = [b"Host: ", host, b"\r\n"]
    values = []
    coding_chosen = False
    for name, value in headers:
        lowered = _lowered(name)
        if lowered in _FRAMING:
            if lowered == b"host" and value.lower() != host:
                raise _refused("The Host header differs from the URL's host.")
            continue
        if lowered == b"accept-encoding":
            coding_chosen = True
        values.append(value)
        lines += (name, b": ", value, b"\r\n")
    if b"".join(values).translate(None, _VALUE_BYTES):
        raise _refused("Illegal header value.")
    if not coding_chosen:
        lines.append(b"Accept-Encoding: identity\r\n")
    return b"".join(lines)


def encode_request(method: bytes, target: bytes, head: bytes, body: bytes) -> bytes:
    """The whole request as sent; ``head`` as ``encode_head`` makes it.

    Raises:
        httpx.LocalProtocolError: the target holds what HTTP forbids there.
    """
    if not target.startswith(b"/") or target.translate(None, _TARGET_BYTES):
        raise _refused("Illegal request target.")
    length = b"Content-Length: %d\r\n" % len(body) if body or method in _WITH_BODY else b""
    return b"%b %b HTTP/1.1\r\n%b%b\r\n%b" % (method, target, head, length, body)


def decode_content(body: bytes, coding: bytes, body_bytes_max: int) -> bytes:
    """The body without its content coding; never builds more than the bound and one byte.

    Raises:
        httpx.DecodingError: the coding is not gzip or deflate, or the data is broken.
        ResponseTooLarge: the plain body would pass the bound.
    """
    wbits = _WBITS.get(coding)
    if wbits is None:
        raise mark(httpx.DecodingError(f"Unknown content coding {coding!r}."), Sent.ANSWERED)
    if wbits == 15 and body[0] & 0x0F != 8:
        wbits = -15  # Some servers send "deflate" without the zlib wrapper.
    stream = zlib.decompressobj(wbits)
    try:
        plain = stream.decompress(body, body_bytes_max + 1)
    except zlib.error as error:
        raise mark(httpx.DecodingError(str(error)), Sent.ANSWERED) from error
    if len(plain) > body_bytes_max:
        raise mark(ResponseTooLarge("The decode_content body is too large."), Sent.ANSWERED)
    if not stream.eof or stream.unused_data:
        raise mark(httpx.DecodingError("The compressed body is not whole."), Sent.ANSWERED)
    return plain
