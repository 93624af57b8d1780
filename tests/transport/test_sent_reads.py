"""Reads that are sent at once on an idle connection, and what they leave of the pool."""

import asyncio

import pytest

from balance_gateway.transport import Pool, Timeouts
from balance_gateway.transport.errors import InvalidResponse, ReadTimeout
from balance_gateway.transport.limits import DEFAULT_TIMEOUTS

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def begin(pool, target="/", timeouts=DEFAULT_TIMEOUTS):
    """Begin a read and return it once it has ended."""
    ended = asyncio.Event()
    assert pool.has_idle()
    sent = pool.begin_read(target, (), timeouts, ended.set)
    await ended.wait()
    return sent


async def test_a_read_is_begun_only_on_an_idle_connection(serve):
    async def respond(peer):
        while True:
            await peer.request()
            await peer.send(RESPONSE)

    server = await serve(respond)
    pool = Pool(server.url)

    assert not pool.has_idle()
    await pool.exchange("GET", "/first")
    assert pool.has_idle()
    sent = await begin(pool, "/second")

    assert sent.response.body == b"ok"
    assert (await sent.finish()) is sent.response
    assert len(server.peers) == 1
    assert [request.split()[1] for request in server.requests] == [b"/first", b"/second"]
    assert pool.usage == (1, 1, 0)
    await pool.aclose()


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"])
async def test_a_lost_begun_read_is_repeated_only_if_nothing_came(serve, reply):
    async def close_second(peer):
        await peer.request()
        await peer.send(RESPONSE)
        await peer.request()
        if peer.number == 0 and reply:
            await peer.send(reply)
        peer.close()

    server = await serve(close_second)
    pool = Pool(server.url)
    await pool.exchange("GET", "/")
    repeats = []

    async def before_repeat():
        repeats.append("now")

    sent = await begin(pool)
    if reply:
        with pytest.raises(InvalidResponse):
            await sent.finish(before_repeat)
    else:
        assert (await sent.finish(before_repeat)).body == b"ok"

    assert repeats == ([] if reply else ["now"])
    assert pool.usage.open == (0 if reply else 1)
    await pool.aclose()


async def test_a_begun_read_ends_at_its_own_time_limit(serve):
    async def respond_once(peer):
        await peer.request()
        await peer.send(RESPONSE)
        await peer.request()
        await peer.wait_closed()

    server = await serve(respond_once)
    pool = Pool(server.url)
    await asyncio.gather(pool.exchange("GET", "/"), pool.exchange("GET", "/"))

    hanging, later = await asyncio.gather(
        begin(pool, "/1", Timeouts(total_s=0.05)), begin(pool, "/2", Timeouts(total_s=0.1))
    )

    for sent in (hanging, later):
        with pytest.raises(ReadTimeout):
            await sent.finish()
    assert pool.usage == (0, 0, 0)
    await pool.aclose()


async def test_a_cancelled_begun_read_frees_its_slot_and_ends_nothing(serve, eventually):
    async def respond_once(peer):
        await peer.request()
        await peer.send(RESPONSE)
        await peer.wait_closed()

    server = await serve(respond_once)
    pool = Pool(server.url)
    await pool.exchange("GET", "/")
    ended = []
    sent = pool.begin_read("/", (), Timeouts(), lambda: ended.append("yes"))

    sent.cancel()
    sent.cancel()

    await eventually(lambda: server.open == 0)
    assert ended == []
    assert pool.usage == (0, 0, 0)
    await pool.aclose()
