"""A draining server loses no request of clients that reuse their connections."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from balance_gateway.server.direct_response import DirectAnswer, encode_head, write_directly
from balance_gateway.server.server import Server, Service, bind

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
_HEAD = encode_head(200, [])


class App:
    """Responds at once, or to /slow when released; directly, where that is possible."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.waiting = asyncio.Event()
        self.executed = 0

    async def __call__(self, scope: Any, receive: Callable[..., Any], send: Any) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        if scope["path"] == "/slow":
            self.waiting.set()
            await self.release.wait()
        self.executed += 1
        if write_directly(send, DirectAnswer(_HEAD, b"r", b"ok")):
            return
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


class RunningServer:
    """A server that runs, and clients of it."""

    def __init__(self) -> None:
        self.app = App()
        self.listener = bind("127.0.0.1", 0)
        self.address = self.listener.getsockname()
        self.server = Server(Service(self.app, self.listener))
        self.writers: list[asyncio.StreamWriter] = []
        self.task = asyncio.create_task(self.server.serve(sockets=[]))

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.address)
        self.writers.append(writer)
        return reader, writer

    async def stop(self, idle_grace_s: float = 30.0) -> None:
        """Drain without a notice, and return when the server has stopped."""
        self.server.start_draining(idle_grace_s)
        self.server.should_exit = True
        await self.task


@asynccontextmanager
async def run_server() -> AsyncIterator[RunningServer]:
    running = RunningServer()
    async with asyncio.timeout(20):
        while not running.server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        yield running
        running.server.should_exit = True
        await running.task
    for writer in running.writers:
        writer.close()


async def read_response(reader: asyncio.StreamReader) -> bytes:
    """Return the head of a response whose body is ``ok``."""
    head = await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(2) == b"ok"
    return head


async def request_until_closed(running: RunningServer, pause_s: float) -> tuple[int, int, bytes]:
    """Send requests on one connection until a response ends it.

    Returns:
        The numbers of requests and responses, and what came after the last response.
    """
    reader, writer = await running.connect()
    sent = received = 0
    head = b""
    while b"connection: close" not in head:
        writer.write(REQUEST)
        sent += 1
        try:
            head = await read_response(reader)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            break
        received += 1
        await asyncio.sleep(pause_s)
    rest = await reader.read()
    writer.close()
    return sent, received, rest


async def test_clients_that_reuse_connections_lose_no_request() -> None:
    """A restart reset 6 of 240 requests, sent on connections that the server was closing."""
    async with run_server() as running:
        clients = [
            asyncio.create_task(request_until_closed(running, pause_s=0.0005 * number))
            for number in range(40)
        ]
        await asyncio.sleep(0.2)
        await running.stop()
        counts = await asyncio.gather(*clients)

    assert [sent - received for sent, received, _ in counts] == [0] * 40
    assert {rest for _, _, rest in counts} == {b""}
    assert running.app.executed == sum(sent for sent, _, _ in counts)


async def test_each_response_ends_its_connection_from_the_first_moment_of_draining() -> None:
    async with run_server() as running:
        idle, busy = await running.connect(), await running.connect()
        idle[1].write(REQUEST)
        before = await read_response(idle[0])
        busy[1].write(SLOW)
        await running.app.waiting.wait()

        running.server.start_draining(30.0)

        late = await running.connect()
        running.app.release.set()
        idle[1].write(REQUEST)
        late[1].write(REQUEST)
        heads = [await read_response(reader) for reader, _ in (busy, idle, late)]
        ends = [await reader.read() for reader, _ in (busy, idle, late)]

    assert b"connection: close" not in before
    assert [b"connection: close" in head for head in heads] == [True] * 3
    assert ends == [b""] * 3


async def test_pipelined_requests_are_all_answered_and_the_last_ends_the_connection() -> None:
    async with run_server() as running:
        reader, writer = await running.connect()
        writer.write(SLOW)
        await running.app.waiting.wait()
        running.server.start_draining(30.0)
        writer.write(REQUEST * 2)
        await asyncio.sleep(0.05)
        running.app.release.set()
        heads = [await read_response(reader) for _ in range(3)]
        end = await reader.read()

    assert [b"connection: close" in head for head in heads] == [False, False, True]
    assert end == b""


async def test_a_request_that_arrives_when_the_grace_ends_is_answered() -> None:
    async with run_server() as running:
        reader, writer = await running.connect()
        writer.write(REQUEST[:10])
        while not any(one._is_receiving for one in running.server.server_state.connections):  # noqa: ASYNC110
            await asyncio.sleep(0.005)

        stopping = asyncio.create_task(running.stop(idle_grace_s=0.0))
        await asyncio.sleep(0.3)
        writer.write(REQUEST[10:])
        head = await read_response(reader)
        await stopping

    assert b"connection: close" in head


async def test_a_request_that_the_kernel_has_received_is_answered() -> None:
    async with run_server() as running:
        with socket.create_connection(running.address) as client:
            while not running.server.server_state.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            (connection,) = running.server.server_state.connections
            # No await in between: the event loop has not read it.
            client.sendall(REQUEST)
            connection.shutdown()
            await running.stop(idle_grace_s=0.0)
            received = client.recv(1000)

    assert received.endswith(b"ok")


async def test_idle_connections_are_closed_when_the_grace_ends() -> None:
    async with run_server() as running:
        reader, writer = await running.connect()
        writer.write(REQUEST)
        await read_response(reader)
        await running.stop(idle_grace_s=0.2)
        end = await reader.read()

    assert end == b""


@pytest.mark.parametrize("pending", [1, 50])
async def test_connections_in_the_kernel_s_queue_are_served(pending: int) -> None:
    async with run_server() as running:
        running.server.start_draining(30.0)
        assert running.server._acceptor is not None
        clients = [socket.create_connection(running.address) for _ in range(pending)]
        for client in clients:
            client.sendall(REQUEST)
        # No await in between: the event loop has accepted none of them.
        running.server._acceptor.stop()
        running.server.should_exit = True
        while running.server.server_state.total_requests < pending:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        received = [client.recv(1000) for client in clients]
        for client in clients:
            client.close()
        running.server._acceptor = None
        await running.task

    assert all(b"connection: close" in one and one.endswith(b"ok") for one in received)


async def test_nobody_is_connected_while_the_socket_closes() -> None:
    async with run_server() as running:
        assert running.server._acceptor is not None
        draining = asyncio.create_task(running.server._acceptor.drain())
        await asyncio.sleep(0)
        client = socket.socket()
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.connect(running.address)
        await draining
        # Connected, it would be reset; as it is, its attempt is still on the way.
        error = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        with pytest.raises(OSError, match="not connected"):
            client.getpeername()
        client.close()
        running.server._acceptor = None

    assert error == 0
