"""Supervise several worker processes that share one listening socket.

A worker is the command ``serve`` with the inherited socket: it accepts connections, sheds load and
drains as a single process does. uvicorn's own supervisor could not offer that, since it starts
uvicorn's own server. A worker writes READY to its stdout once it serves, and stops at the end of
its stdin: if the supervisor is killed, no worker remains and holds the port.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from balance_gateway.observability.shared_metrics import SharedMetrics
from balance_gateway.server.draining import DRAIN_NOTICE_S, HANDSHAKE_S, ignore_new_connections

logger = logging.getLogger(__name__)

#: The line that a worker writes to its stdout once it serves.
READY = "ready"

#: Delay before a dead worker is replaced, so that restarts do not overload the machine.
_REPLACE_AFTER_S = 0.5

#: Delay before another start of a worker, after its replacement could not start.
_START_AGAIN_AFTER_S = 5.0


@dataclass(slots=True)
class Workers:
    """Worker processes of one configuration file.

    Args:
        config_path: the configuration file.
        listeners: sockets that listen already, of the gateway and possibly of its metrics; every
            worker accepts from them.
        count: the number of workers.
        log_level: the log level of the workers.
        metrics_folder: the folder in which the workers share their metrics.
        root_path: overrides the file's; None for the file's.
    """

    config_path: Path
    listeners: Sequence[socket.socket]
    count: int
    log_level: str
    metrics_folder: Path
    root_path: str | None = None
    _running: set[Process] = field(default_factory=set)
    _serving: set[Process] = field(default_factory=set)
    _reloads: int = 0
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def serve(self) -> int:
        """Serve until SIGINT or SIGTERM, then let the workers drain. SIGHUP is passed on to them.

        Returns:
            The exit code: 0 after a clean stop, 1 if a worker failed.
        """
        return asyncio.run(self._serve())

    async def _serve(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        codes = await asyncio.gather(
            *(self._supervise_worker(number) for number in range(self.count))
        )
        return 1 if any(codes) else 0

    async def _supervise_worker(self, number: int) -> int:
        """Keep one worker running until all stop; if the first cannot start, stop all of them."""
        metrics = SharedMetrics(self.metrics_folder, number)
        has_served = False
        while True:
            async with self._start_worker(number) as (worker, served):
                code = await worker.wait()
            metrics.forget_gauges()
            if self._stopping.is_set():
                # A worker that was stopped during its start has not failed.
                return code if served else 0
            has_served = has_served or served
            if code >= 0 and not has_served:
                # It exited on its own during its start and would do so again. A killed worker
                # (negative code) may succeed the next time.
                self._stop()
                return 1
            logger.warning("worker.died", extra={"worker_pid": worker.pid, "exit_code": code})
            # The file may have become wrong meanwhile: the other workers serve on.
            await asyncio.sleep(_REPLACE_AFTER_S if served or code < 0 else _START_AGAIN_AFTER_S)
            if self._stopping.is_set():
                return 0

    @contextlib.asynccontextmanager
    async def _start_worker(self, number: int) -> AsyncIterator[tuple[Process, bool]]:
        """Start a worker; yield it, and whether it has begun to serve."""
        reloads = self._reloads
        descriptors = [listener.fileno() for listener in self.listeners]
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "balance_gateway", "serve"),
            *("--config", str(self.config_path.absolute())),
            *("--log-level", self.log_level),
            *(() if self.root_path is None else ("--root-path", self.root_path)),
            *("--listener-fd", str(descriptors[0])),
            *(f"--metrics-fd={descriptor}" for descriptor in descriptors[1:]),
            *("--metrics-folder", str(self.metrics_folder), "--worker-number", str(number)),
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=descriptors,
            # Ctrl-C in a terminal must reach the supervisor only, which stops the workers.
            start_new_session=True,
        )
        self._running.add(worker)
        if self._stopping.is_set():
            worker.terminate()
        try:
            assert worker.stdout is not None
            served = await worker.stdout.readline() == f"{READY}\n".encode()
            if served:
                self._serving.add(worker)
                if reloads != self._reloads:
                    # It may have read the configuration before the signal came.
                    _send_hangup(worker)
            yield worker, served
        finally:
            self._running.discard(worker)
            self._serving.discard(worker)

    def _reload(self) -> None:
        """Let every worker read the configuration again."""
        self._reloads += 1
        # A worker that does not serve yet would be killed by the signal.
        for worker in self._serving:
            _send_hangup(worker)

    def _stop(self) -> None:
        """Let every worker drain, and start no more."""
        if not self._stopping.is_set():
            # Before the workers close theirs. Kept open here, the socket would take connections
            # that no worker accepts.
            loop = asyncio.get_running_loop()
            loop.call_later(DRAIN_NOTICE_S - HANDSHAKE_S, self._close_listeners)
        self._stopping.set()
        for worker in self._running:
            with contextlib.suppress(ProcessLookupError):
                worker.terminate()

    def _close_listeners(self) -> None:
        for listener in self.listeners:
            ignore_new_connections(listener)
            listener.close()


def _send_hangup(worker: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        worker.send_signal(signal.SIGHUP)
