"""A damaged SQLite file, or one beside a log that is another file's, is not opened."""

import os
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from balance_gateway.service import outcome_recorder
from balance_gateway.service.opening_balances import Rejected
from balance_gateway.storage.database import DatabaseError, open_database
from balance_gateway.storage.sqlite_backup import back_up
from balance_gateway.storage.write_probe import WriteProbe
from tests.storage.test_outages import JournalHarness

#: Commits an entry each time it reads a line, and acknowledges it; the log is never emptied.
WRITER = """
import asyncio, sys
from sqlalchemy import text
from balance_gateway.storage.database import open_database

async def main():
    database = await open_database(sys.argv[1])
    print("open", flush=True)
    for line in sys.stdin:
        async with database.write_transaction() as connection:
            await connection.execute(
                text("INSERT INTO ledger_entries (account_id, book, id, day, minor_units)"
                     " VALUES ('a', 'bank', :id, '2026-01-01', '1')"), {"id": line.strip()})
        print(line, end="", flush=True)

asyncio.run(main())
"""


class Writer:
    """A process that writes; ``kill`` leaves its log behind."""

    def __init__(self, child, path):
        self._child = child(WRITER, f"sqlite:///{path}")
        assert self._child.read_line() == "open"

    def write(self, *ids):
        for one in ids:
            self._child.send_line(one)
            assert self._child.read_line() == one

    def kill(self):
        self._child.process.send_signal(signal.SIGKILL)
        self._child.close()


def read_ids(path):
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return [one for (one,) in connection.execute("SELECT id FROM ledger_entries ORDER BY id")]


def read_log(path):
    return Path(f"{path}-wal").read_bytes()


def overwrite_pages(path, skip=2):
    """Overwrite all pages but the first ones, as a failing disk or a foreign log would."""
    with open(path, "r+b") as file:
        size = os.path.getsize(path)
        file.seek(skip * 4096)
        file.write(b"\x5a" * (size - skip * 4096))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "gateway.db"


@pytest.fixture
async def created(path):
    await (await open_database(f"sqlite:///{path}")).aclose()
    return path


async def test_a_damaged_file_is_not_opened_and_not_changed(path, child):
    """The gateway started, said that it was ready, and failed in each statement."""
    writer = Writer(child, path)
    writer.write("1")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    writer.write("2")
    writer.kill()
    overwrite_pages(path)
    before = path.read_bytes(), read_log(path)

    with pytest.raises(DatabaseError, match=r"is damaged \(.*'balance-gateway restore") as caught:
        await open_database(f"sqlite:///{path}")

    assert "\n" not in str(caught.value)
    assert (path.read_bytes(), read_log(path)) == before


async def test_the_log_of_another_file_is_not_replayed(path, child):
    """A backup beside the former log was no backup: the log restored the former contents."""
    writer = Writer(child, path)
    writer.write("1", "2")
    back_up(path, path.with_name("backup.db"), replace=False)
    writer.write("3")
    writer.kill()
    log = read_log(path)
    shutil.copy(path.with_name("backup.db"), path)

    with pytest.raises(DatabaseError, match=r"gateway\.db-wal belongs to another file"):
        await open_database(f"sqlite:///{path}")

    assert read_log(path) == log, "it is kept"


async def test_a_log_without_its_file_is_not_deleted(path, child):
    writer = Writer(child, path)
    writer.write("1")
    writer.kill()
    path.rename(f"{path}.moved")

    with pytest.raises(DatabaseError, match="missing or empty, but its log is there"):
        await open_database(f"sqlite:///{path}")

    shutil.move(f"{path}.moved", path)
    await (await open_database(f"sqlite:///{path}")).aclose()
    assert read_ids(path) == ["1"]


async def test_a_file_that_is_damaged_later_is_not_ready_and_takes_no_writes(
    created, tmp_path, monkeypatch
):
    """Every read failed with ``btreeInitPage() returns error code 11``, and /readyz said ready."""
    monkeypatch.setattr(outcome_recorder, "DRAIN_S", 0)
    database = await open_database(f"sqlite:///{created}")
    harness, probe = JournalHarness(database), WriteProbe(database)
    try:
        await probe.check()
        await database._engine.dispose()
        with closing(sqlite3.connect(created)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        content = created.read_bytes()
        overwrite_pages(created)

        with pytest.raises(DatabaseError, match="is damaged"):
            async with database.read_transaction() as connection:
                await connection.exec_driver_sql("SELECT * FROM writes")
        with pytest.raises(DatabaseError, match="takes no writes: the file is damaged"):
            await probe.check()
        created.write_bytes(content)
        refused = await harness.upsert()
        await harness.writer.drain()
    finally:
        await database.aclose()

    assert isinstance(refused, Rejected)
    assert harness.provider.sent == []
