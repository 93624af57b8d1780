"""Clients that do not read what they asked for are dropped; those that read slowly are not."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from balance_gateway.server import http_protocol
from balance_gateway.server import server as serving
from balance_gateway.server.server import Server, Service, bind

#: More than the kernel takes for a connection.
ANSWER = b"x" * 20_000_000
GET = b"GET / HTTP/1.1\r\nHost: gateway\r\n"


async def app(scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    headers = [(b"content-length", b"%d" % len(ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


@asynccontextmanager
async def running() -> AsyncIterator[Server]:
    service = Service(app, bind("127.0.0.1", 0))
    server = Server(service)
    task = asyncio.ensure_future(server.serve(sockets=[]))
    await until(lambda: server.started)
    try:
        yield server
    finally:
        server.should_exit = server.force_exit = True
        await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def asked(server: Server, request: bytes) -> socket.socket:
    """A connection on which the answer has been written as far as it goes."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, server._service.listener.getsockname())
    await loop.sock_sendall(client, request)
    await until(lambda: unsent(server) > 0)
    return client


def unsent(server: Server) -> int:
    connections = list(server.server_state.connections)
    return sum(connection.transport.get_write_buffer_size() for connection in connections)


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"], ids=["kept", "to be closed"])
async def test_who_takes_nothing_of_an_answer_is_dropped(
    monkeypatch: pytest.MonkeyPatch, more: bytes
) -> None:
    monkeypatch.setattr(serving, "UNREAD_S", 0.1)
    async with running() as server:
        client = await asked(server, GET + more + b"\r\n")

        await until(lambda: not server.server_state.connections)
        client.close()


async def taken(client: socket.socket, most: int) -> int:
    """How many bytes could be read; the connection is there."""
    async with asyncio.timeout(10):
        size = len(await asyncio.get_running_loop().sock_recv(client, most))
    assert size > 0
    return size


async def test_who_reads_slowly_gets_all_of_it() -> None:
    async with running() as server:
        client = await asked(server, GET + b"\r\n")
        received = 0
        for _ in range(5):
            server.drop_stalled_clients()
            before = unsent(server)
            while unsent(server) == before:
                received += await taken(client, 65_536)
                await asyncio.sleep(0)
        while received < len(ANSWER):
            received += await taken(client, 1_000_000)

        assert len(server.server_state.connections) == 1
        client.close()


async def test_a_request_that_is_late_does_not_wait_for_the_answer_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_protocol, "RECEIVE_S", 0.2)
    async with running() as server:
        client = await asked(server, GET + b"\r\n")
        await asyncio.get_running_loop().sock_sendall(client, b"GET /")

        await until(lambda: not server.server_state.connections)
        client.close()
