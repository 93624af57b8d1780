"""Connections that come at once are all accepted at once, and a stop ends accepting."""

import asyncio
import socket

import pytest

from balance_gateway.cli.accepting import Acceptor
from balance_gateway.cli.server import bind


class Greeter(asyncio.Protocol):
    """Says hello and closes."""

    accepted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Greeter.accepted += 1
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


@pytest.mark.parametrize(("shared", "at_once"), [(False, 50), (True, 16)])
async def test_connections_that_wait_are_accepted_in_one_turn_or_left_to_other_workers(
    *, shared: bool, at_once: int
) -> None:
    Greeter.accepted = 0
    listener = bind("127.0.0.1", 0)
    acceptor = Acceptor(listener, Greeter, shared=shared)
    waiting = [socket.create_connection(listener.getsockname()) for _ in range(50)]

    acceptor._accept()  # Not started: the loop must not call it a second time.
    await asyncio.sleep(0.05)

    assert Greeter.accepted == at_once
    assert all(client.recv(5) == b"hello" for client in waiting[:at_once])
    acceptor.stop()
    for client in waiting:
        client.close()


async def test_after_a_stop_nobody_is_accepted() -> None:
    listener = bind("127.0.0.1", 0)
    address = listener.getsockname()
    acceptor = Acceptor(listener, Greeter)
    acceptor.start()

    acceptor.stop()

    try:
        socket.create_connection(address, timeout=1).close()
    except ConnectionRefusedError:
        refused = True
    else:
        refused = False
    assert refused
