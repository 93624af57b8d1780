"""Several worker processes on one listening socket, under uvicorn's own supervisor."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from balance_gateway.cli.server import uvicorn_config


@dataclass(frozen=True, slots=True)
class Workers:
    """Workers that are to serve one configuration file."""

    config_path: Path
    listener: socket.socket
    count: int

    def serve(self) -> int:
        """Serves until SIGINT or SIGTERM, and lets the workers drain. Returns the exit code."""
        # The supervisor starts its workers afresh; the environment is how they learn their file.
        os.environ["BALANCE_GATEWAY_CONFIG"] = str(self.config_path.absolute())
        config = uvicorn_config("balance_gateway.app:from_environment")
        config.factory = True
        config.workers = self.count
        supervisor = Multiprocess(config, sockets=[self.listener])
        supervisor.run()
        codes = {process.exitcode for process in supervisor.processes}
        return 1 if STARTUP_FAILURE in codes else 0
