"""Measures the start of ``balance-gateway serve``: ``python -m benchmarks.start [--accounts N]``.

Prints the time until ``/readyz`` answers 200 and the CPU time until then, of each start and the
median. The database exists already, as at every start but the first. Modules are compiled, as pip
leaves them, whatever PYTHONDONTWRITEBYTECODE says.
"""

import argparse
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import configuration, machine
from benchmarks.servers import KEY


def main() -> int:
    """Start the gateway several times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--starts", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="start-") as folder:
        layout = configuration.Layout({"light": arguments.accounts})
        path = configuration.write_configuration(
            Path(folder), KEY, "http://127.0.0.1:9", "memory://", layout
        )
        _start(path)
        figures = [_start(path) for _ in range(arguments.starts)]
    for wall_s, cpu_s in figures:
        print(f"ready after {wall_s:.2f} s, CPU {cpu_s:.2f} s")
    wall_s, cpu_s = (statistics.median(each) for each in zip(*figures, strict=True))
    print(f"median of {len(figures)}: ready after {wall_s:.2f} s, CPU {cpu_s:.2f} s")
    return 0


def _start(path: Path) -> tuple[float, float]:
    """Return the seconds until the gateway was ready, and its CPU seconds until then."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "balance_gateway", "serve", "--config", str(path)]
    # The first start, which is not counted, compiles into a folder of this run.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(path.parent / "compiled")
    began_s = time.monotonic()
    with subprocess.Popen(
        [*command, "--port", str(port)],
        env=environment,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as process:
        try:
            while not _is_ready(port):
                if process.poll() is not None:
                    raise SystemExit("the gateway ended before it was ready")
                time.sleep(0.005)
            return time.monotonic() - began_s, machine.get_process_cpu_s(process.pid)
        finally:
            process.terminate()


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
