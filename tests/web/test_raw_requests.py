"""Raw requests, byte by byte, that ordinary HTTP clients do not send."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from balance_gateway.api.execution.engine import GraphQLResponse
from balance_gateway.api.request.context import Caller
from balance_gateway.domain.access import Principal
from balance_gateway.web.load_shedding import LoadLimits
from tests.api.fakes import READ, GatewayHarness, run_server

BODY = json.dumps({"query": "{ __typename }"}).encode()
ANSWER = b'{"data":{"__typename":"Query"}}'


def request(*headers: str, key: str | None = READ, body: bytes = BODY) -> bytes:
    """Return a POST; unless the body is chunked, with a Content-Length."""
    lines = ["POST /graphql HTTP/1.1", "Host: gateway", "Content-Type: application/json"]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    lines += headers
    if not any(line.lower().startswith("transfer-encoding") for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(body: bytes, trailer: bytes = b"") -> bytes:
    return b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, trailer)


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class RawConnection:
    """A TCP connection from which responses are read one by one."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def response(self) -> Response:
        async with asyncio.timeout(5):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status, *lines = head.decode().rstrip().split("\r\n")
            headers = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
            }
            body = await self.reader.readexactly(int(headers["content-length"]))
            return Response(int(status.split()[1]), headers, body)

    async def is_closed(self) -> bool:
        async with asyncio.timeout(5):
            return await self.reader.read() == b""


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[RawConnection]:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.close()


@pytest.fixture
async def url(harness: GatewayHarness) -> AsyncIterator[str]:
    async with run_server(harness.app()) as address:
        yield address


async def test_trailers_are_not_headers(url: str) -> None:
    trailer = f"X-Request-Id: late\r\nAuthorization: Bearer {READ}\r\n".encode()
    late = chunked(BODY, trailer)
    async with connect(url) as connection:
        connection.writer.write(request("Transfer-Encoding: chunked", key=None, body=late))
        assert (await connection.response()).status == 401

        connection.writer.write(request("Transfer-Encoding: chunked", body=late))
        response = await connection.response()
        assert (response.status, response.body) == (200, ANSWER)
        assert response.headers["x-request-id"] != "late"


@pytest.mark.parametrize("key", [READ, None], ids=["a reader", "no credential"])
@pytest.mark.parametrize("fields", [b"a: b\r\n" * 10_000, b"a" * 60_000], ids=["many", "one"])
async def test_the_size_of_trailers_is_limited(url: str, key: str | None, fields: bytes) -> None:
    sent = 0
    async with connect(url) as connection:
        connection.writer.write(request("Transfer-Encoding: chunked", key=key, body=b"0\r\n"))
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(20):
                while not connection.reader.at_eof():
                    connection.writer.write(fields)
                    await connection.writer.drain()
                    sent += len(fields)
                    await asyncio.sleep(0)

    assert sent < 20_000_000


async def test_a_body_may_have_one_chunk_or_very_many(url: str) -> None:
    body = BODY + b" " * (1_048_576 - len(BODY))
    async with connect(url) as connection:
        connection.writer.write(request("Transfer-Encoding: chunked", body=chunked(body)))
        assert (await connection.response()).body == ANSWER

        pieces = b"".join(b"4\r\n%s\r\n" % body[at : at + 4] for at in range(0, len(body), 4))
        small = pieces + b"0\r\n\r\n"
        connection.writer.write(request("Transfer-Encoding: chunked", body=small))
        assert (await connection.response()).body == ANSWER


async def test_garbage_after_a_request_does_not_replace_its_response(url: str) -> None:
    async with connect(url) as connection:
        connection.writer.write(request() + b"\x00garbage\r\n")

        assert (await connection.response()).body == ANSWER
        assert await connection.is_closed()


#: Longer than a request may wait in a busy process.
LONGER_S = LoadLimits().waited_s + 0.2


@pytest.mark.parametrize("expect", [(), ("Expect: 100-continue",)], ids=["", "100-continue"])
async def test_time_spent_sending_the_body_does_not_count_as_waiting(
    url: str, expect: tuple[str, ...]
) -> None:
    async with connect(url) as connection:
        connection.writer.write(request())
        assert (await connection.response()).status == 200

        connection.writer.write(request(*expect).removesuffix(BODY))
        if expect:
            assert await connection.reader.readexactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        await asyncio.sleep(LONGER_S)
        connection.writer.write(BODY)
        assert (await connection.response()).status == 200


async def test_time_behind_a_pipelined_request_does_not_count_as_waiting(
    harness: GatewayHarness,
) -> None:
    harness.reads.gate = asyncio.Event()
    slow = b'{"query": "{ bankAccount(id: \\"acct_yen\\") { balance { asOf } } }"}'
    async with run_server(harness.app()) as url, connect(url) as connection:
        connection.writer.write(request(body=slow) + request())
        await asyncio.sleep(LONGER_S)
        harness.reads.gate.set()

        assert b"asOf" in (await connection.response()).body
        assert (await connection.response()).body == ANSWER


async def test_time_spent_authenticating_does_not_count_as_waiting(harness: GatewayHarness) -> None:
    async with run_server(harness.app()) as url, connect(url) as connection:
        connection.writer.write(request())
        assert (await connection.response()).status == 200
        endpoint = harness.endpoint
        assert endpoint is not None
        original = endpoint._authenticator

        class SlowAuthenticator:
            async def authenticate(self, token: str | None) -> Principal:
                await asyncio.sleep(LONGER_S)
                return await original.authenticate(token)

        endpoint._authenticator = SlowAuthenticator()
        connection.writer.write(request())
        assert (await connection.response()).status == 200


async def test_a_request_that_waits_for_a_computing_process_gets_a_503(
    harness: GatewayHarness,
) -> None:
    async with run_server(harness.app()) as url, connect(url) as one, connect(url) as other:
        for connection in (one, other):
            connection.writer.write(request())
            assert (await connection.response()).status == 200
        endpoint = harness.endpoint
        assert endpoint is not None
        recall = endpoint._engine.recall

        async def recall_slowly(body: bytes, caller: Caller) -> GraphQLResponse | None:
            time.sleep(LONGER_S)  # noqa: ASYNC251 (the process computes)
            return await recall(body, caller)

        endpoint._engine.recall = recall_slowly  # type: ignore[method-assign]
        one.writer.write(request())
        other.writer.write(request())

        assert {(await one.response()).status, (await other.response()).status} == {200, 503}


H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAA")


async def test_an_offer_of_http2_is_ignored_and_its_body_is_read(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "uvicorn.error")
    async with connect(url) as connection:
        for _ in range(2):
            connection.writer.write(request(*H2C))
            response = await connection.response()
            assert (response.status, response.body) == (200, ANSWER)

        connection.writer.write(request())
        assert (await connection.response()).status == 200
    assert not caplog.records


@pytest.mark.parametrize("piece", [1, 7, 100_000])
async def test_offers_of_http2_may_be_split_and_pipelined(url: str, piece: int) -> None:
    offers = request(*H2C) + request() + request(*H2C, "Transfer-Encoding: chunked", body=b"")
    offers += chunked(BODY) + request("Connection: close, Upgrade", "Upgrade: websocket")
    async with connect(url) as connection:
        for start in range(0, len(offers), piece):
            connection.writer.write(offers[start : start + piece])
            await asyncio.sleep(0)
        responses = [await connection.response() for _ in range(4)]

        assert [response.body for response in responses] == [ANSWER] * 4
        assert await connection.is_closed()


async def test_an_offer_of_http2_with_expect_gets_100_continue(url: str) -> None:
    head = request(*H2C, "Expect: 100-continue").removesuffix(BODY)
    async with connect(url) as connection:
        connection.writer.write(head)
        assert await connection.reader.readexactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.writer.write(BODY)

        assert (await connection.response()).body == ANSWER


async def test_connect_gets_a_400(url: str) -> None:
    async with connect(url) as connection:
        connection.writer.write(b"CONNECT bank:443 HTTP/1.1\r\nHost: bank\r\n\r\n")

        assert (await connection.response()).status == 400
        assert await connection.is_closed()


@pytest.mark.parametrize("coding", ["gzip, chunked", "identity, chunked", "chunked, chunked"])
async def test_other_transfer_codings_are_rejected(url: str, coding: str) -> None:
    async with connect(url) as connection:
        connection.writer.write(request(f"Transfer-Encoding: {coding}", body=chunked(BODY)))
        response = await connection.response()

        assert response.status in (400, 501)
        assert response.headers["connection"] == "close"
        assert await connection.is_closed()


@pytest.mark.parametrize("coding", ["chunked", "Chunked"])
async def test_a_chunked_body_is_accepted(url: str, coding: str) -> None:
    async with connect(url) as connection:
        connection.writer.write(request(f"Transfer-Encoding: {coding}", body=chunked(BODY)))
        response = await connection.response()

        assert (response.status, response.body) == (200, ANSWER)


HEAD = b"POST /graphql HTTP/%s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"


def request_with_hosts(*lines: bytes, version: bytes = b"1.1", more: bytes = b"") -> bytes:
    head = HEAD % (version, READ.encode()) + b"".join(line + b"\r\n" for line in lines) + more
    return head + b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (b"Host: a", b"Host: a"),
        (b"Host: a", b"host: b"),
        (b"Host: a", b"HOST:"),
        (b"Host: a, b",),
        (b"Host: a b",),
        (b"Host: a,b",),
        (b"Host: http://a/",),
        (b"Host: user@a",),
        (b"Host: a/b",),
        (b"Host: a:http",),
        (b"Host: a:80:80",),
        (b"Host: [::1",),
        (b"Host: \xc3\xa4",),
        (b"X-Forwarded-Host: a",),
    ],
)
async def test_a_request_without_one_valid_host_gets_a_400(
    url: str, lines: tuple[bytes, ...]
) -> None:
    """RFC 9112, 3.2: caches and proxies may take another of two hosts for the right one."""
    for more in (b"", b"Upgrade: h2c\r\nConnection: Upgrade\r\n"):
        async with connect(url) as connection:
            connection.writer.write(request_with_hosts(*lines, more=more))
            response = await connection.response()

            assert response.status == 400
            assert b"Host" in response.body
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["connection"] == "close"
            assert await connection.is_closed()


@pytest.mark.parametrize(
    ("version", "lines"),
    [
        (b"1.1", (b"Host: gateway.example:8000",)),
        (b"1.1", (b"Host: [::1]:8000",)),
        (b"1.1", (b"Host: 127.0.0.1",)),
        (b"1.1", (b"Host:",)),
        (b"1.1", (b"Host: a_b.internal.",)),
        (b"1.0", (b"Host: a",)),
        (b"1.0", ()),
    ],
)
async def test_one_host_is_accepted_and_http_1_0_needs_none(
    url: str, version: bytes, lines: tuple[bytes, ...]
) -> None:
    async with connect(url) as connection:
        connection.writer.write(request_with_hosts(*lines, version=version))

        assert (await connection.response()).body == ANSWER


async def test_a_wrong_host_does_not_replace_the_response_before_it(url: str) -> None:
    async with connect(url) as connection:
        connection.writer.write(request() + request_with_hosts())

        assert (await connection.response()).body == ANSWER
        assert await connection.is_closed()


async def test_the_response_to_garbage_forbids_sniffing(url: str) -> None:
    async with connect(url) as connection:
        connection.writer.write(b"\x00\r\n\r\n")
        response = await connection.response()

    assert (response.status, response.headers["x-content-type-options"]) == (400, "nosniff")
