"""Load on a server for some seconds: from wrk where it is there, else from our own generator.

Our own is run as a process: ``python -m benchmarks.load --url … --recipe FILE …``; it prints what
it measured as one JSON line, as ``wrk.lua`` does.
"""

import argparse
import asyncio
import json
import math
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from benchmarks import machine, recipes

TIMEOUT_S = 30.0
_LUA = Path(__file__).with_name("wrk.lua")


class LoadFailed(Exception):
    """The generator did not run to its end."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the clients saw.

    Attributes:
        requests: answered.
        seconds: that it took.
        bytes: of all answers, headers included.
        failed: requests without an answer, or with a status that is not 2xx.
        p50_ms: the median latency.
        p99_ms: one request in a hundred took longer.
    """

    requests: int
    seconds: float
    bytes: int
    failed: int
    p50_ms: float
    p99_ms: float


def has_wrk() -> bool:
    """Whether wrk makes the load."""
    return shutil.which("wrk") is not None


def run(url: str, recipe: Path, key: str, connections: int, seconds: float, seed: int) -> Measured:
    """Runs the generator on its core.

    Raises:
        LoadFailed: it ended without a result.
    """
    environment = {**os.environ, "WRK_RECIPE": str(recipe), "WRK_KEY": key, "WRK_SEED": str(seed)}
    if has_wrk():
        whole_s = max(1, math.ceil(seconds))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{whole_s}s", f"--timeout={TIMEOUT_S:g}s"]
        command += ["-s", str(_LUA), url]
    else:
        command = [sys.executable, "-m", "benchmarks.load", "--url", url, "--recipe", str(recipe)]
        command += ["--key", key, "--connections", str(connections), "--seconds", str(seconds)]
        command += ["--seed", str(seed)]
    with machine.pinned(machine.LOAD_CORE):
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + 90,
        )
    for line in done.stdout.splitlines():
        if line.startswith("MEASURED "):
            return Measured(**json.loads(line.removeprefix("MEASURED ")))
    raise LoadFailed(done.stdout + done.stderr)


class _Client(asyncio.Protocol):
    """One connection that always has one request under way, until the time is over."""

    def __init__(self, make: Callable[[], bytes], deadline_s: float) -> None:
        self._make = make
        self._deadline_s = deadline_s
        self._buffer = b""
        self._wanted = 0
        self.latencies_s: list[float] = []
        self.bytes = 0
        self.failed = 0
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the first request."""
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Collects an answer, and sends the next request when it is whole."""
        self._buffer += data
        if not self._wanted:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._wanted = end + 4 + _content_length(self._buffer[:end])
        if len(self._buffer) < self._wanted:
            return
        now_s = time.perf_counter()
        if now_s <= self._deadline_s:
            self.latencies_s.append(now_s - self._sent_s)
            self.bytes += self._wanted
            self.failed += self._buffer[9:10] != b"2"
            self._buffer, self._wanted = b"", 0
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Counts the request that was under way as failed, unless the time is over."""
        if not self.over.done():
            self.failed += time.perf_counter() < self._deadline_s
            self.over.set_result(None)

    def _send(self) -> None:
        body = self._make()
        self._sent_s = time.perf_counter()
        self._transport.write(body)


def _content_length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n", 1)[0])


async def _generate(arguments: argparse.Namespace) -> Measured:
    recipe = recipes.read(arguments.recipe)
    dice = random.Random(arguments.seed)
    url = urlsplit(arguments.url)
    head = (
        f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {arguments.key}\r\nContent-Length: "
    ).encode()

    def request_of(body: bytes) -> bytes:
        return head + str(len(body)).encode() + b"\r\n\r\n" + body

    always = request_of(recipe.body(dice))
    make = (lambda: request_of(recipe.body(dice))) if recipe.shuffled else (lambda: always)
    loop = asyncio.get_running_loop()
    started_s = time.perf_counter()
    deadline_s = started_s + arguments.seconds
    clients = [
        (await loop.create_connection(lambda: _Client(make, deadline_s), url.hostname, url.port))[1]
        for _ in range(arguments.connections)
    ]
    _, late = await asyncio.wait([one.over for one in clients], timeout=arguments.seconds + 30)
    ranked = sorted(latency for one in clients for latency in one.latencies_s) or [0.0]
    return Measured(
        requests=sum(len(one.latencies_s) for one in clients),
        seconds=arguments.seconds,
        bytes=sum(one.bytes for one in clients),
        failed=sum(one.failed for one in clients) + len(late),
        p50_ms=ranked[len(ranked) // 2] * 1000,
        p99_ms=ranked[int(len(ranked) * 0.99)] * 1000,
    )


def main() -> None:
    """Generates load and prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--key", default="")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--seed", type=int, default=1)
    import uvloop

    print("MEASURED", json.dumps(asdict(uvloop.run(_generate(parser.parse_args())))))


if __name__ == "__main__":
    main()
