"""Several worker processes on one listening socket, kept alive by the process that started them.

A worker is ``serve`` itself, handed the socket: it accepts, sheds and drains as a single process
does, which uvicorn's own supervisor, tied to uvicorn's own server, could not give. It says READY on
its stdout once it serves, and stops when its stdin ends: a supervisor that is killed leaves nobody
behind who holds the port.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

logger = logging.getLogger(__name__)

#: What a worker writes to its stdout, as a line, once it serves.
READY = "ready"

#: A worker that dies is replaced after so long, so that a machine in trouble is not made worse.
_REPLACE_AFTER_S = 0.5


@dataclass(slots=True)
class Workers:
    """Workers that are to serve one configuration file.

    Args:
        config_path: the file.
        listener: listens already; every worker accepts from it.
        count: of workers.
        log_level: of each.
    """

    config_path: Path
    listener: socket.socket
    count: int
    log_level: str
    _running: set[Process] = field(default_factory=set)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def serve(self) -> int:
        """Serves until SIGINT or SIGTERM, and lets the workers drain. Returns the exit code."""
        return asyncio.run(self._serve())

    async def _serve(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        codes = await asyncio.gather(*(self._keep_one() for _ in range(self.count)))
        return 1 if any(codes) else 0

    async def _keep_one(self) -> int:
        """Keeps one worker running until all stop. One that cannot start stops them all."""
        while True:
            async with self._worker() as (worker, served):
                code = await worker.wait()
            if self._stopping.is_set():
                # One that was stopped as it was starting has not failed.
                return code if served else 0
            if code >= 0 and not served:
                # It gave up by itself, and would again; one that was killed may fare better.
                self._stop()
                return 1
            logger.warning("worker.died", extra={"worker_pid": worker.pid, "exit_code": code})
            await asyncio.sleep(_REPLACE_AFTER_S)
            if self._stopping.is_set():
                return 0

    @contextlib.asynccontextmanager
    async def _worker(self) -> AsyncIterator[tuple[Process, bool]]:
        """A new worker, and whether it came to serve."""
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "balance_gateway", "serve"),
            *("--config", str(self.config_path.absolute())),
            *("--log-level", self.log_level),
            *("--listener-fd", str(self.listener.fileno())),
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=[self.listener.fileno()],
            # Ctrl-C in a terminal reaches the supervisor only, which tells the workers.
            start_new_session=True,
        )
        self._running.add(worker)
        if self._stopping.is_set():
            worker.terminate()
        try:
            assert worker.stdout is not None
            yield worker, await worker.stdout.readline() == f"{READY}\n".encode()
        finally:
            self._running.discard(worker)

    def _stop(self) -> None:
        """Lets every worker drain; no more are started."""
        self._stopping.set()
        for worker in self._running:
            with contextlib.suppress(ProcessLookupError):
                worker.terminate()
