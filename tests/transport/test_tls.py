"""TLS: a request is sent only after a trusted certificate for the host was verified."""

import asyncio
import ipaddress
import ssl

import pytest
from cryptography import x509

from balance_gateway.transport import (
    Limits,
    Pool,
    PooledTransport,
    Sent,
    get_sent,
    verified_ssl_context,
)
from balance_gateway.transport.errors import ConnectFailed, InvalidResponse, ReadFailed

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def respond_ok(peer):
    while True:
        await peer.request()
        await peer.send(RESPONSE)


LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


async def test_trusted_certificate_for_the_host_is_accepted(serve, certificate):
    tls, trusting = certificate(LOOPBACK, x509.DNSName("localhost"))
    named = []
    tls.sni_callback = lambda _ssl, name, _context: named.append(name)
    server = await serve(respond_ok, tls=tls)
    pool = Pool(f"https://localhost:{server.port}", ssl_context=trusting)

    bodies = [(await pool.exchange(m, "/", [], b"")).body for m in ("GET", "GET", "PUT")]

    assert bodies == [b"ok"] * 3
    assert named == ["localhost"] * 2
    await pool.aclose()


async def test_untrusted_certificate_sends_nothing(serve, certificate):
    tls, _ = certificate(LOOPBACK)
    server = await serve(respond_ok, tls=tls)
    pool = Pool(server.url)

    with pytest.raises(ConnectFailed, match="certificate") as caught:
        await pool.exchange("PUT", "/", [], b"x")

    assert get_sent(caught.value) is Sent.NEVER
    assert server.requests == []
    assert pool.usage.open == 0


async def test_certificate_of_another_host_sends_nothing(serve, certificate):
    tls, trusting = certificate(x509.DNSName("other.example"))
    server = await serve(respond_ok, tls=tls)

    for host in ("localhost", "127.0.0.1"):
        pool = Pool(f"https://{host}:{server.port}", ssl_context=trusting)
        with pytest.raises(ConnectFailed, match="certificate") as caught:
            await pool.exchange("PUT", "/", [], b"x")
        assert get_sent(caught.value) is Sent.NEVER

    assert server.requests == []


async def test_plain_server_fails_the_handshake(serve):
    async def script(peer):
        await peer.read(1)
        await peer.send(b"HTTP/1.1 400 Bad\r\n\r\n")

    server = await serve(script)

    with pytest.raises(ConnectFailed) as caught:
        await Pool(server.url.replace("http", "https")).exchange("PUT", "/", [], b"x")

    assert get_sent(caught.value) is Sent.NEVER


async def test_large_bodies_pass_both_ways(serve, certificate):
    tls, trusting = certificate(LOOPBACK)
    body = bytes(range(256)) * 8192

    async def script(peer):
        request = await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        await peer.send(request[-len(body) :])

    server = await serve(script, tls=tls)
    transport = PooledTransport(ssl_context=trusting)

    response = await transport.exchange(server.url, "PUT", "/", (), body)

    assert response.body == body
    await transport.aclose()


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_connection_lost_after_the_request_is_maybe_sent(serve, certificate, end):
    tls, trusting = certificate(LOOPBACK)

    async def script(peer):
        await peer.request()
        getattr(peer, end)()

    server = await serve(script, tls=tls)
    pool = Pool(server.url, ssl_context=trusting)

    with pytest.raises((InvalidResponse, ReadFailed)) as caught:
        await pool.exchange("PUT", "/", [], b"x")

    assert get_sent(caught.value) is Sent.MAYBE
    assert len(server.requests) == 1


async def test_cancelled_handshakes_leave_the_pool_at_capacity(serve, certificate, eventually):
    tls, trusting = certificate(LOOPBACK)
    server = await serve(respond_ok, tls=tls)
    pool = Pool(server.url, ssl_context=trusting, limits=Limits(connections_max=5))

    for n in range(40):
        calls = [asyncio.create_task(pool.exchange("PUT", "/", [], b"x")) for _ in range(5)]
        await asyncio.sleep(n * 0.0002)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    responses = await asyncio.gather(*[pool.exchange("GET", "/") for _ in range(20)])
    assert [response.status for response in responses] == [200] * 20
    assert pool.usage.open == pool.usage.idle <= 5
    await pool.aclose()
    await eventually(lambda: server.open == 0)


def test_default_settings_verify_certificates():
    context = verified_ssl_context()

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
