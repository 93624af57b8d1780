"""Measure CPU per GET of the pool, and of the same exchange over httpx's pool.

Run it with ``python tests/transport/measure.py [asyncio|uvloop]``. The server is a raw protocol
in another process on loopback; figures are CPU microseconds of this process per call, with
the JSON response decoded, the median of five rounds, at 1, 10, 50 and 100 connections.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

from balance_gateway.transport import Limits, PooledTransport
from balance_gateway.transport.httpx_transport import HttpxTransport

BODY = b'{"accountId":"a1","amount":123456,"currency":"EUR","asOf":"2026-11-21"}'
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: x\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\n"
    b"Content-Type: application/json\r\nConnection: keep-alive\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
HEADERS = (
    (b"Accept", b"application/json"),
    (b"User-Agent", b"balance-gateway"),
    (b"Authorization", b"Bearer 0123456789abcdef0123456789abcdef"),
)
CALLS = {"pooled": 10_000, "httpx": 300}


class Upstream(asyncio.Protocol):
    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(RESPONSE * data.count(b"\r\n\r\n"))


async def upstream() -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def make_caller(kind: str, url: str, connections: int) -> tuple[Callable, Callable]:
    """Return two functions: one makes a call, the other closes the client."""
    limits = Limits(connections_max=connections, idle_max=connections)
    transport = (PooledTransport if kind == "pooled" else HttpxTransport)(limits=limits)

    async def call() -> None:
        json.loads((await transport.exchange(url, "GET", "/v1/x?y=1", HEADERS)).body)

    return call, transport.aclose


async def cpu_us(call: Callable[[], Awaitable[None]], connections: int, calls: int) -> float:
    async def worker(times: int) -> None:
        for _ in range(times):
            await call()

    await asyncio.gather(*[worker(2) for _ in range(connections)])
    each = calls // connections
    rounds = []
    for _ in range(5):
        start = time.process_time()
        await asyncio.gather(*[worker(each) for _ in range(connections)])
        rounds.append((time.process_time() - start) / (each * connections) * 1e6)
    return sorted(rounds)[2]


async def measure(url: str) -> None:
    for kind, calls in CALLS.items():
        figures = []
        for connections in (1, 10, 50, 100):
            call, close = make_caller(kind, url, connections)
            figures.append(f"{await cpu_us(call, connections, calls):8.0f}")
            await close()
        print(f"{kind:18}", *figures, flush=True)


def main() -> None:
    if sys.argv[1:] == ["upstream"]:
        uvloop.run(upstream())
        return
    server = subprocess.Popen([sys.executable, __file__, "upstream"], stdout=subprocess.PIPE)
    try:
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        run = asyncio.run if sys.argv[1:] == ["asyncio"] else uvloop.run
        run(measure(url))
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
