"""Generates load on a server for some seconds: with wrk if it is installed, else by itself.

The built-in generator runs as a process: ``python -m benchmarks.load --url … --template FILE …``.
Like ``wrk.lua`` it prints its result as one JSON line.
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
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast
from urllib.parse import SplitResult, urlsplit

from benchmarks import body_templates, machine

TIMEOUT_S = 30.0
_LUA = Path(__file__).with_name("wrk.lua")


class LoadFailed(Exception):
    """The generator ended without a result."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The result of one run of a generator.

    Attributes:
        requests: requests with a response.
        seconds: duration of the run.
        bytes: of all responses, with headers.
        failed: requests without a response, or with a status other than 2xx.
        p50_ms: median latency.
        p99_ms: 99th percentile of the latency.
    """

    requests: int
    seconds: float
    bytes: int
    failed: int
    p50_ms: float
    p99_ms: float


def has_wrk() -> bool:
    """Whether wrk is installed."""
    return shutil.which("wrk") is not None


def run_generator(
    url: str,
    template: Path | None,
    key: str,
    connections: int,
    seconds: float,
    seed: int,
    tag: str = "",
) -> LoadResult:
    """Run the generator on its core.

    Args:
        url: of the GraphQL endpoint.
        template: file of the body template; None sends GET requests, by the built-in generator.
        key: bearer key of the requests.
        connections: concurrent connections, with one request at a time each.
        seconds: duration.
        seed: of the random choice of accounts.
        tag: the value of If-None-Match of GET requests.

    Raises:
        LoadFailed: the generator ended without a result.
    """
    environment = {
        **os.environ,
        "WRK_TEMPLATE": str(template),
        "WRK_KEY": key,
        "WRK_SEED": str(seed),
    }
    if has_wrk() and template is not None:
        duration_s = max(1, math.ceil(seconds))
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{duration_s}s",
            f"--timeout={TIMEOUT_S:g}s",
        ]
        command += ["-s", str(_LUA), url]
    else:
        command = [sys.executable, "-m", "benchmarks.load", "--url", url]
        command += ["--tag", tag] if template is None else ["--template", str(template)]
        command += ["--key", key, "--connections", str(connections), "--seconds", str(seconds)]
        command += ["--seed", str(seed)]
    with machine.pin_processes(machine.LOAD_CORE):
        finished = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + 90,
        )
    for line in finished.stdout.splitlines():
        if line.startswith("MEASURED "):
            return LoadResult(**json.loads(line.removeprefix("MEASURED ")))
    raise LoadFailed(finished.stdout + finished.stderr)


class _Client(asyncio.Protocol):
    """One connection that sends request after request until the deadline."""

    def __init__(
        self, build_request: Callable[[], bytes], deadline_s: float, expected: Collection[bytes]
    ) -> None:
        self._build_request = build_request
        self._expected = expected
        self._deadline_s = deadline_s
        self._buffer = b""
        self._response_bytes = 0
        self.latencies_s: list[float] = []
        self.bytes = 0
        self.failed = 0
        self.finished = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Collect a response, and send the next request when it is complete."""
        self._buffer += data
        if not self._response_bytes:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._response_bytes = end + 4 + _parse_content_length(self._buffer[:end])
        if len(self._buffer) < self._response_bytes:
            return
        now_s = time.perf_counter()
        if now_s <= self._deadline_s:
            self.latencies_s.append(now_s - self._sent_s)
            self.bytes += self._response_bytes
            self.failed += self._buffer[9:12] not in self._expected
            self._buffer, self._response_bytes = b"", 0
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the pending request as failed, unless the deadline has passed."""
        if not self.finished.done():
            self.failed += time.perf_counter() < self._deadline_s
            self.finished.set_result(None)

    def _send(self) -> None:
        request = self._build_request()
        self._sent_s = time.perf_counter()
        self._transport.write(request)


def _parse_content_length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"\r\ncontent-length:")
    # A 304 has no length.
    return int(rest.split(b"\r\n", 1)[0] or 0)


def _build_get(url: SplitResult, key: str, tag: str) -> bytes:
    """Build a GET request as the page sends it."""
    return (
        f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n"
        "Accept: application/json\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
        f"Authorization: Bearer {key}\r\nIf-None-Match: {tag}\r\n\r\n"
    ).encode()


def _prepare_posts(url: SplitResult, key: str, template: Path, seed: int) -> Callable[[], bytes]:
    """Return what builds the next POST request."""
    bodies = body_templates.read_template(template)
    rng = random.Random(seed)
    head = (
        f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: "
    ).encode()

    def add_head(body: bytes) -> bytes:
        return head + str(len(body)).encode() + b"\r\n\r\n" + body

    fixed_request = add_head(bodies.build_body(rng))
    if bodies.shuffled:
        return lambda: add_head(bodies.build_body(rng))
    return lambda: fixed_request


async def _generate(arguments: argparse.Namespace) -> LoadResult:
    url = urlsplit(arguments.url)
    if arguments.template is None:
        request = _build_get(url, arguments.key, arguments.tag)
        build_request, expected = lambda: request, (b"304",) if arguments.tag else (b"200",)
    else:
        build_request = _prepare_posts(url, arguments.key, arguments.template, arguments.seed)
        expected = (b"200",)
    loop = asyncio.get_running_loop()
    deadline_s = time.perf_counter() + arguments.seconds
    clients = [
        (
            await loop.create_connection(
                lambda: _Client(build_request, deadline_s, expected), url.hostname, url.port
            )
        )[1]
        for _ in range(arguments.connections)
    ]
    _, unfinished = await asyncio.wait(
        [client.finished for client in clients], timeout=arguments.seconds + 30
    )
    latencies_s = sorted(each for client in clients for each in client.latencies_s) or [0.0]
    return LoadResult(
        requests=sum(len(client.latencies_s) for client in clients),
        seconds=arguments.seconds,
        bytes=sum(client.bytes for client in clients),
        failed=sum(client.failed for client in clients) + len(unfinished),
        p50_ms=latencies_s[len(latencies_s) // 2] * 1000,
        p99_ms=latencies_s[int(len(latencies_s) * 0.99)] * 1000,
    )


def main() -> None:
    """Generate load and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--template", type=Path, help="without it GET requests are sent")
    parser.add_argument("--tag", default="", help="of GET requests, which then expect a 304")
    parser.add_argument("--key", default="")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--seed", type=int, default=1)
    import uvloop

    print("MEASURED", json.dumps(asdict(uvloop.run(_generate(parser.parse_args())))))


if __name__ == "__main__":
    main()
