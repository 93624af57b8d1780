"""The pool stays whole: bounded, fair, and at full capacity after any storm of cancellations."""

import asyncio
import gc
import os
import random

import httpx
import pytest

from balance_gateway.transport import HttptoolsTransport, Limits, Pool, Sent, Timeouts, sent

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def serve_well(peer):
    while True:
        await peer.request()
        await peer.send(ANSWER)


def held():
    """A script that answers only once its event is set."""
    gate = asyncio.Event()

    async def gated(peer):
        while True:
            await peer.request()
            await gate.wait()
            await peer.send(ANSWER)

    return gate, gated


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_connections_are_reused_and_bounded(serve):
    server = await serve(serve_well)
    pool = Pool(server.url, limits=Limits(connections_max=7))

    await asyncio.gather(*[pool.exchange("GET", f"/{n}") for n in range(200)])

    assert len(server.seen) == 200
    assert len(server.peers) == server.open_max == 7
    assert pool.usage == (7, 7, 0)
    await pool.aclose()


async def test_no_more_than_idle_max_are_kept(serve, settled):
    gate, script = held()
    server = await serve(script)
    pool = Pool(server.url, limits=Limits(connections_max=9, idle_max=2))
    calls = [asyncio.create_task(pool.exchange("GET", "/")) for _ in range(9)]
    await settled(lambda: len(server.seen) == 9)

    gate.set()
    await asyncio.gather(*calls)

    assert pool.usage == (2, 2, 0)
    await settled(lambda: server.open == 2)
    await pool.aclose()


async def test_idle_connections_expire(serve, settled):
    server = await serve(serve_well)
    pool = Pool(server.url, limits=Limits(idle_expiry_s=0.1))

    await asyncio.gather(*[pool.exchange("GET", "/") for _ in range(5)])

    await settled(lambda: server.open == 0)
    assert pool.usage == (0, 0, 0)
    await pool.aclose()


async def test_waiters_are_served_in_their_order(serve):
    gate, script = held()
    server = await serve(script)
    pool = Pool(server.url, limits=Limits(connections_max=1))
    calls = []
    for n in range(20):
        calls.append(asyncio.create_task(pool.exchange(("GET", "PUT")[n % 2], f"/{n}")))
        await asyncio.sleep(0)
    calls[7].cancel()

    gate.set()
    await asyncio.gather(*calls, return_exceptions=True)

    order = [int(seen.split()[1][1:]) for seen in server.seen]
    assert order == [n for n in range(20) if n != 7]
    assert server.open_max <= 2
    await pool.aclose()


@pytest.mark.parametrize("limit", [{"pool_s": 0.1}, {"total_s": 0.1}])
async def test_waiting_too_long_is_a_pool_timeout(serve, limit, settled):
    gate, script = held()
    server = await serve(script)
    pool = Pool(server.url, limits=Limits(connections_max=1, waiting_max=1))
    first = asyncio.create_task(pool.exchange("GET", "/first"))
    await settled(lambda: len(server.seen) == 1)

    with pytest.raises(httpx.PoolTimeout) as late:
        await pool.exchange("PUT", "/second", timeouts=Timeouts(**limit))
    third = asyncio.create_task(pool.exchange("GET", "/third"))
    await asyncio.sleep(0)
    with pytest.raises(httpx.PoolTimeout) as full:
        await pool.exchange("GET", "/fourth")
    gate.set()

    assert sent(late.value) is sent(full.value) is Sent.NEVER
    assert (await first).body == (await third).body == b"ok"
    assert len(server.seen) == 2
    await pool.aclose()


async def test_headers_given_again_are_sent_again_and_new_ones_are_seen(serve):
    server = await serve(serve_well)
    pool = Pool(server.url)
    kept = ((b"X-One", b"1"),)
    changed = [(b"X-One", b"2")]

    for headers in (kept, kept, changed):
        await pool.exchange("GET", "/", headers)
    changed[0] = (b"X-One", b"3")
    await pool.exchange("GET", "/", changed)
    await pool.exchange("GET", "/", iter(kept))
    for _ in range(2):
        with pytest.raises(httpx.LocalProtocolError):
            await pool.exchange("GET", "/", ((b"X-One", b"1\r\nX-Two: 2"),))

    seen = [line for one in server.seen for line in one.split(b"\r\n") if line[:1] == b"X"]
    assert seen == [b"X-One: " + value for value in (b"1", b"1", b"2", b"3", b"1")]
    await pool.aclose()


async def test_write_takes_the_place_of_an_idle_connection(serve):
    server = await serve(serve_well)
    pool = Pool(server.url, limits=Limits(connections_max=2))
    await asyncio.gather(pool.exchange("GET", "/"), pool.exchange("GET", "/"))

    await asyncio.gather(*[pool.exchange("PUT", "/", [], b"x") for _ in range(4)])

    assert len(server.peers) == 6
    assert pool.usage == (2, 2, 0)
    await pool.aclose()


@pytest.mark.parametrize("through", ["pool", "httpx"])
@pytest.mark.parametrize("seed", [1])
async def test_pool_is_whole_after_a_storm_of_cancellations(serve, seed, through, settled):
    """httpx 0.28.1's own pool ends such a storm with PoolTimeout for every later request."""
    chance = random.Random(seed)
    gate = asyncio.Event()
    held_back = []

    async def script(peer):
        while True:
            if b" /calm " in await peer.request():
                held_back.append(peer)
                await gate.wait()
                await peer.send(ANSWER)
                continue
            await asyncio.sleep(chance.choice([0, 0, 0.002, 0.01]))
            if chance.random() < 0.1:
                return
            await peer.send(ANSWER[:20], ANSWER[20:], pause_s=chance.choice([0, 0.002]))

    server = await serve(script)
    gc.collect()
    before = descriptors(), len(asyncio.all_tasks())
    transport = HttptoolsTransport(limits=Limits(connections_max=10))
    pool = transport.pool(server.url)
    client = httpx.AsyncClient(transport=transport, trust_env=False)

    async def call(n: int) -> None:
        method = chance.choice(["GET", "GET", "PUT"])
        try:
            async with asyncio.timeout(chance.random() * 0.03):
                if through == "pool":
                    await pool.exchange(method, f"/{n}", [], b"")
                else:
                    await client.request(method, f"{server.url}/{n}")
        except (TimeoutError, httpx.TransportError):
            pass

    for _ in range(10):
        await asyncio.gather(*[call(n) for n in range(60)])

    assert pool.usage.waiting == 0
    assert pool.usage.open == pool.usage.idle <= 10
    full = [asyncio.create_task(pool.exchange("GET", "/calm")) for _ in range(25)]
    await settled(lambda: len(held_back) == 10)
    assert pool.usage == (10, 0, 15)
    gate.set()
    assert [a.status for a in await asyncio.gather(*full)] == [200] * 25
    await client.aclose()
    await settled(lambda: server.open == 0)
    await settled(lambda: (descriptors(), len(asyncio.all_tasks())) == before)


async def test_closing_ends_everything(serve, settled):
    async def script(peer):
        if b"/kept" in await peer.request():
            await peer.send(ANSWER)
        await peer.gone()

    server = await serve(script)
    before = descriptors()
    pool = Pool(server.url, limits=Limits(connections_max=3))
    await pool.exchange("GET", "/kept")
    calls = [asyncio.create_task(pool.exchange("PUT", f"/{n}")) for n in range(4)]
    await settled(lambda: len(server.seen) == 4)

    await pool.aclose()
    results = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(r) for r in results] == [httpx.ReadError] * 3 + [RuntimeError]
    assert [sent(r) for r in results] == [Sent.MAYBE] * 3 + [Sent.NEVER]
    assert pool.usage == (0, 0, 0)
    with pytest.raises(RuntimeError, match="closed"):
        await pool.exchange("GET", "/")
    await settled(lambda: server.open == 0 and descriptors() == before)


async def test_closing_ends_a_dial():
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
        with pytest.raises(RuntimeError, match="closed") as caught:
            async with asyncio.timeout(2):
                await call

    assert sent(caught.value) is Sent.NEVER


async def test_transport_is_closed_with_its_client(serve, settled):
    server = await serve(serve_well)
    transport = HttptoolsTransport()
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        await client.get(server.url)

    with pytest.raises(RuntimeError, match="closed"):
        transport.pool(server.url)
    await settled(lambda: server.open == 0)


async def test_origins_are_bounded(serve, settled):
    first, second, third = [await serve(serve_well) for _ in range(3)]
    transport = HttptoolsTransport(limits=Limits(idle_expiry_s=0.05), origins_max=2)
    for server in (first, second):
        await transport.pool(server.url).exchange("GET", "/")

    with pytest.raises(httpx.PoolTimeout):
        transport.pool(third.url)
    await settled(lambda: transport.pool(first.url).usage.open == 0)

    answer = await transport.pool(third.url).exchange("GET", "/")
    assert answer.status == 200
    await transport.aclose()


async def test_ten_thousand_calls_leave_nothing_behind(serve, settled):
    server = await serve(serve_well)
    pool = Pool(server.url, limits=Limits(connections_max=20))
    await pool.exchange("GET", "/")
    gc.collect()
    before = descriptors(), len(asyncio.all_tasks())

    for _ in range(10):
        await asyncio.gather(*[pool.exchange("GET", "/") for _ in range(300)])

    assert pool.usage == (20, 20, 0)
    await pool.aclose()
    await settled(lambda: server.open == 0)
    await settled(lambda: (descriptors(), len(asyncio.all_tasks())) <= before)
