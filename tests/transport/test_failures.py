"""Every failure records how far the request got, and no write is ever sent twice."""

import asyncio
import socket

import pytest

from balance_gateway.transport import (
    Limits,
    Pool,
    Sent,
    Timeouts,
    TransportError,
    get_sent,
)
from balance_gateway.transport.errors import (
    ConnectFailed,
    ConnectTimeout,
    InvalidRequest,
    InvalidResponse,
    InvalidURL,
    ReadTimeout,
    SendFailed,
    SendTimeout,
)

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


async def failure(pool: Pool, method: str = "GET", body: bytes = b"", **timeouts: float):
    """Return the error of an exchange that must fail."""
    try:
        async with asyncio.timeout(8):  # Longer than any test here may take.
            await pool.exchange(method, "/x", [], body, timeouts=Timeouts(**timeouts))
    except TransportError as error:
        return error
    finally:
        await pool.aclose()
    raise AssertionError("the exchange did not fail")


async def drop(peer):
    await peer.request()
    peer.close()


async def reset(peer):
    await peer.request()
    peer.reset()


async def never_respond(peer):
    await peer.request()
    await peer.wait_closed()


async def cut_off(peer):
    await peer.request()
    await peer.send(RESPONSE[:-1])
    peer.close()


async def respond_ok(peer):
    while True:
        request = await peer.request()
        await peer.send(RESPONSE[:-2] if request.startswith(b"HEAD") else RESPONSE)


async def trickle(peer):
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
    while True:
        await peer.send(b"x", pause_s=0.02)


async def trickle_head(peer):
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await peer.send(b"X: 1\r\n", pause_s=0.02)


async def test_refused_connection_is_never_sent():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = await failure(Pool(f"http://127.0.0.1:{unused.getsockname()[1]}"), "PUT", b"x")

    assert type(error) is ConnectFailed
    assert get_sent(error) is Sent.NEVER


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70])
async def test_unknown_host_is_never_sent(host):
    error = await failure(Pool(f"http://{host}"), "PUT", b"x")

    assert type(error) is ConnectFailed
    assert get_sent(error) is Sent.NEVER


@pytest.mark.parametrize("limit", [{"connect_s": 0.2}, {"total_s": 0.2}])
async def test_connect_timeout_is_never_sent(limit):
    """A listener with a full queue accepts no connection."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        error = await failure(Pool(f"http://127.0.0.1:{full.getsockname()[1]}"), **limit)

    assert type(error) is ConnectTimeout
    assert get_sent(error) is Sent.NEVER


@pytest.mark.parametrize("script", [drop, reset, cut_off, never_respond])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("kept", [False, True], ids=["first", "after a read"])
async def test_write_is_sent_once_whatever_happens(serve, script, method, kept):
    async def server_script(peer):
        if kept and peer.number == 0:
            await respond_ok(peer)
        await script(peer)

    server = await serve(server_script)
    pool = Pool(server.url)
    if kept:
        await pool.exchange("GET", "/kept")

    error = await failure(pool, method, b"amount=1", read_s=0.1)

    assert get_sent(error) is (Sent.RESPONSE_STARTED if script is cut_off else Sent.MAYBE)
    assert [request for request in server.requests if b"/kept" not in request] == server.requests[
        kept:
    ]
    assert len(server.requests) == 1 + kept
    assert server.requests[-1].startswith(method.encode())


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", METHODS)
async def test_idle_connection_closed_on_the_next_request(serve, method, how):
    """The keep-alive race: a read is resent on a new connection; a write never reuses one."""

    async def script(peer):
        await peer.request()
        await peer.send(RESPONSE)
        await peer.request()
        getattr(peer, how)()

    server = await serve(script)
    pool = Pool(server.url)
    await pool.exchange("GET", "/kept")

    response = await pool.exchange(method, "/x", [], b"")

    assert response.status == 200
    sent_times = sum(b" /x " in request for request in server.requests)
    assert sent_times == (2 if method in {"GET", "HEAD"} else 1)
    assert len(server.peers) == 2
    await pool.aclose()


async def test_read_is_repeated_only_once(serve):
    async def script(peer):
        if peer.number == 0:
            await peer.request()
            await peer.send(RESPONSE)
        await drop(peer)

    server = await serve(script)
    pool = Pool(server.url)
    await pool.exchange("GET", "/kept")

    error = await failure(pool)

    assert type(error) is InvalidResponse
    assert len(server.requests) == 3


@pytest.mark.parametrize("refuse", [False, True])
async def test_the_callback_runs_before_a_read_is_repeated(serve, refuse):
    async def script(peer):
        await peer.request()
        await peer.send(RESPONSE)
        await peer.request()
        peer.close()

    counted = []

    async def count():
        counted.append(1)
        if refuse:
            raise PermissionError("none left")

    server = await serve(script)
    pool = Pool(server.url)
    await pool.exchange("GET", "/kept", before_repeat=count)
    before = list(counted)

    if refuse:
        with pytest.raises(PermissionError):
            await pool.exchange("GET", "/x", before_repeat=count)
    else:
        await pool.exchange("GET", "/x", before_repeat=count)

    assert (before, counted) == ([], [1])
    assert sum(b" /x " in request for request in server.requests) == (1 if refuse else 2)
    assert pool.usage.open == (0 if refuse else 1)
    await pool.aclose()


@pytest.mark.parametrize("part", [b"H", RESPONSE[:-1], b"HTTP/1.1 100 Continue\r\n\r\n", None])
async def test_read_is_not_repeated_after_a_byte_or_a_time_limit(serve, part):
    async def script(peer):
        await peer.request()
        await peer.send(RESPONSE)
        await peer.request()
        if part is None:
            await peer.wait_closed()
        else:
            await peer.send(part)

    server = await serve(script)
    pool = Pool(server.url)
    await pool.exchange("GET", "/kept")

    error = await failure(pool, read_s=0.1)

    assert type(error) is (InvalidResponse if part else ReadTimeout)
    assert len(server.requests) == 2


async def test_read_repeated_to_a_stopped_server_is_maybe_sent(serve):
    async def script(peer):
        await peer.request()
        await peer.send(RESPONSE)
        await peer.request()
        server.listener.close()
        peer.close()

    server = await serve(script)
    pool = Pool(server.url)
    await pool.exchange("GET", "/kept")

    error = await failure(pool)

    assert type(error) is ConnectFailed
    assert get_sent(error) is Sent.MAYBE


@pytest.mark.parametrize(
    ("script", "state"),
    [(trickle, Sent.RESPONSE_STARTED), (trickle_head, Sent.MAYBE), (never_respond, Sent.MAYBE)],
)
async def test_total_timeout_ends_a_trickle(serve, script, state):
    server = await serve(script)

    error = await failure(Pool(server.url), read_s=60, total_s=0.3)

    assert type(error) is ReadTimeout
    assert get_sent(error) is state


async def test_slow_response_within_the_read_timeout_is_read(serve):
    async def script(peer):
        await peer.request()
        await peer.send(*[RESPONSE[i : i + 1] for i in range(len(RESPONSE))], pause_s=0.02)

    server = await serve(script)
    pool = Pool(server.url)

    response = await pool.exchange("GET", "/", timeouts=Timeouts(read_s=0.5, total_s=8))

    assert response.body == b"ok"
    await pool.aclose()


@pytest.mark.parametrize("limit", [{"write_s": 0.3}, {"total_s": 0.3}])
async def test_server_that_does_not_read_causes_a_write_timeout(serve, limit):
    async def script(peer):
        await asyncio.sleep(20)

    server = await serve(script)

    error = await failure(Pool(server.url), "PUT", bytes(30_000_000), **limit)

    assert type(error) is SendTimeout
    assert get_sent(error) is Sent.MAYBE


async def test_reset_while_sending_causes_a_write_error(serve):
    async def script(peer):
        await peer.read(1000)
        await asyncio.sleep(0.1)
        peer.reset()

    server = await serve(script)

    error = await failure(Pool(server.url), "PUT", bytes(30_000_000))

    assert type(error) is SendFailed
    assert get_sent(error) is Sent.MAYBE
    assert len(server.peers) == 1


async def test_early_response_is_returned_and_its_connection_closed(serve):
    async def script(peer):
        await peer.read(1000)
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await asyncio.sleep(20)

    server = await serve(script)
    pool = Pool(server.url)

    response = await pool.exchange("PUT", "/", [], bytes(30_000_000))

    assert response.status == 413
    assert pool.usage.open == 0
    await pool.aclose()


@pytest.mark.parametrize(
    "extra",
    [b"garbage", b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", RESPONSE, RESPONSE * 2],
)
async def test_bytes_after_a_response_never_reach_the_next_request(serve, extra):
    async def script(peer):
        await peer.request()
        await peer.send(RESPONSE + extra)
        await peer.wait_closed()

    server = await serve(script)
    pool = Pool(server.url)

    bodies = [(await pool.exchange("GET", path)).body for path in ("/one", "/two", "/three")]

    assert bodies == [b"ok"] * 3
    assert len(server.peers) == 3
    await pool.aclose()


async def test_bytes_on_an_idle_connection_close_it(serve, eventually):
    async def script(peer):
        await peer.request()
        await peer.send(RESPONSE, pause_s=0.1)
        await peer.send(b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n")
        await peer.wait_closed()

    server = await serve(script)
    pool = Pool(server.url)
    await pool.exchange("GET", "/")
    await eventually(lambda: pool.usage.open == 0)

    response = await pool.exchange("GET", "/")

    assert response.status == 200
    assert len(server.peers) == 2
    await pool.aclose()


BAD_BYTES = [b"\r", b"\n", b"\0", b"\r\nX-Evil: 1", b"\x7f", b"\x0b"]


@pytest.mark.parametrize("bad", BAD_BYTES)
@pytest.mark.parametrize("place", ["name", "value", "target", "method"])
async def test_injection_is_rejected_before_anything_is_sent(serve, place, bad):
    server = await serve(respond_ok)
    pool = Pool(server.url)
    parts = {"name": b"X-A", "value": b"1", "target": b"/a", "method": b"GET"}
    parts[place] += bad + b"b"

    with pytest.raises(InvalidRequest) as caught:
        await pool.exchange(parts["method"], parts["target"], [(parts["name"], parts["value"])])

    assert get_sent(caught.value) is Sent.NEVER
    assert server.peers == []


@pytest.mark.parametrize("target", ["", "a", "http://other/", "/a b", "/ü"])
async def test_target_must_be_a_path(target):
    with pytest.raises(InvalidRequest):
        await Pool("http://127.0.0.1:1").exchange("GET", target)


@pytest.mark.parametrize("name", [b"", b"X A", b"X:", b"X\xff"])
async def test_header_name_must_be_a_token(name):
    with pytest.raises(InvalidRequest):
        await Pool("http://127.0.0.1:1").exchange("GET", "/", [(name, b"1")])


async def test_host_and_framing_are_set_by_the_transport(serve):
    server = await serve(respond_ok)
    pool = Pool(server.url)
    host = server.url.removeprefix("http://").encode()

    framing = [(b"content-length", b"99"), (b"Transfer-Encoding", b"chunked"), (b"host", host)]
    await pool.exchange("PUT", "/", framing, b"abc")
    with pytest.raises(InvalidRequest):
        await pool.exchange("GET", "/", [(b"Host", b"other")])

    assert server.requests == [
        b"PUT / HTTP/1.1\r\nHost: " + host + b"\r\nAccept-Encoding: identity\r\n"
        b"Content-Length: 3\r\n\r\nabc"
    ]
    await pool.aclose()


@pytest.mark.parametrize("url", ["ftp://h/", "h", "http://", "//h"])
def test_other_urls_are_rejected(url):
    with pytest.raises(InvalidURL):
        Pool(url)


async def test_cancelled_write_records_how_far_it_got(serve, eventually):
    server = await serve(never_respond)
    pool = Pool(server.url, limits=Limits(connections_max=1))
    first = asyncio.create_task(pool.exchange("PUT", "/", [], b"x"))
    await eventually(lambda: len(server.requests) == 1)

    with pytest.raises(TimeoutError) as waiting:
        async with asyncio.timeout(0.05):
            await pool.exchange("PUT", "/", [], b"x")
    first.cancel()
    with pytest.raises(asyncio.CancelledError) as under_way:
        await first

    assert get_sent(waiting.value) is Sent.NEVER
    assert get_sent(under_way.value) is Sent.MAYBE
    await pool.aclose()


async def test_cancelled_exchange_closes_its_connection_at_once(serve, eventually):
    server = await serve(never_respond)
    pool = Pool(server.url)
    call = asyncio.create_task(pool.exchange("GET", "/", timeouts=Timeouts(read_s=60, total_s=60)))
    await eventually(lambda: len(server.requests) == 1)

    call.cancel()

    await eventually(lambda: server.open == 0)
    assert pool.usage == (0, 0, 0)
    await pool.aclose()


async def test_head_responses_leave_the_connection_usable(serve):
    server = await serve(respond_ok)
    pool = Pool(server.url)

    methods = ["HEAD", "GET", "HEAD", "HEAD", "GET"]
    bodies = [(await pool.exchange(method, "/")).body for method in methods]

    assert bodies == [b"", b"ok", b"", b"", b"ok"]
    assert len(server.peers) == 1
    await pool.aclose()
