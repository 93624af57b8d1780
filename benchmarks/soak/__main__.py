"""Runs the soak test: ``python -m benchmarks.soak --minutes 2 [--no-faults] [--seed N]``.

Starts the demo as a process and sends all kinds of requests while the sandbox's providers fail at
random. Exits with 1 when memory grows after the warm-up, a call budget is exceeded, an error is
INTERNAL, a request gets no response, or a response contradicts a write.
"""

import argparse
import asyncio
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from benchmarks.soak import faults
from benchmarks.soak.clients import Client, Target, measure_recovery_s
from benchmarks.soak.counters import Counters
from benchmarks.soak.process_monitor import ProcessMonitor
from benchmarks.soak.report import RECOVERY_S, SoakReport

CLIENTS = 12

#: The part of the duration after which memory must not grow: by then caches, connection pools and
#: parsed documents are full.
WARM_SHARE = 0.5
QUIET_S = 5.0
_ACCOUNTS = "{ bankAccounts(first: 500) { nodes { id currency } } }"


def main() -> int:
    """Run the soak test and print its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--faults", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.minutes:g} minutes, {CLIENTS} clients", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        _start_demo(Path(folder)) as started,
    ):
        process, demo = started
        report = asyncio.run(_run_soak(process.pid, demo, arguments))
        log = (Path(folder) / "stderr").read_text(errors="replace").splitlines()
        report = replace(report, log=log)
    print(report.format_text())
    failures = report.list_failures()
    for failure in failures:
        print(f"FAILED {failure}")
    print("FAILED" if failures else "No failures.")
    return 1 if failures else 0


@contextlib.contextmanager
def _start_demo(folder: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Start the demo; yield its process and the JSON that it prints. It logs to ``stderr``."""
    command = [sys.executable, "-m", "balance_gateway", "demo", "--json", "--port", "0"]
    command += ["--sandbox-port", "0", "--data-dir", str(folder / "data")]
    with (folder / "stderr").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            print("The demo did not stop within 30 s of SIGTERM.")


async def _run_soak(pid: int, demo: dict[str, Any], arguments: argparse.Namespace) -> SoakReport:
    target = await _read_target(demo)
    counters, monitor = Counters(), ProcessMonitor(pid, demo["sandbox_url"])
    start = monitor.sample()
    stop, stop_monitoring = asyncio.Event(), asyncio.Event()
    monitoring = asyncio.create_task(monitor.run(stop_monitoring))
    clients = [
        Client(number, target, counters, arguments.seed, target.ids[number::CLIENTS])
        for number in range(CLIENTS)
    ]
    client_tasks = [asyncio.create_task(client.run(stop)) for client in clients]
    fault_task = (
        asyncio.create_task(faults.inject_faults(demo["sandbox_url"], arguments.seed, stop))
        if arguments.faults
        else None
    )
    started_s = time.monotonic()
    seconds = arguments.minutes * 60
    await asyncio.wait(
        [monitoring, *client_tasks], timeout=seconds, return_when=asyncio.FIRST_EXCEPTION
    )
    stop.set()
    fault_counts = await fault_task if fault_task is not None else {}
    await asyncio.gather(*client_tasks)
    duration_s = time.monotonic() - started_s
    warm, end = (
        monitor.get_median_before(seconds * WARM_SHARE),
        monitor.get_median_before(duration_s),
    )
    recovery_s = await measure_recovery_s(target, RECOVERY_S)
    await asyncio.sleep(QUIET_S)
    stop_monitoring.set()
    await monitoring
    return SoakReport(
        seconds=duration_s,
        counters=counters,
        monitor=monitor,
        start=start,
        warm=warm,
        end=end,
        after=monitor.sample(),
        faults=fault_counts,
        recovery_s=recovery_s,
        log=[],
    )


async def _read_target(demo: dict[str, Any]) -> Target:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        headers = {"Authorization": f"Bearer {demo['read_key']}"}
        response = await http.post(demo["graphql_url"], json={"query": _ACCOUNTS}, headers=headers)
    nodes = response.json()["data"]["bankAccounts"]["nodes"]
    currencies = {node["id"]: node["currency"] for node in nodes}
    return Target(
        demo["graphql_url"], demo["read_key"], demo["admin_key"], list(currencies), currencies
    )


if __name__ == "__main__":
    sys.exit(main())
