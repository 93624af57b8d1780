"""Overload a gateway: ``python -m tests.system.overload [--seconds 10] [--times 3]``.

Requests are sent in an open loop, like those of independent browsers: a generator that waits for a
response before it sends the next request cannot overload anything. Each request has its own
connection and is abandoned after 2 s, as its user would do.
"""

import argparse
import asyncio
import contextlib
import json
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.servers import free_port
from tests.system.processes import run_process, wait_until_ready

KEY = "the-key-of-the-load-test"
CLIENT_TIMEOUT_S = 2.0

#: With the cache off, each response costs milliseconds.
ACCOUNTS = 400
QUERY = """{ bankAccounts(first: 400) { nodes { id name
  balance(asOf: "2026-01-02") { ledger { amount } freshness { state } } } } }"""

_CONFIG = """
[storage]
url = "sqlite:///{directory}/gateway.db"

[cache]
enabled = false

[[auth.api_keys]]
name = "load"
key = "env:LOAD_KEY"
tenant = "acme"
scopes = ["balances:read"]

[connectors.books]
provider = "local"
"""
_ACCOUNT = """
[[accounts]]
id = "till-{number}"
tenant = "acme"
connector = "books"
name = "Till {number}"
currency = "EUR"
"""


@dataclass(frozen=True, slots=True)
class LoadGenerator:
    """Sends requests to one gateway."""

    port: int

    async def send(self) -> str:
        """Send a request; return its outcome: good, rejected, timed out, or the error."""
        body = json.dumps({"query": QUERY}).encode()
        head = (
            "POST /graphql HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nAuthorization: Bearer {KEY}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    writer.write(head.encode() + body)
                    response = await reader.read(-1)
                finally:
                    writer.close()
        except TimeoutError:
            return "timed out"
        except OSError as error:
            return type(error).__name__
        return _classify(response)

    async def run_open_loop(self, per_s: float, seconds: float) -> Counter[str]:
        """Send requests at a fixed rate and return the number of each outcome."""
        loop = asyncio.get_running_loop()
        started_s, sent = loop.time(), list[asyncio.Task[str]]()
        while (elapsed_s := loop.time() - started_s) < seconds:
            due = int(elapsed_s * per_s) + 1 - len(sent)
            sent += [loop.create_task(self.send()) for _ in range(due)]
            await asyncio.sleep(1 / per_s)
        return Counter(await asyncio.gather(*sent))

    async def measure_good_per_s(self, seconds: float, clients: int = 8) -> float:
        """Return the good responses per second of clients that send one request at a time."""
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + seconds
        outcomes: Counter[str] = Counter()

        async def client() -> None:
            while loop.time() < ends_s:
                outcomes[await self.send()] += 1

        await asyncio.gather(*(client() for _ in range(clients)))
        return outcomes["good"] / seconds


def _classify(response: bytes) -> str:
    head, _, body = response.partition(b"\r\n\r\n")
    status = head[9:12].decode()
    if status == "200" and b'"errors"' not in body:
        return "good"
    if status == "503" and b"\r\nretry-after: 1" in head.lower():
        return "rejected"
    return f"status {status}"


@contextlib.contextmanager
def run_overloaded_gateway(directory: Path) -> Iterator[LoadGenerator]:
    """Run a gateway with many embedded ledger accounts, and a load generator for it."""
    config = directory / "gateway.toml"
    accounts = (_ACCOUNT.format(number=number) for number in range(ACCOUNTS))
    config.write_text(_CONFIG.format(directory=directory) + "".join(accounts))
    port = free_port()
    arguments = ("serve", "--config", str(config), "--port", str(port))
    with run_process(*arguments, LOAD_KEY=KEY) as started:
        wait_until_ready(f"http://127.0.0.1:{port}", started)
        yield LoadGenerator(port)


async def measure_overload(
    generator: LoadGenerator, seconds: float, times: list[float]
) -> AsyncIterator[tuple[float, Counter[str], float]]:
    """Yield a multiple of the capacity, the outcomes at that rate, and good responses/s afterwards.

    The first item has the multiple 0 and the capacity itself, without outcomes.
    """
    await generator.measure_good_per_s(1.0)
    capacity = await generator.measure_good_per_s(seconds)
    yield 0.0, Counter(), capacity
    for multiple in times:
        outcomes = await generator.run_open_loop(capacity * multiple, seconds)
        await asyncio.sleep(1.0)
        yield multiple, outcomes, await generator.measure_good_per_s(min(seconds, 3.0))


async def _report(generator: LoadGenerator, seconds: float, times: list[float]) -> None:
    async for multiple, outcomes, after in measure_overload(generator, seconds, times):
        if not multiple:
            capacity = after
            print(f"capacity {capacity:.0f} good/s")
            continue
        good = outcomes.pop("good", 0) / seconds
        others = ", ".join(f"{count / seconds:.0f} {what}/s" for what, count in outcomes.items())
        print(
            f"{multiple:g} × capacity: {good:.0f} good/s ({good / capacity:.0%}), {others};"
            f" {after:.0f} good/s afterwards ({after / capacity:.0%})"
        )


def main() -> None:
    """Overload a gateway and print the outcomes of the requests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--times", type=float, nargs="+", default=[1.0, 2.0, 3.0, 5.0])
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        run_overloaded_gateway(Path(directory)) as generator,
    ):
        asyncio.run(_report(generator, arguments.seconds, arguments.times))


if __name__ == "__main__":
    main()
