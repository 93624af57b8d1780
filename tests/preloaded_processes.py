"""Starts processes that have already imported the product.

Imports take most of the two seconds of CPU that a short command needs, and the suite starts over a
hundred. Here one server process imports everything once, and forks itself for each process. What a
process does from then on is the same: it has its own arguments, environment, streams, signals and
exit code. It does not show that the imports work, and all of them have one hash seed, so tests
start each command from nothing too, with ``subprocess``.
"""

import atexit
import contextlib
import gc
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

#: What the processes import; one that is missing here is imported by each process. Reading the
#: certificates of the machine takes 40 ms of each, too.
_PRELOADED = """
import alembic.command, aiosqlite, httptools, httpx, prometheus_client, redis.asyncio
import rich.console, rich.progress, rich.table, uvicorn, uvloop
import balance_gateway.app.asgi, balance_gateway.app.ledger_import, balance_gateway.app.probes
import balance_gateway.cli, balance_gateway.cli.demo_files
import balance_gateway.server.workers, balance_gateway.storage.journal
import balance_gateway.storage.ledger, balance_gateway.web, balance_gateway_sandbox
# Imported when they are looked up.
list(balance_gateway.cli.main.commands.values())
from balance_gateway.transport import verified_ssl_context
verified_ssl_context()
"""
_REQUEST_BYTES_MAX = 200_000
_PID_DIGITS = 10


class PreloadedProcess:
    """A running process with the attributes and methods of ``subprocess.Popen``.

    Args:
        arguments: the arguments of ``balance-gateway``, or of the code.
        environment: the whole environment of the process.
        code: Python code to run in place of the command.
        log: receives the output; None for pipes, also to the process.
        folder: the working directory; None for that of the project.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        code: str | None = None,
        log: IO[bytes] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.args = list(arguments)
        self.returncode: int | None = None
        self._lock = threading.Lock()
        self._connection, other_end = socket.socketpair()
        self.stdin: IO[str] | None = None
        self.stdout: IO[str] | None = None
        self.stderr: IO[str] | None = None
        if log is None:
            stdin, self.stdin = _open_pipe("w")
            stdout, self.stdout = _open_pipe("r")
            stderr, self.stderr = _open_pipe("r")
        else:
            stdin = os.open(os.devnull, os.O_RDONLY)
            stdout, stderr = os.dup(log.fileno()), os.dup(log.fileno())
        passed = [other_end.fileno(), stdin, stdout, stderr]
        request = {"arguments": self.args, "environment": dict(environment), "code": code}
        request["folder"] = None if folder is None else str(folder)
        _find_server().send(request, passed)
        other_end.close()
        for descriptor in passed[1:]:
            os.close(descriptor)
        self.pid = int(self._connection.recv(_PID_DIGITS, socket.MSG_WAITALL))

    def poll(self) -> int | None:
        """Return the exit code if the process has ended; negative if a signal ended it."""
        return self._receive_code(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._receive_code(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Close stdin, read the output to its end, and wait for the end of the process."""
        ends_s = None if timeout is None else time.monotonic() + timeout

        def find_left_s() -> float | None:
            return None if ends_s is None else max(0.01, ends_s - time.monotonic())

        if self.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.stdin.close()
        read: dict[str, str] = {}
        readers = [
            threading.Thread(target=_read_to_end, args=(name, stream, read), daemon=True)
            for name, stream in (("stdout", self.stdout), ("stderr", self.stderr))
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(find_left_s())
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        self.wait(find_left_s())
        return read["stdout"], read["stderr"]

    def _receive_code(self, timeout: float | None) -> int | None:
        with self._lock:
            if self.returncode is None:
                self._connection.settimeout(timeout)
                try:
                    received = self._connection.recv(100)
                except (TimeoutError, BlockingIOError):
                    return None
                assert received, "the server of the processes has ended"
                self.returncode = int(received)
                self._connection.close()
            return self.returncode


def _open_pipe(mode: str) -> tuple[int, IO[str]]:
    """Return the descriptor of the process, and the other end as a file of this one."""
    reading, writing = os.pipe()
    theirs, ours = (reading, writing) if mode == "w" else (writing, reading)
    return theirs, os.fdopen(ours, mode, encoding="utf-8")


def _read_to_end(name: str, stream: IO[str] | None, read: dict[str, str]) -> None:
    # A second call of ``communicate`` finds nothing more.
    read[name] = "" if stream is None or stream.closed else stream.read()
    if stream is not None:
        stream.close()


class _Server:
    """The process that forks; it ends when this one does."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.preloaded_processes", str(theirs.fileno())],
                cwd=Path(__file__).parents[1], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
            )  # fmt: skip
        atexit.register(self.stop)

    def send(self, request: Mapping[str, Any], descriptors: list[int]) -> None:
        data = json.dumps(request).encode()
        assert len(data) < _REQUEST_BYTES_MAX
        socket.send_fds(self._requests, [data], descriptors)

    def stop(self) -> None:
        self._requests.close()
        self._process.wait()


_server: _Server | None = None
_server_lock = threading.Lock()


def _find_server() -> _Server:
    global _server  # noqa: PLW0603 - one for each process that runs tests
    with _server_lock:
        if _server is None:
            _server = _Server()
        return _server


class _Forking:
    """The server's side: forks for each request and reports the ends of the processes."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._running: dict[int, socket.socket] = {}
        self._woken, self._wakes = socket.socketpair()
        self._selector = selectors.DefaultSelector()

    def serve(self) -> dict[str, Any] | None:
        """Return the request in each new process, and None when there are no more."""
        self._wakes.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakes.fileno())
        # Ctrl-C in a terminal is for the tests.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._selector.register(self._requests, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in self._selector.select()]
            if self._woken in ready:
                self._woken.recv(1000)
                self._report_ended()
            if self._requests in ready:
                data, descriptors, _, _ = socket.recv_fds(self._requests, _REQUEST_BYTES_MAX, 4)
                if not data:
                    return None
                if self._fork(descriptors):
                    request: dict[str, Any] = json.loads(data)
                    return request

    def _fork(self, descriptors: list[int]) -> bool:
        """Return True in the new process."""
        connection = socket.socket(fileno=descriptors[0])
        pid = os.fork()
        if pid == 0:
            connection.close()
            self._leave()
            for number, descriptor in enumerate(descriptors[1:]):
                os.dup2(descriptor, number)
        for descriptor in descriptors[1:]:
            os.close(descriptor)
        if pid != 0:
            self._running[pid] = connection
            connection.send(str(pid).rjust(_PID_DIGITS).encode())
        return pid == 0

    def _leave(self) -> None:
        """Close what the new process would not have if it had been started from nothing."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._selector.close()
        for each in (self._requests, self._woken, self._wakes, *self._running.values()):
            each.close()

    def _report_ended(self) -> None:
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            # The one that started it may have gone.
            with self._running.pop(pid) as connection, contextlib.suppress(OSError):
                connection.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(request: Mapping[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    if request["folder"] is not None:
        os.chdir(request["folder"])
    if request["code"] is not None:
        sys.argv = ["-c", *request["arguments"]]
        exec(request["code"], {"__name__": "__main__"})
    else:
        sys.argv = ["balance-gateway", *request["arguments"]]
        runpy.run_module("balance_gateway", run_name="__main__", alter_sys=True)


def _main() -> None:
    exec(_PRELOADED, {})
    gc.collect()
    # What the collector does not touch stays shared between the processes.
    gc.freeze()
    request = _Forking(socket.socket(fileno=int(sys.argv[1]))).serve()
    if request is not None:
        _become(request)


if __name__ == "__main__":
    _main()
