"""Every failure says how far the request got, and no write is ever sent twice."""

import asyncio
import socket

import httpx
import pytest

from balance_gateway.transport import HttptoolsTransport, Limits, Pool, Sent, Timeouts, sent

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


async def failure(pool: Pool, method: str = "GET", body: bytes = b"", **timeouts: float):
    """The error of an exchange that has to fail."""
    try:
        async with asyncio.timeout(8):  # The margin: no test here may take as long.
            await pool.exchange(method, "/x", [], body, timeouts=Timeouts(**timeouts))
    except (httpx.HTTPError, RuntimeError) as error:
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


async def keep_silent(peer):
    await peer.request()
    await peer.gone()


async def cut_off(peer):
    await peer.request()
    await peer.send(ANSWER[:-1])
    peer.close()


async def serve_well(peer):
    while True:
        request = await peer.request()
        await peer.send(ANSWER[:-2] if request.startswith(b"HEAD") else ANSWER)


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


async def test_refused_connection_was_never_sent():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = await failure(Pool(f"http://127.0.0.1:{unused.getsockname()[1]}"), "PUT", b"x")

    assert type(error) is httpx.ConnectError
    assert sent(error) is Sent.NEVER


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70])
async def test_unknown_host_was_never_sent(host):
    error = await failure(Pool(f"http://{host}"), "PUT", b"x")

    assert type(error) is httpx.ConnectError
    assert sent(error) is Sent.NEVER


@pytest.mark.parametrize("limit", [{"connect_s": 0.2}, {"total_s": 0.2}])
async def test_late_connection_was_never_sent(limit):
    """A listener whose queue is full lets nobody in."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        error = await failure(Pool(f"http://127.0.0.1:{full.getsockname()[1]}"), **limit)

    assert type(error) is httpx.ConnectTimeout
    assert sent(error) is Sent.NEVER


@pytest.mark.parametrize("script", [drop, reset, cut_off, keep_silent])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("kept", [False, True], ids=["first", "after a read"])
async def test_write_is_seen_once_whatever_happens(serve, script, method, kept):
    async def server_script(peer):
        if kept and peer.number == 0:
            await serve_well(peer)
        await script(peer)

    server = await serve(server_script)
    pool = Pool(server.url)
    if kept:
        await pool.exchange("GET", "/kept")

    error = await failure(pool, method, b"amount=1", read_s=0.1)

    assert sent(error) is (Sent.ANSWERED if script is cut_off else Sent.MAYBE)
    assert [seen for seen in server.seen if b"/kept" not in seen] == server.seen[kept:]
    assert len(server.seen) == 1 + kept
    assert server.seen[-1].startswith(method.encode())


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", METHODS)
async def test_kept_connection_closed_on_the_next_request(serve, method, how):
    """The keep-alive race: a read goes once more on a fresh connection; a write never met it."""

    async def script(peer):
        await peer.request()
        await peer.send(ANSWER)
        await peer.request()
        getattr(peer, how)()

    server = await serve(script)
    pool = Pool(server.url)
    await pool.exchange("GET", "/kept")

    answer = await pool.exchange(method, "/x", [], b"")

    assert answer.status == 200
    sent_times = sum(b" /x " in seen for seen in server.seen)
    assert sent_times == (2 if method in {"GET", "HEAD"} else 1)
    assert len(server.peers) == 2
    await pool.aclose()


async def test_read_is_repeated_only_once(serve):
    async def script(peer):
        if peer.number == 0:
            await peer.request()
            await peer.send(ANSWER)
        await drop(peer)

    server = await serve(script)
    pool = Pool(server.url)
    await pool.exchange("GET", "/kept")

    error = await failure(pool)

    assert type(error) is httpx.RemoteProtocolError
    assert len(server.seen) == 3


@pytest.mark.parametrize("refuse", [False, True])
async def test_who_counts_is_asked_before_a_read_is_repeated(serve, refuse):
    async def script(peer):
        await peer.request()
        await peer.send(ANSWER)
        await peer.request()
        peer.close()

    asked = []

    async def count():
        asked.append(1)
        if refuse:
            raise PermissionError("none left")

    server = await serve(script)
    pool = Pool(server.url)
    await pool.exchange("GET", "/kept", before_repeat=count)
    before = list(asked)

    if refuse:
        with pytest.raises(PermissionError):
            await pool.exchange("GET", "/x", before_repeat=count)
    else:
        await pool.exchange("GET", "/x", before_repeat=count)

    assert (before, asked) == ([], [1])
    assert sum(b" /x " in seen for seen in server.seen) == (1 if refuse else 2)
    assert pool.usage.open == (0 if refuse else 1)
    await pool.aclose()


@pytest.mark.parametrize("part", [b"H", ANSWER[:-1], b"HTTP/1.1 100 Continue\r\n\r\n", None])
async def test_read_is_not_repeated_after_a_byte_or_a_time_limit(serve, part):
    async def script(peer):
        await peer.request()
        await peer.send(ANSWER)
        await peer.request()
        if part is None:
            await peer.gone()
        else:
            await peer.send(part)

    server = await serve(script)
    pool = Pool(server.url)
    await pool.exchange("GET", "/kept")

    error = await failure(pool, read_s=0.1)

    assert type(error) is (httpx.RemoteProtocolError if part else httpx.ReadTimeout)
    assert len(server.seen) == 2


async def test_read_repeated_to_a_dead_server_counts_as_maybe_sent(serve):
    async def script(peer):
        await peer.request()
        await peer.send(ANSWER)
        await peer.request()
        server.listener.close()
        peer.close()

    server = await serve(script)
    pool = Pool(server.url)
    await pool.exchange("GET", "/kept")

    error = await failure(pool)

    assert type(error) is httpx.ConnectError
    assert sent(error) is Sent.MAYBE


@pytest.mark.parametrize(
    ("script", "state"),
    [(trickle, Sent.ANSWERED), (trickle_head, Sent.MAYBE), (keep_silent, Sent.MAYBE)],
)
async def test_total_time_ends_a_trickle(serve, script, state):
    server = await serve(script)

    error = await failure(Pool(server.url), read_s=60, total_s=0.3)

    assert type(error) is httpx.ReadTimeout
    assert sent(error) is state


async def test_slow_answer_within_the_read_time_is_read(serve):
    async def script(peer):
        await peer.request()
        await peer.send(*[ANSWER[i : i + 1] for i in range(len(ANSWER))], pause_s=0.02)

    server = await serve(script)
    pool = Pool(server.url)

    answer = await pool.exchange("GET", "/", timeouts=Timeouts(read_s=0.5, total_s=8))

    assert answer.body == b"ok"
    await pool.aclose()


@pytest.mark.parametrize("limit", [{"write_s": 0.3}, {"total_s": 0.3}])
async def test_server_that_does_not_read_is_a_write_timeout(serve, limit):
    async def script(peer):
        await asyncio.sleep(20)

    server = await serve(script)

    error = await failure(Pool(server.url), "PUT", bytes(30_000_000), **limit)

    assert type(error) is httpx.WriteTimeout
    assert sent(error) is Sent.MAYBE


async def test_reset_while_sending_is_a_write_error(serve):
    async def script(peer):
        await peer.some(1000)
        await asyncio.sleep(0.1)
        peer.reset()

    server = await serve(script)

    error = await failure(Pool(server.url), "PUT", bytes(30_000_000))

    assert type(error) is httpx.WriteError
    assert sent(error) is Sent.MAYBE
    assert len(server.peers) == 1


async def test_answer_before_the_request_was_read_is_taken_and_its_connection_closed(serve):
    async def script(peer):
        await peer.some(1000)
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await asyncio.sleep(20)

    server = await serve(script)
    pool = Pool(server.url)

    answer = await pool.exchange("PUT", "/", [], bytes(30_000_000))

    assert answer.status == 413
    assert pool.usage.open == 0
    await pool.aclose()


@pytest.mark.parametrize(
    "extra",
    [b"garbage", b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ANSWER, ANSWER * 2],
)
async def test_bytes_after_an_answer_never_meet_the_next_request(serve, extra):
    async def script(peer):
        await peer.request()
        await peer.send(ANSWER + extra)
        await peer.gone()

    server = await serve(script)
    pool = Pool(server.url)

    bodies = [(await pool.exchange("GET", path)).body for path in ("/one", "/two", "/three")]

    assert bodies == [b"ok"] * 3
    assert len(server.peers) == 3
    await pool.aclose()


async def test_bytes_on_an_idle_connection_close_it(serve, settled):
    async def script(peer):
        await peer.request()
        await peer.send(ANSWER, pause_s=0.1)
        await peer.send(b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n")
        await peer.gone()

    server = await serve(script)
    pool = Pool(server.url)
    await pool.exchange("GET", "/")
    await settled(lambda: pool.usage.open == 0)

    answer = await pool.exchange("GET", "/")

    assert answer.status == 200
    assert len(server.peers) == 2
    await pool.aclose()


BAD_BYTES = [b"\r", b"\n", b"\0", b"\r\nX-Evil: 1", b"\x7f", b"\x0b"]


@pytest.mark.parametrize("bad", BAD_BYTES)
@pytest.mark.parametrize("place", ["name", "value", "target", "method"])
async def test_injection_is_refused_before_anything_is_sent(serve, place, bad):
    server = await serve(serve_well)
    pool = Pool(server.url)
    parts = {"name": b"X-A", "value": b"1", "target": b"/a", "method": b"GET"}
    parts[place] += bad + b"b"

    with pytest.raises(httpx.LocalProtocolError) as caught:
        await pool.exchange(parts["method"], parts["target"], [(parts["name"], parts["value"])])

    assert sent(caught.value) is Sent.NEVER
    assert server.peers == []


@pytest.mark.parametrize("target", ["", "a", "http://other/", "/a b", "/ü"])
async def test_target_has_to_be_a_path(target):
    with pytest.raises(httpx.LocalProtocolError):
        await Pool("http://127.0.0.1:1").exchange("GET", target)


@pytest.mark.parametrize("name", [b"", b"X A", b"X:", b"X\xff"])
async def test_header_name_has_to_be_a_token(name):
    with pytest.raises(httpx.LocalProtocolError):
        await Pool("http://127.0.0.1:1").exchange("GET", "/", [(name, b"1")])


async def test_host_and_framing_are_ours(serve):
    server = await serve(serve_well)
    pool = Pool(server.url)
    host = server.url.removeprefix("http://").encode()

    framing = [(b"content-length", b"99"), (b"Transfer-Encoding", b"chunked"), (b"host", host)]
    await pool.exchange("PUT", "/", framing, b"abc")
    with pytest.raises(httpx.LocalProtocolError):
        await pool.exchange("GET", "/", [(b"Host", b"other")])

    assert server.seen == [
        b"PUT / HTTP/1.1\r\nHost: " + host + b"\r\nAccept-Encoding: identity\r\n"
        b"Content-Length: 3\r\n\r\nabc"
    ]
    await pool.aclose()


@pytest.mark.parametrize("url", ["ftp://h/", "h", "http://", "//h"])
def test_other_urls_are_refused(url):
    with pytest.raises(httpx.UnsupportedProtocol):
        Pool(url)


async def test_cancelled_write_says_how_far_it_got(serve, settled):
    server = await serve(keep_silent)
    pool = Pool(server.url, limits=Limits(connections_max=1))
    first = asyncio.create_task(pool.exchange("PUT", "/", [], b"x"))
    await settled(lambda: len(server.seen) == 1)

    with pytest.raises(TimeoutError) as waiting:
        async with asyncio.timeout(0.05):
            await pool.exchange("PUT", "/", [], b"x")
    first.cancel()
    with pytest.raises(asyncio.CancelledError) as under_way:
        await first

    assert sent(waiting.value) is Sent.NEVER
    assert sent(under_way.value) is Sent.MAYBE
    await pool.aclose()


async def test_cancelled_exchange_closes_its_connection_at_once(serve, settled):
    server = await serve(keep_silent)
    pool = Pool(server.url)
    call = asyncio.create_task(pool.exchange("GET", "/", timeouts=Timeouts(read_s=60, total_s=60)))
    await settled(lambda: len(server.seen) == 1)

    call.cancel()

    await settled(lambda: server.open == 0)
    assert pool.usage == (0, 0, 0)
    await pool.aclose()


async def test_answers_to_head_leave_the_connection_usable(serve):
    server = await serve(serve_well)
    pool = Pool(server.url)

    methods = ["HEAD", "GET", "HEAD", "HEAD", "GET"]
    bodies = [(await pool.exchange(method, "/")).body for method in methods]

    assert bodies == [b"", b"ok", b"", b"", b"ok"]
    assert len(server.peers) == 1
    await pool.aclose()


async def test_httpx_extensions_are_honoured(serve):
    server = await serve(trickle)
    async with httpx.AsyncClient(transport=HttptoolsTransport(), trust_env=False) as client:
        with pytest.raises(httpx.ReadTimeout):
            async with asyncio.timeout(8):
                await client.get(server.url, timeout=None, extensions={"total": 0.2})
        with pytest.raises(httpx.ReadTimeout):
            await client.get(server.url, timeout=httpx.Timeout(5, read=0.005))
