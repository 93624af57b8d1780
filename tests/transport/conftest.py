"""A scripted raw TCP server on loopback; every test runs on both event loops."""

import asyncio
import contextlib
import datetime
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def pytest_asyncio_loop_factories(config, item):
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Peer:
    """The server side of one connection."""

    def __init__(self, server: "RawServer", reader, writer) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self.number = len(server.peers)
        self.count = 0

    async def request(self) -> bytes:
        """Read one whole request, head and body, and append it to ``server.requests``."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        size = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                size = int(line[15:])
        request = head + await self._reader.readexactly(size)
        self._server.requests.append(request)
        self.count += 1
        return request

    async def read(self, size: int) -> bytes:
        return await self._reader.readexactly(size)

    async def send(self, *pieces: bytes, pause_s: float = 0) -> None:
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            await asyncio.sleep(pause_s)

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the client closes the connection."""
        while await self._reader.read(65536):
            pass


class RawServer:
    """Runs a script for each connection and records the requests."""

    def __init__(self, script: Callable[[Peer], Awaitable[None]]) -> None:
        self._script = script
        self.requests: list[bytes] = []
        self.peers: list[Peer] = []
        self.open = 0
        self.open_max = 0
        self.url = ""
        self.port = 0

    async def serve(self, reader, writer) -> None:
        peer = Peer(self, reader, writer)
        self.peers.append(peer)
        self.open += 1
        self.open_max = max(self.open, self.open_max)
        try:
            await self._script(peer)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            self.open -= 1
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[RawServer]]]:
    """``await serve(script)`` starts a ``RawServer``."""
    running = []

    async def start(script, *, tls: ssl.SSLContext | None = None) -> RawServer:
        server = RawServer(script)
        handlers: set[asyncio.Task[None]] = set()

        def connected(reader, writer) -> None:
            task = asyncio.ensure_future(server.serve(reader, writer))
            handlers.add(task)
            task.add_done_callback(handlers.discard)

        listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls, backlog=512)
        server.listener = listener
        running.append((listener, handlers))
        server.port = listener.sockets[0].getsockname()[1]
        server.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
        return server

    yield start
    for listener, handlers in running:
        listener.close()
        for task in list(handlers):
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """``await eventually(condition)`` waits until the condition holds, for at most 8 s."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(8):
            while not condition():  # noqa: ASYNC110 - conditions of the kernel set no event
                await asyncio.sleep(0.005)

    return wait


@pytest.fixture
def certificate(tmp_path):
    """``certificate(name)`` returns a server's TLS settings and a client's that trust it."""

    def make(*names: x509.GeneralName):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        now = datetime.datetime.now(datetime.UTC)
        signed = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        chain, secret = tmp_path / "chain.pem", tmp_path / "key.pem"
        chain.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(chain, secret)
        server.set_alpn_protocols(["h2", "http/1.1"])
        client = ssl.create_default_context(cafile=chain)
        client.set_alpn_protocols(["http/1.1"])
        return server, client

    return make
