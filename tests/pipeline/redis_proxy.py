"""A network between the gateway and Redis that can misbehave."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

Change = Callable[[bytes], list[bytes]]


class Proxy:
    """Passes bytes between clients and Redis, and may change what comes from Redis.

    Attributes:
        target: the socket of Redis, or its port.
        change: returns the pieces in which a client receives some bytes; none: nothing comes.
        connections: how many there have been.
    """

    def __init__(self, target: str | int) -> None:
        self.target = target
        self.change: Change = lambda data: [data]
        self.connections = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.close()
            self.cut()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Close all connections."""
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        target = self.target
        if isinstance(target, str):
            there = await asyncio.open_unix_connection(target)
        else:
            there = await asyncio.open_connection("127.0.0.1", target)
        self._writers += [writer, there[1]]
        self._tasks += [
            asyncio.create_task(self._pass(reader, there[1], lambda data: [data])),
            asyncio.create_task(self._pass(there[0], writer, self._change)),
        ]

    def _change(self, data: bytes) -> list[bytes]:
        return self.change(data)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Change
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                for piece in change(data):
                    writer.write(piece)
                    await writer.drain()
                    # Each piece is received by itself.
                    await asyncio.sleep(0.001)
        writer.close()
