"""The acceptor: accepts pending connections in batches, pauses on exhaustion, and stops."""

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
    """Sends hello and closes the connection."""

    accepted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Greeter.accepted += 1
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


@pytest.mark.parametrize(("shared", "at_once"), [(False, 50), (True, 16)])
async def test_pending_connections_are_accepted_in_one_batch(*, shared: bool, at_once: int) -> None:
    Greeter.accepted = 0
    listener = bind("127.0.0.1", 0)
    acceptor = Acceptor(listener, Greeter, shared=shared)
    clients = [socket.create_connection(listener.getsockname()) for _ in range(50)]

    acceptor._accept()  # Not started: the loop must not call it a second time.
    await asyncio.sleep(0.05)

    assert Greeter.accepted == at_once
    assert all(client.recv(5) == b"hello" for client in clients[:at_once])
    acceptor.stop()
    for client in clients:
        client.close()


async def test_a_stopped_acceptor_accepts_no_connection() -> None:
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
def exhaust_descriptors() -> Iterator[None]:
    """Use up all file descriptors of the process."""
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


async def test_it_pauses_without_descriptors_and_then_resumes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(acceptor_module, "PAUSE_S", 0.2)
    caplog.set_level(logging.WARNING, acceptor_module.logger.name)
    listener = bind("127.0.0.1", 0)
    acceptor = Acceptor(listener, Greeter)
    client = socket.create_connection(listener.getsockname())
    client.setblocking(False)

    with exhaust_descriptors():
        acceptor.start()
        await asyncio.sleep(0.5)
        logged = [record.getMessage() for record in caplog.records]
    async with asyncio.timeout(5):
        greeting = await asyncio.get_running_loop().sock_recv(client, 5)

    assert greeting == b"hello"
    assert set(logged) == {"server.accept_failed"}
    assert len(logged) < 20  # One per pause; without pauses there would be thousands.
    acceptor.stop()
    client.close()


async def test_a_stop_during_a_pause_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor_module, "PAUSE_S", 0.05)
    listener = bind("127.0.0.1", 0)
    acceptor = Acceptor(listener, Greeter)
    client = socket.create_connection(listener.getsockname())
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    with exhaust_descriptors():
        acceptor._accept()

    acceptor.stop()
    await asyncio.sleep(0.2)

    assert not failures  # The listener is closed: starting again would fail.
    client.close()
