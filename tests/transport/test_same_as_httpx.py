"""Responses and failures equal those of httpx's own transport, or are stricter."""

import gzip
import tracemalloc
import zlib

import httpx
import pytest

from balance_gateway.transport import (
    Bounds,
    PooledTransport,
    Sent,
    Timeouts,
    TransportError,
    verified_ssl_context,
)
from balance_gateway.transport.errors import (
    InvalidResponse,
    ReadFailed,
    ReadTimeout,
    ResponseTooLarge,
    UndecodableBody,
    UnknownCoding,
)
from balance_gateway.transport.messages import decode_content

TLS = verified_ssl_context()
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A: 1\r\nx-a: 2\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ZIPPED = gzip.compress(b"hello" * 100)
DEFLATED = zlib.compress(b"hello" * 100)
RAW_DEFLATED = DEFLATED[2:-4]


def with_length(body: bytes, *headers: bytes) -> bytes:
    return (
        OK
        + b"".join(h + b"\r\n" for h in headers)
        + b"Content-Length: %d\r\n\r\n" % len(body)
        + body
    )


RESPONSES = {  # name: (bytes of the response, how the server ends)
    "length": (with_length(b"hello"), "wait"),
    "empty": (with_length(b""), "wait"),
    "chunked": (CHUNKED + b"5\r\nhello\r\n1;ext=1\r\n!\r\n0\r\n\r\n", "wait"),
    "chunked with trailers": (CHUNKED + b"1\r\nx\r\n0\r\nX-T: 1\r\n\r\n", "wait"),
    "until close": (OK + b"\r\nhello", "close"),
    "connection close": (with_length(b"hello", b"Connection: close"), "close"),
    "http 1.0": (b"HTTP/1.0 200 OK\r\n\r\nhello", "close"),
    "http 1.0 with length": (b"HTTP/1.0 404 No\r\nContent-Length: 2\r\n\r\nno", "close"),
    "no reason phrase": (b"HTTP/1.1 418\r\nContent-Length: 0\r\n\r\n", "wait"),
    "100 continue": (b"HTTP/1.1 100 Continue\r\n\r\n" + with_length(b"a"), "wait"),
    "103 early hints": (b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" * 3 + with_length(b"a"), "wait"),
    "204": (b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n", "wait"),
    "304 with length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "wait"),
    "redirect": (b"HTTP/1.1 302 F\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "wait"),
    "obsolete text": (b"HTTP/1.1 200 OK\r\nX: caf\xe9\r\nContent-Length: 0\r\n\r\n", "wait"),
    "gzip": (with_length(ZIPPED, b"Content-Encoding: gzip"), "wait"),
    "deflate": (with_length(DEFLATED, b"Content-Encoding: deflate"), "wait"),
    "raw deflate": (with_length(RAW_DEFLATED, b"Content-Encoding: deflate"), "wait"),
    "identity": (with_length(b"hello", b"Content-Encoding: identity"), "wait"),
    "broken gzip": (with_length(b"no gzip at all", b"Content-Encoding: gzip"), "wait"),
    "closed without a response": (b"", "close"),
    "reset without a response": (b"", "reset"),
    "closed in the head": (b"HTTP/1.1 200 OK\r\nX-A", "close"),
    "reset in the head": (b"HTTP/1.1 200 OK\r\nX-A", "reset late"),
    "body cut off": (OK + b"Content-Length: 9\r\n\r\nhello", "close"),
    "body reset": (OK + b"Content-Length: 9\r\n\r\nhello", "reset late"),
    "chunk cut off": (CHUNKED + b"5\r\nhel", "close"),
    "last chunk missing": (CHUNKED + b"5\r\nhello\r\n", "close"),
    "bad chunk size": (CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n", "wait"),
    "no http": (b"SSH-2.0-OpenSSH_9\r\n\r\n", "wait"),
    "bad length": (OK + b"Content-Length: five\r\n\r\nhello", "wait"),
    "two lengths": (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "wait"),
    "header without colon": (b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", "wait"),
    "nul in a header": (b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", "wait"),
    "only interim, then closed": (b"HTTP/1.1 100 Continue\r\n\r\n", "close"),
    "silence": (b"", "wait"),
    "half a head, then silence": (b"HTTP/1.1 200", "wait"),
    "half a body, then silence": (OK + b"Content-Length: 9\r\n\r\nhello", "wait"),
    "endless header": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000, "wait"),
    "other transfer coding": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "wait"),
}  # fmt: skip

FIELDS_OF_CODING = {"content-encoding", "content-length"}


def make_script(response: bytes, end: str, pieces: int):
    async def script(peer):
        await peer.request()
        step = max(1, -(-len(response) // pieces))
        await peer.send(
            *[response[i : i + step] for i in range(0, len(response), step)],
            pause_s=0.001 if pieces > 1 else 0,
        )
        if end == "wait":
            await peer.wait_closed()
        elif end.startswith("reset"):
            if end == "reset late":
                await peer.send(b"", pause_s=0.03)
            peer.reset()

    return script


#: httpx's own classes, and ours for the same failure.
OURS = {
    "RemoteProtocolError": InvalidResponse,
    "ReadError": ReadFailed,
    "ReadTimeout": ReadTimeout,
    "DecodingError": UndecodableBody,
}


async def httpx_outcome(method: str, url: str, read_s: float = 5):
    """Return the response that a caller of httpx gets, or our class for its error."""
    transport = httpx.AsyncHTTPTransport(verify=TLS)
    timeout = httpx.Timeout(5, read=read_s)
    async with httpx.AsyncClient(transport=transport, timeout=timeout, trust_env=False) as client:
        try:
            response = await client.request(method, url + "/a?b=c")
        except httpx.RequestError as error:
            return OURS[type(error).__name__]
    return response.status_code, keep_compared(response.headers.raw), response.content


async def outcome(transport: PooledTransport, method: str, url: str, read_s: float = 5):
    """Return the pool's response, or the class of its error."""
    headers = ((b"Accept-Encoding", b"gzip, deflate"),)
    try:
        response = await transport.exchange(
            url, method, "/a?b=c", headers, timeouts=Timeouts(read_s=read_s)
        )
    except TransportError as error:
        return type(error)
    finally:
        await transport.aclose()
    return response.status, keep_compared(response.headers), response.body


def keep_compared(headers):
    return [(k, v) for k, v in headers if k.lower().decode() not in FIELDS_OF_CODING]


@pytest.mark.parametrize("pieces", [1, 9])
@pytest.mark.parametrize("name", RESPONSES)
async def test_response_equals_httpx(serve, name, pieces):
    server = await serve(make_script(*RESPONSES[name], pieces))
    read_s = 0.1 if "silence" in name else 5

    from_httpx = await httpx_outcome("GET", server.url, read_s)
    from_pool = await outcome(PooledTransport(), "GET", server.url, read_s)

    if from_httpx is InvalidResponse:
        assert issubclass(from_pool, from_httpx)
    else:
        assert from_pool == from_httpx
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "name", ["length", "chunked", "until close", "gzip", "204", "100 continue", "connection close"]
)
async def test_head_has_no_body(serve, name):
    blank_lines = 2 if name == "100 continue" else 1
    response = RESPONSES[name][0]
    head = response.removesuffix(response.split(b"\r\n\r\n", blank_lines)[-1])
    server = await serve(make_script(head, "wait", 1))

    from_httpx = await httpx_outcome("HEAD", server.url)
    from_pool = await outcome(PooledTransport(), "HEAD", server.url)

    assert from_pool == from_httpx
    assert from_pool[2] == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("size", [0, 3, 2_000_000])
async def test_request_equals_httpx(serve, method, size):
    server = await serve(make_script(with_length(b"done"), "wait", 1))
    content = bytes(size) or None

    transport = PooledTransport()

    async with httpx.AsyncClient(trust_env=False, verify=TLS) as client:
        request = client.build_request(method, server.url + "/p?q=%20", content=content)
        await client.send(request)
    headers = tuple(field for field in request.headers.raw if field[0] != b"Host")
    await transport.exchange(server.url, method, "/p?q=%20", headers, content or b"")
    await transport.aclose()

    from_httpx, from_pool = (request.partition(b"\r\n\r\n") for request in server.requests)
    assert from_pool[2] == from_httpx[2]
    assert sorted(from_pool[0].lower().split(b"\r\n")) == sorted(
        from_httpx[0].lower().split(b"\r\n")
    )


STRICTER = {
    "length and chunked": (
        OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        InvalidResponse,
    ),
    "switching protocols": (
        b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        InvalidResponse,
    ),
    "status 099": (b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n", InvalidResponse),
    "unknown coding": (with_length(b"hello", b"Content-Encoding: br"), UnknownCoding),
    "two codings": (with_length(ZIPPED, b"Content-Encoding: gzip, gzip"), UnknownCoding),
    "gzip cut off": (with_length(ZIPPED[:-9], b"Content-Encoding: gzip"), UndecodableBody),
    "gzip and more": (with_length(ZIPPED + b"x", b"Content-Encoding: gzip"), UndecodableBody),
    "many headers": (
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 201 + b"Content-Length: 0\r\n\r\n",
        ResponseTooLarge,
    ),
    "large head": (
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 66_000 + b"\r\nContent-Length: 0\r\n\r\n",
        ResponseTooLarge,
    ),
    "bomb": (
        with_length(gzip.compress(bytes(9 * 1024 * 1024)), b"Content-Encoding: gzip"),
        ResponseTooLarge,
    ),
}


@pytest.mark.parametrize("name", STRICTER)
async def test_response_is_rejected(serve, name):
    response, expected = STRICTER[name]
    server = await serve(make_script(response, "wait", 1))

    from_pool = await outcome(PooledTransport(), "GET", server.url)

    assert from_pool is expected


def test_compression_bomb_is_never_inflated():
    bomb = gzip.compress(bytes(50_000_000))

    tracemalloc.start()
    with pytest.raises(ResponseTooLarge):
        decode_content(bomb, b"gzip", 10_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 1_000_000


def make_endless_script(start: bytes, piece: bytes):
    async def script(peer):
        await peer.request()
        await peer.send(start)
        while True:
            await peer.send(piece)

    return script


@pytest.mark.parametrize(
    ("start", "piece", "state"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n" * 100, Sent.MAYBE),
        (b"HTTP/1.1 200 ", b"o" * 1000, Sent.MAYBE),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, Sent.MAYBE),
        (OK + b"\r\n", b"b" * 1000, Sent.RESPONSE_STARTED),
        (OK + b"Content-Length: 999999999999\r\n\r\n", b"b" * 1000, Sent.RESPONSE_STARTED),
        (CHUNKED, b"1\r\nb\r\n" * 1000, Sent.RESPONSE_STARTED),
        (CHUNKED + b"1\r\nb\r\n1;", b"e" * 1000, Sent.RESPONSE_STARTED),
        (CHUNKED + b"1\r\nb\r\n0\r\n", b"T: 1\r\n" * 100, Sent.RESPONSE_STARTED),
        (CHUNKED + b"1\r\nb\r\n0\r\nT: ", b"t" * 1000, Sent.RESPONSE_STARTED),
    ],
    ids=["headers", "reason", "interim", "until close", "length", "chunks", "extension",
         "trailers", "trailer"],
)  # fmt: skip
async def test_endless_response_is_cut_off(serve, start, piece, state):
    server = await serve(make_endless_script(start, piece))
    transport = PooledTransport(bounds=Bounds(body_bytes_max=100_000))

    with pytest.raises(ResponseTooLarge) as caught:
        await transport.exchange(server.url, "GET", "/", ())

    assert caught.value.sent is state
    assert caught.value.status == (200 if state is Sent.RESPONSE_STARTED else None)
    await transport.aclose()


@pytest.mark.parametrize("size", [1000, 1001])
@pytest.mark.parametrize("sized_by", ["length", "close"])
async def test_body_may_be_as_large_as_its_bound(serve, sized_by, size):
    body = b"x" * size
    response = with_length(body) if sized_by == "length" else OK + b"\r\n" + body
    server = await serve(make_script(response, "close", 5))
    transport = PooledTransport(bounds=Bounds(body_bytes_max=1000))

    got = await outcome(transport, "GET", server.url)

    assert got is ResponseTooLarge if size > 1000 else got[2] == body
