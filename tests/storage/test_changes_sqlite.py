"""Tests looks at SQLite: locked, replaced and overwritten files, and databases in memory."""

import asyncio
import os
import shutil
import sqlite3
import threading
from contextlib import closing

import pytest
from sqlalchemy import text

from balance_gateway.storage.changes import FileChanges, open_storage_changes
from balance_gateway.storage.database import DatabaseError, open_database
from balance_gateway.storage.sqlite_connection import CommitCount, CountedConnection
from tests.storage.test_changes import commit, read, roll_back


@pytest.fixture
def path(tmp_path):
    """A file with a table `t`, in rollback mode and without a gateway's tables."""
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
    return path


@pytest.fixture
def changes(path):
    changes = FileChanges(str(path), "the label")
    yield changes
    changes.close()


def insert(path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO t VALUES (1)")


async def assert_unknown(changes):
    assert changes.look_now() is None
    with pytest.raises(DatabaseError, match="cannot see whether the database the label"):
        await changes.look()


async def test_both_looks_have_the_same_versions(changes, path):
    before = [changes.look_now(), await changes.look()]
    insert(path)
    after = [changes.look_now(), await changes.look()]

    assert len({*before}) == len({*after}) == 1
    assert before != after
    assert None not in before + after


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
async def test_commits_are_seen_in_every_journal_mode(path, mode):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
    changes = FileChanges(str(path), "")
    versions = {changes.look_now()}
    for _ in range(20):
        insert(path)
        versions.add(changes.look_now())
    changes.close()

    assert len(versions) == 21
    assert None not in versions


async def test_a_locked_file_is_unknown_at_once(changes, path):
    before = changes.look_now()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        other.execute("INSERT INTO t VALUES (1)")
        await assert_unknown(changes)
        other.execute("COMMIT")

    assert changes.look_now() not in (before, None)
    # It would wait in the event loop for as long as this.
    assert changes._connection.execute("PRAGMA busy_timeout").fetchall() == [(0,)]


async def test_a_writer_in_wal_mode_leaves_the_version_known(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        changes = FileChanges(str(path), "")
        before = changes.look_now()
        other.execute("BEGIN EXCLUSIVE")
        other.execute("INSERT INTO t VALUES (1)")
        during = changes.look_now()
        other.execute("ROLLBACK")
        after = changes.look_now()
        changes.close()

    assert before is not None
    assert before == during == after


def delete(path, _copy):
    path.unlink()


def replace(path, copy):
    copy.rename(path)


def delete_and_create(path, _copy):
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")


@pytest.mark.parametrize("act", [delete, replace, delete_and_create])
async def test_a_replaced_or_deleted_file_is_unknown(changes, path, act, caplog):
    """Connections of before and after the replacement have different files open."""
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    original = path.with_name("original.db")
    os.link(path, original)
    changes.look_now()

    act(path, copy)

    await assert_unknown(changes)
    # Connections that were opened meanwhile still have the other file open.
    path.unlink(missing_ok=True)
    original.rename(path)
    await assert_unknown(changes)
    assert [one.message for one in caplog.records] == ["storage.file_replaced"]


async def test_a_link_to_another_file_is_unknown(path):
    link, copy = path.with_name("link.db"), path.with_name("copy.db")
    shutil.copy(path, copy)
    link.symlink_to(path)
    database = await open_database(f"sqlite:///{link}")
    async with open_storage_changes(database) as changes:
        before = changes.look_now()
        link.unlink()
        link.symlink_to(copy)
        after = changes.look_now()
    await database.aclose()

    assert before is not None
    assert after is None


async def test_a_file_that_is_overwritten_in_place_has_changed(changes, path):
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    before = changes.look_now()

    path.write_bytes(copy.read_bytes())
    os.utime(path, (1, 1))

    assert changes.look_now() not in (before, None)


async def test_a_missing_file_is_not_created(tmp_path):
    with pytest.raises(DatabaseError, match="cannot open the file of the database the label"):
        FileChanges(str(tmp_path / "a.db"), "the label")

    assert list(tmp_path.iterdir()) == []


async def test_a_closed_connection_is_unknown(changes):
    changes.close()

    await assert_unknown(changes)


@pytest.mark.parametrize("name", ["a b%20#.db", "file:{}/uri.db?uri=true"])
async def test_a_file_of_any_name_is_found(tmp_path, name):
    where = name.format(tmp_path) if "{}" in name else f"{tmp_path}/{name}"
    database = await open_database(f"sqlite:///{where}")
    async with open_storage_changes(database) as changes:
        before = changes.look_now()
        await commit(database, "a")
        after = changes.look_now()
    await database.aclose()

    assert before is not None
    assert after not in (before, None)


async def test_closing_closes_the_connection(tmp_path):
    database = await open_database(f"sqlite:///{tmp_path}/a.db")
    async with open_storage_changes(database) as changes:
        during = changes.look_now()

    assert during is not None
    assert changes.look_now() is None
    await database.aclose()


@pytest.fixture
async def memory():
    database = await open_database("sqlite://")
    yield database
    await database.aclose()


async def test_a_database_in_memory_shows_commits_only(memory):
    async with open_storage_changes(memory) as changes:
        before = changes.look_now()
        await roll_back(memory, "a")
        await read(memory)
        equal = await changes.look()
        await commit(memory, "b")
        after = changes.look_now()
        await read(memory)
        again = changes.look_now()

    assert before == equal
    assert after != before
    assert after == again


async def test_a_cancelled_writer_in_memory_is_seen_if_it_committed(memory):
    """The thread of the driver commits although the task that asked for it is cancelled."""
    async with open_storage_changes(memory) as changes:
        states = set()
        for number in range(200):
            task = asyncio.create_task(commit(memory, str(number)))
            for _ in range(number % 40):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            # The only connection: the look comes after whatever the cancelled writer did.
            count = await read(memory)
            states.add((count, changes.look_now()))

    versions = [version for _, version in states]
    assert len({count for count, _ in states}) > 1
    assert len(set(versions)) == len(states)


async def test_no_two_looks_during_a_commit_are_equal():
    """Whether a commit under way has taken effect is not known."""
    commits, begun, go_on = CommitCount(), threading.Event(), threading.Event()

    class SlowConnection(sqlite3.Connection):
        def commit(self):
            begun.set()
            go_on.wait(10)
            super().commit()

    class Counted(CountedConnection, SlowConnection):
        pass

    connection = Counted(commits, ":memory:", check_same_thread=False, isolation_level=None)
    connection.execute("CREATE TABLE t (x)")
    connection.execute("BEGIN")
    connection.execute("INSERT INTO t VALUES (1)")
    versions = [commits.read_version()]
    thread = threading.Thread(target=connection.commit)
    thread.start()
    begun.wait(10)
    versions += [commits.read_version(), commits.read_version()]
    go_on.set()
    thread.join()
    versions += [commits.read_version()]
    connection.close()

    assert len(set(versions)) == 4


async def test_a_long_statement_in_memory_does_not_delay_a_look(memory):
    """A second connection would wait in the event loop until the statement ends."""
    count = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 3000000) "
    insert = text(count + "INSERT INTO normal_sides SELECT 'n' || max(x), '', '' FROM n")

    async def write():
        async with memory.write_transaction() as connection:
            await connection.execute(insert)

    async with open_storage_changes(memory) as changes:
        before = changes.look_now()
        task = asyncio.create_task(write())
        during = set()
        while not task.done():
            await asyncio.sleep(0.001)
            if not task.done():
                during.add(changes.look_now())
        await task
        after = changes.look_now()

    assert before in during
    assert after != before
