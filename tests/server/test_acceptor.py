"""Connections that come at once are all accepted at once, and a stop ends acceptor."""

import asyncio
import logging
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from balance_gateway.server import acceptor as acceptor_module
from balance_gateway.server.acceptor import Acceptor
from balance_gateway.server.server import bind


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


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Every descriptor that the process may have is taken."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    taken: list[int] = []
    try:
        while True:
            try:
                taken.append(os.dup(0))
            except OSError:
                break
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_descriptors_it_rests_and_then_accepts_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(acceptor_module, "PAUSE_S", 0.2)
    caplog.set_level(logging.WARNING, acceptor_module.logger.name)
    listener = bind("127.0.0.1", 0)
    acceptor = Acceptor(listener, Greeter)
    client = socket.create_connection(listener.getsockname())
    client.setblocking(False)

    with no_descriptors():
        acceptor.start()
        await asyncio.sleep(0.5)
        told = [record.getMessage() for record in caplog.records]
    async with asyncio.timeout(5):
        greeting = await asyncio.get_running_loop().sock_recv(client, 5)

    assert greeting == b"hello"
    assert set(told) == {"server.accept_failed"}
    assert len(told) < 20  # Once a pause; it would be thousands.
    acceptor.stop()
    client.close()


async def test_a_stop_during_the_rest_is_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor_module, "PAUSE_S", 0.05)
    listener = bind("127.0.0.1", 0)
    acceptor = Acceptor(listener, Greeter)
    client = socket.create_connection(listener.getsockname())
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: failures.append(told))
    with no_descriptors():
        acceptor._accept()

    acceptor.stop()
    await asyncio.sleep(0.2)

    assert not failures  # The listener is closed: starting again would fail.
    client.close()
