"""Runs rolling restarts under load: ``python -m benchmarks.restarts [--requests 10000]``.

Restarts two replicas, and then two workers of one gateway, one after the other with SIGTERM, while
clients send reads and writes on connections that they reuse. A client whose response says
``Connection: close``, or whose attempt to connect is refused, goes on at the next replica. Exits
with 1 when a request gets no response or a wrong one, or an acknowledged write is not there.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KEY = "the-key-of-the-restarted-gateway"
WRITE_SHARE = 0.1
PAUSE_MAX_S = 0.8
_READ = '{ bankAccount(id: "%s") { openingBalance { amount { minorUnits } } } }'
_WRITE = """mutation { upsertOpeningBalance(input: {accountId: "%s",
 amount: {minorUnits: "%d", currency: "EUR"}}) { __typename } }"""
_SETTINGS = """
[cache]
enabled = false
[storage]
url = "sqlite:///{folder}/gateway.db"
[[auth.api_keys]]
name = "restarts"
key = "env:RESTARTS_KEY"
tenant = "acme"
scopes = ["balances:read", "balances:write"]
[connectors.books]
provider = "local"
"""
_ACCOUNT = """
[[accounts]]
id = "{id}"
tenant = "acme"
connector = "books"
name = "{id}"
currency = "EUR"
"""


@dataclass
class Counts:
    """What the clients have seen."""

    sent: int = 0
    writes: int = 0
    lost: int = 0
    wrong: int = 0
    turned_away: int = 0
    connections: int = 0
    refused: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class Client:
    """One connection at a time, which it reuses until a response ends it.

    Args:
        account: an account that no other client writes.
        ports: the ports of the replicas.
        counts: counts what it sees.
    """

    account: str
    ports: list[int]
    counts: Counts
    acknowledged: int = 0
    _connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, done: asyncio.Event) -> None:
        """Send requests until ``done``, then read the last acknowledged write."""
        randomness = random.Random(self.account)
        while not done.is_set():
            if randomness.random() < WRITE_SHARE:
                await self._write(self.acknowledged + 1)
            else:
                await self._check_read()
            await asyncio.sleep(randomness.random() * PAUSE_MAX_S)
        await self._check_read()
        self._close()

    async def _write(self, minor_units: int) -> None:
        self.counts.writes += 1
        data = await self._post(_WRITE % (self.account, minor_units))
        if data is None:
            return
        if data["upsertOpeningBalance"]["__typename"] != "OpeningBalanceApplied":
            self._note_wrong(data)
        else:
            self.acknowledged = minor_units

    async def _check_read(self) -> None:
        data = await self._post(_READ % self.account)
        if data is None:
            return
        opening = data["bankAccount"]["openingBalance"]
        if (opening["amount"]["minorUnits"] if opening else "0") != str(self.acknowledged):
            self._note_wrong(data)

    async def _post(self, query: str) -> dict[str, Any] | None:
        """Return the response's data; None if it was lost or is wrong."""
        reader, writer = self._connection or await self._connect()
        body = json.dumps({"query": query}).encode()
        self.counts.sent += 1
        try:
            writer.write(
                b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
                b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s"
                % (KEY.encode(), len(body), body)
            )
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            response = json.loads(await reader.readexactly(length))
        except (OSError, asyncio.IncompleteReadError) as error:
            self.counts.lost += 1
            self.counts.examples.append(f"{type(error).__name__}: {query}")
            self._close()
            return None
        if b"connection: close" in head:
            self._close()
            self.ports.append(self.ports.pop(0))
        if head.startswith(b"http/1.1 503"):
            # The machine is too slow for a moment: a response, and nothing was executed.
            self.counts.turned_away += 1
            return None
        if not head.startswith(b"http/1.1 200") or "errors" in response:
            self._note_wrong(response)
            return None
        data: dict[str, Any] = response["data"]
        return data

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:
            try:
                self._connection = await asyncio.open_connection("127.0.0.1", self.ports[0])
            except OSError:
                self.counts.refused += 1
                self.ports.append(self.ports.pop(0))
                await asyncio.sleep(0.01)
            else:
                self.counts.connections += 1
                return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None

    def _note_wrong(self, response: object) -> None:
        self.counts.wrong += 1
        self.counts.examples.append(json.dumps(response)[:300])


def main() -> int:
    """Run both kinds of restarts and print what the clients have seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=60)
    parser.add_argument("--restarts", type=int, default=5)
    arguments = parser.parse_args()
    failed = False
    for name, restart in (("replicas", _restart_replicas), ("workers", _restart_workers)):
        with tempfile.TemporaryDirectory(prefix="restarts-") as folder:
            accounts = [f"account_{number}" for number in range(arguments.connections)]
            settings = _SETTINGS.format(folder=folder)
            settings += "".join(_ACCOUNT.format(id=account) for account in accounts)
            config = Path(folder) / "gateway.toml"
            config.write_text(settings)
            started_s = time.monotonic()
            counts = asyncio.run(_run(restart, config, accounts, arguments))
        print(
            f"two {name}, {arguments.restarts} rolling restarts in "
            f"{time.monotonic() - started_s:.0f} s: {counts.sent} requests ({counts.writes} writes)"
            f" on {arguments.connections} connections at a time, {counts.connections} in all, "
            f"{counts.refused} refused: {counts.lost} lost, {counts.wrong} wrong, "
            f"{counts.turned_away} turned away",
            flush=True,
        )
        for example in counts.examples[:5]:
            print(f"  {example}")
        failed = failed or bool(counts.lost or counts.wrong)
    print("FAILED" if failed else "No failures.")
    return 1 if failed else 0


async def _run(
    restart: Any, config: Path, accounts: list[str], arguments: argparse.Namespace
) -> Counts:
    counts, done = Counts(), asyncio.Event()
    async with restart(config, arguments.restarts) as (ports, restarting):
        clients = [
            Client(account, random.sample(ports, len(ports)), counts) for account in accounts
        ]
        running = [asyncio.create_task(client.run(done)) for client in clients]
        await restarting
        while counts.sent < arguments.requests:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        done.set()
        await asyncio.gather(*running)
    return counts


@contextlib.asynccontextmanager
async def _restart_replicas(
    config: Path, restarts: int
) -> AsyncIterator[tuple[list[int], "asyncio.Task[None]"]]:
    """Run two replicas; yield their ports and the task that restarts them."""
    ports = [_find_free_port(), _find_free_port()]
    replicas = [await _start(config, port) for port in ports]

    async def restart_all() -> None:
        for _ in range(restarts):
            for number, port in enumerate(ports):
                await _stop(replicas[number])
                replicas[number] = await _start(config, port)

    try:
        yield ports, asyncio.create_task(restart_all())
    finally:
        for replica in replicas:
            await _stop(replica)


@contextlib.asynccontextmanager
async def _restart_workers(
    config: Path, restarts: int
) -> AsyncIterator[tuple[list[int], "asyncio.Task[None]"]]:
    """Run two workers; yield their port and the task that restarts them."""
    port = _find_free_port()
    gateway = await _start(config, port, "--workers", "2")

    async def restart_all() -> None:
        for _ in range(restarts):
            for pid in _list_children(gateway):
                os.kill(pid, signal.SIGTERM)
                while pid in (children := _list_children(gateway)) or len(children) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
                # Until the new one serves: its start is nowhere to be seen from outside.
                await asyncio.sleep(5)

    while len(_list_children(gateway)) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    try:
        yield [port], asyncio.create_task(restart_all())
    finally:
        await _stop(gateway)


async def _start(config: Path, port: int, *options: str) -> subprocess.Popen[bytes]:
    """Start a gateway, and return it when it is ready."""
    command = [sys.executable, "-m", "balance_gateway", "serve", "--config", str(config)]
    command += ["--port", str(port), "--log-level", "ERROR", *options]
    process = subprocess.Popen(  # noqa: ASYNC220
        command, env={**os.environ, "RESTARTS_KEY": KEY}, stderr=subprocess.DEVNULL
    )
    while not await _is_ready(port):
        assert process.poll() is None, "the gateway has not started"
        await asyncio.sleep(0.1)
    return process


async def _is_ready(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
    status = await reader.readline()
    writer.close()
    return b" 200 " in status


async def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    code = await asyncio.to_thread(process.wait, 60)
    assert code == 0, f"exit code {code}"


def _list_children(process: subprocess.Popen[bytes]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
