"""Both transports report the same failure with the same classes and the same ``Sent``."""

import asyncio
import gzip
import ipaddress
import socket

import pytest
from cryptography import x509

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import (
    ProviderBadResponse,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    ProviderUntrusted,
)
from balance_gateway.providers.http.client import ProviderHTTP
from balance_gateway.transport import (
    Bounds,
    Limits,
    PooledTransport,
    Sent,
    Timeouts,
    TransportError,
    build_transport,
    get_sent,
)
from balance_gateway.transport.errors import (
    ConnectFailed,
    ConnectTimeout,
    InvalidRequest,
    InvalidResponse,
    PoolTimeout,
    ReadFailed,
    ReadTimeout,
    ResponseTooLarge,
    SendTimeout,
    TransportClosed,
    UnknownCoding,
)
from balance_gateway.transport.httpx_transport import HttpxTransport

both_transports = pytest.mark.parametrize("transport", [PooledTransport, HttpxTransport])
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
RESPONSE = OK + b"Content-Length: 2\r\n\r\n{}"
ZIPPED = gzip.compress(b" " * 5000)


async def fail(transport, url: str, method: str, timeout_s: float = 3):
    """Return the gateway's error of a call that must fail, and the transport's."""
    provider = ProviderHTTP("c", ProviderKind.LIGHT, url, timeout_s=timeout_s, transport=transport)
    body = {"amount": 1} if method == "PUT" else None
    with pytest.raises(ProviderError) as caught:
        await provider.send("call", method, "v1", body=body)
    await provider.aclose()
    cause = caught.value.__cause__
    assert isinstance(cause, TransportError)
    return caught.value, cause


async def drop(peer):
    await peer.request()
    peer.close()


async def reset(peer):
    await peer.request()
    peer.reset()


def make_script(response: bytes, end: str):
    async def script(peer):
        await peer.request()
        await peer.send(response, pause_s=0.03 if end == "reset" else 0)
        if end == "wait":
            await peer.wait_closed()
        getattr(peer, "reset" if end == "reset" else "close")()

    return script


FAILURES = {
    # name: (script, transport's class, sent, gateway's class)
    "closed": (drop, InvalidResponse, Sent.MAYBE, ProviderUnavailable),
    "reset": (reset, ReadFailed, Sent.MAYBE, ProviderUnavailable),
    "silence": (make_script(b"", "wait"), ReadTimeout, Sent.MAYBE, ProviderTimeout),
    "no HTTP": (
        make_script(b"SSH-2.0\r\n\r\n", "wait"),
        InvalidResponse,
        Sent.MAYBE,
        ProviderUnavailable,
    ),
    "half a head": (make_script(OK, "close"), InvalidResponse, Sent.MAYBE, ProviderUnavailable),
    "body cut off": (
        make_script(RESPONSE[:-1], "close"),
        InvalidResponse,
        Sent.RESPONSE_STARTED,
        ProviderUnavailable,
    ),
    "body reset": (
        make_script(RESPONSE[:-1], "reset"),
        ReadFailed,
        Sent.RESPONSE_STARTED,
        ProviderUnavailable,
    ),
    "body silent": (
        make_script(RESPONSE[:-1], "wait"),
        ReadTimeout,
        Sent.RESPONSE_STARTED,
        ProviderTimeout,
    ),
    "body too large": (
        make_script(OK + b"Content-Length: 1001\r\n\r\n" + b" " * 1001, "wait"),
        ResponseTooLarge,
        Sent.RESPONSE_STARTED,
        ProviderBadResponse,
    ),
    "body inflates too far": (
        make_script(
            OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(ZIPPED) + ZIPPED,
            "wait",
        ),
        ResponseTooLarge,
        Sent.RESPONSE_STARTED,
        ProviderBadResponse,
    ),
    "unknown coding": (
        make_script(OK + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx", "wait"),
        UnknownCoding,
        Sent.RESPONSE_STARTED,
        ProviderBadResponse,
    ),
}


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("name", FAILURES)
@both_transports
async def test_lost_response_is_reported_alike(serve, transport, name, method):
    script, kind, sent, gateway_kind = FAILURES[name]
    server = await serve(script)
    bounded = transport(bounds=Bounds(body_bytes_max=1000))

    error, cause = await fail(bounded, server.url, method, 0.3 if "silen" in name else 3)

    assert (type(cause), cause.sent, type(error)) == (kind, sent, gateway_kind)
    assert error.maybe_applied is (method == "PUT")
    assert cause.status == (200 if sent is Sent.RESPONSE_STARTED else None)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("limit", "body", "kind", "sent"),
    [
        ({"read_s": 0.2}, b"x", ReadTimeout, Sent.MAYBE),
        ({"write_s": 0.2}, bytes(30_000_000), SendTimeout, Sent.MAYBE),
        ({"pool_s": 0.2}, b"x", PoolTimeout, Sent.NEVER),
    ],
    ids=["read", "write", "pool"],
)
@both_transports
async def test_timeout_of_a_phase_is_reported_alike(
    serve, transport, limit, body, kind, sent, eventually
):
    async def script(peer):
        await peer.read(10)
        await asyncio.Event().wait()

    server = await serve(script)
    sender = transport(limits=Limits(connections_max=1))
    calls = []
    if kind is PoolTimeout:
        calls.append(asyncio.ensure_future(sender.exchange(server.url, "PUT", "/", (), b"x")))
        await eventually(lambda: len(server.peers) == 1)

    with pytest.raises(TransportError) as caught:
        await sender.exchange(server.url, "PUT", "/", (), body, timeouts=Timeouts(**limit))

    assert (type(caught.value), caught.value.sent) == (kind, sent)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await sender.aclose()


@both_transports
async def test_refusal_without_its_body_is_a_refusal(serve, transport):
    head = b"HTTP/1.1 422 X\r\nRetry-After: 1\r\nContent-Length: 9\r\n\r\n"
    server = await serve(make_script(head, "close"))
    provider = ProviderHTTP("c", ProviderKind.LIGHT, server.url, transport=transport())

    response = await provider.send("call", "PUT", "v1", body={})

    assert (response.status, response.headers, response.body) == (422, {"retry-after": "1"}, None)
    await provider.aclose()


@pytest.mark.parametrize("host", ["refused", "no-such-host.invalid", "a..b", "x" * 70])
@both_transports
async def test_missing_connection_is_never_sent(transport, host):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}" if host == "refused" else host
        error, cause = await fail(transport(), f"http://{address}", "PUT")

    assert (type(cause), cause.sent) == (ConnectFailed, Sent.NEVER)
    assert type(error) is ProviderUnavailable
    assert not error.maybe_applied


@pytest.fixture
def full_url():
    """URL of a listener with a full queue, which accepts no connection."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        yield f"http://127.0.0.1:{full.getsockname()[1]}"


@both_transports
async def test_slow_connection_is_never_sent(transport, full_url):
    error, cause = await fail(transport(), full_url, "PUT", 0.3)

    assert (type(cause), cause.sent) == (ConnectTimeout, Sent.NEVER)
    assert type(error) is ProviderTimeout
    assert not error.maybe_applied


@both_transports
async def test_total_timeout_while_connecting_is_never_sent(transport, full_url):
    sender = transport()
    timeouts = Timeouts(connect_s=5, total_s=0.2)

    with pytest.raises(ConnectTimeout) as caught:
        await sender.exchange(full_url, "PUT", "/", (), b"x", timeouts=timeouts)

    assert caught.value.sent is Sent.NEVER
    await sender.aclose()


@both_transports
async def test_cancellation_while_connecting_is_never_sent(transport, full_url):
    sender = transport()

    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.2):
            await sender.exchange(full_url, "PUT", "/", (), b"x")

    assert get_sent(caught.value) is Sent.NEVER
    await sender.aclose()


@both_transports
async def test_untrusted_certificate_is_never_sent(serve, certificate, transport):
    tls, _ = certificate(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    server = await serve(drop, tls=tls)

    error, cause = await fail(transport(), server.url, "PUT")

    assert (type(cause), cause.sent) == (ConnectFailed, Sent.NEVER)
    assert type(error) is ProviderUntrusted
    assert not error.maybe_applied
    assert server.requests == []


@both_transports
async def test_server_without_tls_is_never_sent(serve, transport):
    async def script(peer):
        await peer.read(1)
        await peer.send(b"HTTP/1.1 400 Bad\r\n\r\n")

    server = await serve(script)

    error, cause = await fail(transport(), server.url.replace("http", "https"), "PUT")

    assert (type(cause), cause.sent) == (ConnectFailed, Sent.NEVER)
    assert type(error) is ProviderUnavailable
    assert not error.maybe_applied


@both_transports
async def test_closed_transport_is_never_sent(transport):
    closed = transport()
    await closed.aclose()

    error, cause = await fail(closed, "http://127.0.0.1:1", "PUT")

    assert (type(cause), cause.sent) == (TransportClosed, Sent.NEVER)
    assert type(error) is ProviderUnavailable
    assert not error.maybe_applied


@both_transports
async def test_write_uses_a_new_connection_and_reads_keep_theirs(serve, transport):
    async def script(peer):
        while True:
            await peer.request()
            await peer.send(RESPONSE)

    server = await serve(script)
    sender = transport()

    for method in ("GET", "GET", "PUT", "POST", "PUT", "GET"):
        await sender.exchange(server.url, method, "/", (), b"" if method == "GET" else b"x")

    counts = [peer.count for peer in server.peers]
    assert counts == ([2, 1, 1, 2] if transport is PooledTransport else [3, 1, 1, 1])
    await sender.aclose()


@both_transports
async def test_cancellation_records_how_far_the_request_got(serve, transport, eventually):
    server = await serve(make_script(b"", "wait"))
    sender = transport()
    call = asyncio.ensure_future(sender.exchange(server.url, "PUT", "/", (), b"x"))
    await eventually(lambda: len(server.requests) == 1)

    call.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await call

    assert get_sent(caught.value) is Sent.MAYBE
    await eventually(lambda: server.open == 0)
    await sender.aclose()


@pytest.mark.parametrize(
    "headers", [((b"X", b"1\r\nX-Evil: 1"),), ((b"X Y", b"1"),)], ids=["value", "name"]
)
@both_transports
async def test_injected_header_is_never_sent(serve, transport, headers):
    server = await serve(drop)
    sender = transport()

    with pytest.raises(InvalidRequest) as caught:
        await sender.exchange(server.url, "PUT", "/", headers, b"x")

    assert caught.value.sent is Sent.NEVER
    assert server.requests == []
    await sender.aclose()


def test_transport_is_built_by_its_name():
    assert type(build_transport("pooled")) is PooledTransport
    assert type(build_transport("httpx")) is HttpxTransport
    with pytest.raises(ValueError, match='"pooled" or "httpx"'):
        build_transport("aiohttp")


def test_as_many_connections_are_kept_as_calls_may_be_in_flight():
    few, many = (
        build_transport("pooled", concurrency_max=4),
        build_transport("pooled", concurrency_max=200),
    )

    assert [one._limits[:2] for one in (few, many)] == [(50, 50), (200, 200)]
