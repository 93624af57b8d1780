"""Whether a database takes writes: probed for /readyz, and checked before each write."""

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from balance_gateway.service import outcome_recorder
from balance_gateway.service.opening_balances import Applied, Rejected
from balance_gateway.storage import write_probe as probe
from balance_gateway.storage.database import DatabaseError, open_database
from tests.storage.test_outages import JournalHarness, full_disk, run_pg_ctl


@pytest.fixture(autouse=True)
def probe_every_time(monkeypatch):
    monkeypatch.setattr(probe, "PROBE_VALID_S", 0.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "gateway.db"


@pytest.fixture
async def sqlite(path):
    database = await open_database(f"sqlite:///{path}")
    yield database
    await database.aclose()


def delete(path):
    path.unlink()


def delete_log(path):
    Path(f"{path}-wal").unlink()


def replace_with_copy(path):
    shutil.copy(path, f"{path}.copy")
    os.replace(f"{path}.copy", path)


def move_directory(path):
    shutil.move(path.parent, f"{path.parent}.old")


async def test_a_usable_database_takes_writes(database):
    await probe.WriteProbe(database).check()
    await probe.WriteProbe(database).check()


async def test_a_database_in_memory_takes_writes():
    database = await open_database("sqlite://")
    await probe.WriteProbe(database).check()
    await database.aclose()


@pytest.mark.parametrize("lose", [delete, delete_log, replace_with_copy, move_directory])
async def test_nothing_is_sent_after_the_file_was_lost(sqlite, path, lose, monkeypatch):
    """A write was applied into a deleted file, and sent again after the restart."""
    monkeypatch.setattr(outcome_recorder, "DRAIN_S", 0)
    harness = JournalHarness(sqlite)
    before = await harness.upsert()
    lose(path)

    refused = await harness.upsert(300)

    with pytest.raises(DatabaseError, match="takes no writes: the file"):
        await probe.WriteProbe(sqlite).check()
    # The refusal cannot be recorded; without this, an attempt could outlive the database.
    await harness.writer.drain()
    assert isinstance(before, Applied)
    assert isinstance(refused, Rejected)
    assert refused.retryable
    assert len(harness.provider.sent) == 1


async def test_a_file_lost_during_the_commit_is_noticed(sqlite, path):
    with pytest.raises(DatabaseError, match="was deleted or replaced"):
        async with sqlite.write_transaction():
            delete(path)


async def test_a_full_disk_takes_no_writes(sqlite, path):
    with full_disk(Path(f"{path}-wal")), pytest.raises(DatabaseError, match="takes no writes"):
        await probe.WriteProbe(sqlite).check()
    await probe.WriteProbe(sqlite).check()


async def test_little_free_space_takes_no_writes(sqlite, monkeypatch):
    full = os.statvfs_result((4096, 4096, 10**6, 10**6, 10, 1, 1, 1, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _path: full)

    with pytest.raises(DatabaseError, match="the disk is full"):
        await probe.WriteProbe(sqlite).check()


async def test_another_writer_does_not_fail_the_probe(sqlite, path):
    """An import holds the lock for seconds: the gateway can serve meanwhile."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await probe.WriteProbe(sqlite).check()


async def test_a_passed_probe_counts_for_a_while(sqlite, monkeypatch):
    monkeypatch.setattr(probe, "PROBE_VALID_S", 60.0)
    checking = probe.WriteProbe(sqlite)
    await checking.check()
    problems = []
    monkeypatch.setattr(sqlite.file, "find_write_problem", lambda: problems.append("probed"))

    await asyncio.gather(*(checking.check() for _ in range(20)))

    assert problems == []


async def test_a_read_only_postgresql_takes_no_writes(postgresql_url):
    admin = await asyncpg.connect(postgresql_url)
    await admin.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
    try:
        database = await open_database_of_release(postgresql_url, admin)
        with pytest.raises(DatabaseError, match="read-only"):
            await probe.WriteProbe(database).check()
        await database.aclose()
    finally:
        await admin.execute("ALTER DATABASE postgres RESET default_transaction_read_only")
        await admin.close()


async def open_database_of_release(url, admin):
    """Open the database after its tables were created, before it became read-only."""
    await admin.execute("ALTER DATABASE postgres RESET default_transaction_read_only")
    await (await open_database(url)).aclose()
    await admin.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
    return await open_database(url)


async def test_a_standby_takes_no_writes_and_sends_nothing(postgresql_url, postgresql_process):
    """A standby after a failover: ready, but no write could be recorded."""
    database = await open_database(postgresql_url)
    signal = postgresql_process.pgdata / "standby.signal"
    harness = JournalHarness(database)
    try:
        await probe.WriteProbe(database).check()
        signal.touch()
        await asyncio.to_thread(run_pg_ctl, postgresql_process, "-m", "fast", "restart")
        with pytest.raises(DatabaseError, match="takes no writes: it is read-only"):
            await probe.WriteProbe(database).check()
        refused = await harness.upsert()
    finally:
        await asyncio.to_thread(run_pg_ctl, postgresql_process, "promote")
        await harness.writer.drain()
        await database.aclose()

    assert isinstance(refused, Rejected)
    assert harness.provider.sent == []
