"""More than a gateway can answer: ``python -m tests.system.overload [--seconds 10] [--times 3]``.

Asks in an open loop, as browsers do, who do not wait for each other's answers: a generator that
waits for an answer before it asks again cannot overload anything. Each request has a connection of
its own and is given up after 2 s, as its user would.
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

from tests.system.processes import free_port, process, wait_until_ready

KEY = "the-key-of-the-crowd"
PATIENCE_S = 2.0

#: Not cached and not compiled: each answer costs milliseconds.
ACCOUNTS = 100
QUERY = """{ bankAccounts(first: 100) { nodes { id name
  balance(asOf: "2026-01-02") { ledger { amount } freshness { state } } } } }"""

_CONFIG = """
[storage]
url = "sqlite:///{directory}/gateway.db"

[[auth.api_keys]]
name = "crowd"
key = "env:CROWD_KEY"
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
class Crowd:
    """Asks one gateway."""

    port: int

    async def ask(self) -> str:
        """One request, and what became of it: good, refused, given up, or what went wrong."""
        body = json.dumps({"query": QUERY}).encode()
        head = (
            "POST /graphql HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nAuthorization: Bearer {KEY}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    writer.write(head.encode() + body)
                    answer = await reader.read(-1)
                finally:
                    writer.close()
        except TimeoutError:
            return "given up"
        except OSError as error:
            return type(error).__name__
        return _outcome(answer)

    async def in_open_loop(self, per_s: float, seconds: float) -> Counter[str]:
        """Asks so often, whatever the answers; what became of the requests."""
        loop = asyncio.get_running_loop()
        started_s, asked = loop.time(), list[asyncio.Task[str]]()
        while (passed_s := loop.time() - started_s) < seconds:
            due = int(passed_s * per_s) + 1 - len(asked)
            asked += [loop.create_task(self.ask()) for _ in range(due)]
            await asyncio.sleep(1 / per_s)
        return Counter(await asyncio.gather(*asked))

    async def good_per_s(self, seconds: float, clients: int = 8) -> float:
        """Good answers a second that so many clients get who wait for each other's."""
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + seconds
        became: Counter[str] = Counter()

        async def client() -> None:
            while loop.time() < ends_s:
                became[await self.ask()] += 1

        await asyncio.gather(*(client() for _ in range(clients)))
        return became["good"] / seconds


def _outcome(answer: bytes) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head[9:12].decode()
    if status == "200" and b'"errors"' not in body:
        return "good"
    if status == "503" and b"\r\nretry-after: 1" in head.lower():
        return "refused"
    return f"status {status}"


@contextlib.contextmanager
def crowded(directory: Path) -> Iterator[Crowd]:
    """A crowd before a gateway with many accounts in its embedded ledger."""
    config = directory / "gateway.toml"
    accounts = (_ACCOUNT.format(number=number) for number in range(ACCOUNTS))
    config.write_text(_CONFIG.format(directory=directory) + "".join(accounts))
    port = free_port()
    arguments = ("serve", "--config", str(config), "--port", str(port))
    with process(*arguments, CROWD_KEY=KEY) as started:
        wait_until_ready(f"http://127.0.0.1:{port}", started)
        yield Crowd(port)


async def overloaded(
    crowd: Crowd, seconds: float, times: list[float]
) -> AsyncIterator[tuple[float, Counter[str], float]]:
    """The knee's multiple, what became of a crowd of that size, and good answers a second after.

    The first one, of multiple 0, tells of the knee itself.
    """
    await crowd.good_per_s(1.0)
    knee = await crowd.good_per_s(seconds)
    yield 0.0, Counter(), knee
    for multiple in times:
        became = await crowd.in_open_loop(knee * multiple, seconds)
        await asyncio.sleep(1.0)
        yield multiple, became, await crowd.good_per_s(min(seconds, 3.0))


async def _report(crowd: Crowd, seconds: float, times: list[float]) -> None:
    async for multiple, became, after in overloaded(crowd, seconds, times):
        if not multiple:
            knee = after
            print(f"knee {knee:.0f} a second")
            continue
        good = became.pop("good", 0) / seconds
        others = ", ".join(f"{count / seconds:.0f} {what}" for what, count in became.items())
        print(
            f"{multiple:g} × the knee: {good:.0f} a second good ({good / knee:.0%}), {others};"
            f" {after:.0f} a second later ({after / knee:.0%})"
        )


def main() -> None:
    """Overloads a gateway and prints what became of the requests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--times", type=float, nargs="+", default=[1.0, 2.0, 3.0, 5.0])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, crowded(Path(directory)) as crowd:
        asyncio.run(_report(crowd, arguments.seconds, arguments.times))


if __name__ == "__main__":
    main()
