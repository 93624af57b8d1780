"""Clients that do not read their response are dropped; clients that read slowly are not."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from balance_gateway.server import http_protocol
from balance_gateway.server import server as serving
from balance_gateway.server.server import Server, Service, bind

#: Larger than the kernel's buffers of a connection.
BODY = b"x" * 20_000_000
GET = b"GET / HTTP/1.1\r\nHost: gateway\r\n"


async def app(scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    headers = [(b"content-length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


@asynccontextmanager
async def run_server() -> AsyncIterator[Server]:
    service = Service(app, bind("127.0.0.1", 0))
    server = Server(service)
    task = asyncio.ensure_future(server.serve(sockets=[]))
    await wait_until(lambda: server.started)
    try:
        yield server
    finally:
        server.should_exit = server.force_exit = True
        await task


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def send_request(server: Server, request: bytes) -> socket.socket:
    """Send a request; return its connection once the socket's buffers are full."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, server._service.listener.getsockname())
    await loop.sock_sendall(client, request)
    await wait_until(lambda: count_unsent(server) > 0)
    return client


def count_unsent(server: Server) -> int:
    connections = list(server.server_state.connections)
    return sum(connection.transport.get_write_buffer_size() for connection in connections)


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"], ids=["keep-alive", "closing"])
async def test_a_client_that_reads_nothing_is_dropped(
    monkeypatch: pytest.MonkeyPatch, more: bytes
) -> None:
    monkeypatch.setattr(serving, "STALL_CHECK_S", 0.1)
    async with run_server() as server:
        client = await send_request(server, GET + more + b"\r\n")

        await wait_until(lambda: not server.server_state.connections)
        client.close()


async def receive(client: socket.socket, bytes_max: int) -> int:
    """Receive some bytes and return their number; fail if the connection is closed."""
    async with asyncio.timeout(10):
        size = len(await asyncio.get_running_loop().sock_recv(client, bytes_max))
    assert size > 0
    return size


async def test_a_client_that_reads_slowly_gets_the_whole_response() -> None:
    async with run_server() as server:
        client = await send_request(server, GET + b"\r\n")
        received = 0
        for _ in range(5):
            server.drop_stalled_clients()
            before = count_unsent(server)
            while count_unsent(server) == before:
                received += await receive(client, 65_536)
                await asyncio.sleep(0)
        while received < len(BODY):
            received += await receive(client, 1_000_000)

        assert len(server.server_state.connections) == 1
        client.close()


async def test_a_late_request_closes_the_connection_despite_an_unread_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_protocol, "RECEIVE_S", 0.2)
    async with run_server() as server:
        client = await send_request(server, GET + b"\r\n")
        await asyncio.get_running_loop().sock_sendall(client, b"GET /")

        await wait_until(lambda: not server.server_state.connections)
        client.close()
