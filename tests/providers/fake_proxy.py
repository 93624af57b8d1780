"""A small HTTP proxy: CONNECT tunnels, forwarded http requests, Basic credentials."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from urllib.parse import urlsplit


class FakeProxy:
    """Records the head of each request that it receives.

    Attributes:
        status: Refuses every request with this status; None to serve.
        silent: Whether it responds to no request at all.
        url: Its URL, without credentials.
    """

    def __init__(self, credentials: str | None = None) -> None:
        self._expected = credentials and "Basic " + base64.b64encode(credentials.encode()).decode()
        self.status: int | None = None
        self.silent = False
        self.heads: list[list[str]] = []
        self.url = ""

    def url_with(self, user_and_password: str) -> str:
        return self.url.replace("://", f"://{user_and_password}@")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = head.rstrip("\r\n").split("\r\n")
            self.heads.append(lines)
            sent = [line[21:] for line in lines if line.startswith("Proxy-Authorization: ")]
            if self.silent:
                await reader.read()
            elif self._expected is not None and sent != [self._expected]:
                writer.write(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
            elif self.status is not None:
                writer.write(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % self.status)
            else:
                await self._connect(lines, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def _connect(
        self, lines: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        method, target, _ = lines[0].split(" ")
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        assert parts.hostname is not None
        upstream_reader, upstream_writer = await asyncio.open_connection(parts.hostname, parts.port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            path = target.removeprefix(f"http://{parts.netloc}")
            kept = [line for line in lines[1:] if not line.startswith("Proxy-")]
            request = "\r\n".join([f"{method} {path} HTTP/1.1", *kept, "", ""])
            upstream_writer.write(request.encode("latin-1"))
        await asyncio.gather(_pipe(reader, upstream_writer), _pipe(upstream_reader, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def run_proxy(proxy: FakeProxy, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """Run the proxy on a free local port."""
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(proxy.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    proxy.url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
