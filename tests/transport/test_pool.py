"""The pool is bounded and fair, and keeps its full capacity after many cancellations."""

import asyncio
import gc
import os
import random

import pytest

from balance_gateway.transport import (
    Limits,
    Pool,
    PooledTransport,
    Sent,
    Timeouts,
    TransportError,
    get_sent,
)
from balance_gateway.transport.errors import (
    InvalidRequest,
    PoolTimeout,
    ReadFailed,
    TransportClosed,
)

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def respond_ok(peer):
    while True:
        await peer.request()
        await peer.send(RESPONSE)


def make_gated_script():
    """Return an event and a script that responds only once the event is set."""
    gate = asyncio.Event()

    async def gated(peer):
        while True:
            await peer.request()
            await gate.wait()
            await peer.send(RESPONSE)

    return gate, gated


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_connections_are_reused_and_bounded(serve):
    server = await serve(respond_ok)
    pool = Pool(server.url, limits=Limits(connections_max=7))

    await asyncio.gather(*[pool.exchange("GET", f"/{n}") for n in range(200)])

    assert len(server.requests) == 200
    assert len(server.peers) == server.open_max == 7
    assert pool.usage == (7, 7, 0)
    await pool.aclose()


async def test_at_most_idle_max_connections_are_kept(serve, eventually):
    gate, script = make_gated_script()
    server = await serve(script)
    pool = Pool(server.url, limits=Limits(connections_max=9, idle_max=2))
    calls = [asyncio.create_task(pool.exchange("GET", "/")) for _ in range(9)]
    await eventually(lambda: len(server.requests) == 9)

    gate.set()
    await asyncio.gather(*calls)

    assert pool.usage == (2, 2, 0)
    await eventually(lambda: server.open == 2)
    await pool.aclose()


async def test_idle_connections_expire(serve, eventually):
    server = await serve(respond_ok)
    pool = Pool(server.url, limits=Limits(idle_expiry_s=0.1))

    await asyncio.gather(*[pool.exchange("GET", "/") for _ in range(5)])

    await eventually(lambda: server.open == 0)
    assert pool.usage == (0, 0, 0)
    await pool.aclose()


async def test_waiting_callers_are_served_in_order(serve):
    gate, script = make_gated_script()
    server = await serve(script)
    pool = Pool(server.url, limits=Limits(connections_max=1))
    calls = []
    for n in range(20):
        calls.append(asyncio.create_task(pool.exchange(("GET", "PUT")[n % 2], f"/{n}")))
        await asyncio.sleep(0)
    calls[7].cancel()

    gate.set()
    await asyncio.gather(*calls, return_exceptions=True)

    order = [int(request.split()[1][1:]) for request in server.requests]
    assert order == [n for n in range(20) if n != 7]
    assert server.open_max <= 2
    await pool.aclose()


@pytest.mark.parametrize("limit", [{"pool_s": 0.1}, {"total_s": 0.1}])
async def test_waiting_too_long_causes_a_pool_timeout(serve, limit, eventually):
    gate, script = make_gated_script()
    server = await serve(script)
    pool = Pool(server.url, limits=Limits(connections_max=1, waiting_max=1))
    first = asyncio.create_task(pool.exchange("GET", "/first"))
    await eventually(lambda: len(server.requests) == 1)

    with pytest.raises(PoolTimeout) as late:
        await pool.exchange("PUT", "/second", timeouts=Timeouts(**limit))
    third = asyncio.create_task(pool.exchange("GET", "/third"))
    await asyncio.sleep(0)
    with pytest.raises(PoolTimeout) as full:
        await pool.exchange("GET", "/fourth")
    gate.set()

    assert get_sent(late.value) is get_sent(full.value) is Sent.NEVER
    assert (await first).body == (await third).body == b"ok"
    assert len(server.requests) == 2
    await pool.aclose()


async def test_repeated_headers_are_sent_and_changed_ones_are_noticed(serve):
    server = await serve(respond_ok)
    pool = Pool(server.url)
    kept = ((b"X-One", b"1"),)
    changed = [(b"X-One", b"2")]

    for headers in (kept, kept, changed):
        await pool.exchange("GET", "/", headers)
    changed[0] = (b"X-One", b"3")
    await pool.exchange("GET", "/", changed)
    await pool.exchange("GET", "/", iter(kept))
    for _ in range(2):
        with pytest.raises(InvalidRequest):
            await pool.exchange("GET", "/", ((b"X-One", b"1\r\nX-Two: 2"),))

    lines = [
        line for request in server.requests for line in request.split(b"\r\n") if line[:1] == b"X"
    ]
    assert lines == [b"X-One: " + value for value in (b"1", b"1", b"2", b"3", b"1")]
    await pool.aclose()


async def test_write_replaces_an_idle_connection(serve):
    server = await serve(respond_ok)
    pool = Pool(server.url, limits=Limits(connections_max=2))
    await asyncio.gather(pool.exchange("GET", "/"), pool.exchange("GET", "/"))

    await asyncio.gather(*[pool.exchange("PUT", "/", [], b"x") for _ in range(4)])

    assert len(server.peers) == 6
    assert pool.usage == (2, 2, 0)
    await pool.aclose()


@pytest.mark.parametrize("seed", [1])
async def test_pool_keeps_its_capacity_after_many_cancellations(serve, seed, eventually):
    """After such cancellations httpx 0.28.1's own pool raises PoolTimeout for every request."""
    rng = random.Random(seed)
    gate = asyncio.Event()
    waiting_peers = []

    async def script(peer):
        while True:
            if b" /calm " in await peer.request():
                waiting_peers.append(peer)
                await gate.wait()
                await peer.send(RESPONSE)
                continue
            await asyncio.sleep(rng.choice([0, 0, 0.002, 0.01]))
            if rng.random() < 0.1:
                return
            await peer.send(RESPONSE[:20], RESPONSE[20:], pause_s=rng.choice([0, 0.002]))

    server = await serve(script)
    gc.collect()
    before = count_descriptors(), len(asyncio.all_tasks())
    transport = PooledTransport(limits=Limits(connections_max=10))
    pool = transport.pool(server.url)

    async def call(n: int) -> None:
        method = rng.choice(["GET", "GET", "PUT"])
        try:
            async with asyncio.timeout(rng.random() * 0.03):
                await transport.exchange(server.url, method, f"/{n}", ())
        except (TimeoutError, TransportError):
            pass

    for _ in range(10):
        await asyncio.gather(*[call(n) for n in range(60)])

    assert pool.usage.waiting == 0
    assert pool.usage.open == pool.usage.idle <= 10
    full = [asyncio.create_task(pool.exchange("GET", "/calm")) for _ in range(25)]
    await eventually(lambda: len(waiting_peers) == 10)
    assert pool.usage == (10, 0, 15)
    gate.set()
    assert [response.status for response in await asyncio.gather(*full)] == [200] * 25
    await transport.aclose()
    await eventually(lambda: server.open == 0)
    await eventually(lambda: (count_descriptors(), len(asyncio.all_tasks())) == before)


async def test_closing_ends_every_exchange_and_connection(serve, eventually):
    async def script(peer):
        if b"/kept" in await peer.request():
            await peer.send(RESPONSE)
        await peer.wait_closed()

    server = await serve(script)
    before = count_descriptors()
    pool = Pool(server.url, limits=Limits(connections_max=3))
    await pool.exchange("GET", "/kept")
    calls = [asyncio.create_task(pool.exchange("PUT", f"/{n}")) for n in range(4)]
    await eventually(lambda: len(server.requests) == 4)

    await pool.aclose()
    results = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(r) for r in results] == [ReadFailed] * 3 + [TransportClosed]
    assert [get_sent(r) for r in results] == [Sent.MAYBE] * 3 + [Sent.NEVER]
    assert pool.usage == (0, 0, 0)
    with pytest.raises(TransportClosed):
        await pool.exchange("GET", "/")
    await eventually(lambda: server.open == 0 and count_descriptors() == before)


async def test_closing_ends_a_connection_attempt():
    import socket

    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        pool = Pool(f"http://127.0.0.1:{full.getsockname()[1]}")
        call = asyncio.create_task(pool.exchange("PUT", "/"))
        await asyncio.sleep(0.05)

        await pool.aclose()
        with pytest.raises(TransportClosed) as caught:
            async with asyncio.timeout(2):
                await call

    assert get_sent(caught.value) is Sent.NEVER


async def test_closed_transport_sends_nothing(serve, eventually):
    server = await serve(respond_ok)
    transport = PooledTransport()
    await transport.exchange(server.url, "GET", "/", ())

    await transport.aclose()

    with pytest.raises(TransportClosed):
        transport.pool(server.url)
    await eventually(lambda: server.open == 0)


async def test_origins_are_bounded(serve, eventually):
    first, second, third = [await serve(respond_ok) for _ in range(3)]
    transport = PooledTransport(limits=Limits(idle_expiry_s=0.05), origins_max=2)
    for server in (first, second):
        await transport.pool(server.url).exchange("GET", "/")

    with pytest.raises(PoolTimeout):
        transport.pool(third.url)
    await eventually(lambda: transport.pool(first.url).usage.open == 0)

    response = await transport.pool(third.url).exchange("GET", "/")
    assert response.status == 200
    await transport.aclose()


async def test_many_calls_leak_no_descriptors_or_tasks(serve, eventually):
    server = await serve(respond_ok)
    pool = Pool(server.url, limits=Limits(connections_max=20))
    await pool.exchange("GET", "/")
    gc.collect()
    before = count_descriptors(), len(asyncio.all_tasks())

    for _ in range(10):
        await asyncio.gather(*[pool.exchange("GET", "/") for _ in range(300)])

    assert pool.usage == (20, 20, 0)
    await pool.aclose()
    await eventually(lambda: server.open == 0)
    await eventually(lambda: (count_descriptors(), len(asyncio.all_tasks())) <= before)
