"""Soaks the demo: ``python -m benchmarks.soak --minutes 2 [--no-faults] [--seed N]``.

Starts the demo as a process, loads it with every kind of request while the sandbox's providers
fail at random, and exits with 1 when something must not be: memory that grows once warm, a budget
exceeded, an INTERNAL error, a request without an answer, an answer that contradicts a write.
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
from benchmarks.soak.clients import Client, Target, recovery_s
from benchmarks.soak.tally import Tally
from benchmarks.soak.verdict import RECOVERY_S, Finding
from benchmarks.soak.watch import Watch

CLIENTS = 12

#: From then on memory must not grow: caches, pools and parsed documents have filled.
WARM_SHARE = 0.5
QUIET_S = 5.0
_ACCOUNTS = "{ bankAccounts(first: 500) { nodes { id currency } } }"


def main() -> int:
    """Runs a soak and prints its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--faults", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.minutes:g} minutes, {CLIENTS} clients", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, _demo(Path(folder)) as started:
        process, told = started
        finding = asyncio.run(_soak(process.pid, told, arguments))
        logged = (Path(folder) / "stderr").read_text(errors="replace").splitlines()
        finding = replace(finding, log=logged)
    print(finding.text())
    failures = finding.failures()
    for failure in failures:
        print(f"FAILED {failure}")
    print("FAILED" if failures else "Nothing that must not be.")
    return 1 if failures else 0


@contextlib.contextmanager
def _demo(folder: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A running demo, and the line that it printed; what it logs is in ``stderr``."""
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
            print("The demo did not end within 30 s of SIGTERM.")


async def _soak(pid: int, told: dict[str, Any], arguments: argparse.Namespace) -> Finding:
    target = await _target(told)
    tally, watch = Tally(), Watch(pid, told["sandbox_url"])
    start = watch.sample()
    stop, stop_watching = asyncio.Event(), asyncio.Event()
    watching = asyncio.create_task(watch.run(stop_watching))
    clients = [
        Client(number, target, tally, arguments.seed, target.ids[number::CLIENTS])
        for number in range(CLIENTS)
    ]
    running = [asyncio.create_task(client.run(stop)) for client in clients]
    striking = (
        asyncio.create_task(faults.run(told["sandbox_url"], arguments.seed, stop))
        if arguments.faults
        else None
    )
    started_s = time.monotonic()
    seconds = arguments.minutes * 60
    await asyncio.wait([watching, *running], timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    stop.set()
    struck = await striking if striking is not None else {}
    await asyncio.gather(*running)
    took_s = time.monotonic() - started_s
    warm, end = watch.around(seconds * WARM_SHARE), watch.around(took_s)
    recovered_s = await recovery_s(target, RECOVERY_S)
    await asyncio.sleep(QUIET_S)
    stop_watching.set()
    await watching
    return Finding(
        seconds=took_s,
        tally=tally,
        watch=watch,
        start=start,
        warm=warm,
        end=end,
        after=watch.sample(),
        faults=struck,
        recovery_s=recovered_s,
        log=[],
    )


async def _target(told: dict[str, Any]) -> Target:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        headers = {"Authorization": f"Bearer {told['read_key']}"}
        response = await http.post(told["graphql_url"], json={"query": _ACCOUNTS}, headers=headers)
    nodes = response.json()["data"]["bankAccounts"]["nodes"]
    currencies = {node["id"]: node["currency"] for node in nodes}
    return Target(
        told["graphql_url"], told["read_key"], told["admin_key"], list(currencies), currencies
    )


if __name__ == "__main__":
    sys.exit(main())
