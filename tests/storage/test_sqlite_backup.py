"""Backups of an SQLite database in use, and their restoring after a crash."""

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from balance_gateway.domain.opening_balance_plans import PlanState
from balance_gateway.storage import sqlite_backup
from balance_gateway.storage.database import open_database
from balance_gateway.storage.plans import SqlPlanStore
from balance_gateway.storage.sqlite_backup import BackupError, WrongTarget, back_up, restore
from tests.storage.test_damaged_files import Writer, overwrite_pages, read_ids
from tests.storage.test_plans import make_ready, row

NOW = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "gateway.db"


@pytest.fixture
def backup(tmp_path):
    return tmp_path / "backup.db"


def create(path):
    async def run():
        await (await open_database(f"sqlite:///{path}")).aclose()

    asyncio.run(run())
    return path


KEEP_OPEN = """
import asyncio, sys
from sqlalchemy import text
from balance_gateway.storage.database import open_database

async def run():
    one = await open_database(f"sqlite:///{sys.argv[1]}")
    async with one.write_transaction() as connection:
        await connection.execute(text("CREATE TABLE written (number)"))
    two = await open_database(f"sqlite:///{sys.argv[1]}")
    await two.aclose()
    if sys.argv[2] == "lose locks":
        open(sys.argv[1], "rb").close()
    print("open", flush=True)
    sys.stdin.readline()

asyncio.run(run())
"""


@pytest.mark.parametrize("locks", ["keep locks", "lose locks"])
def test_nothing_is_restored_below_a_process_that_opened_the_file_twice(path, backup, child, locks):
    """Reading the file without SQLite ended the locks by which the process was seen."""
    back_up(create(path), backup, replace=False)
    assert child(KEEP_OPEN, str(path), locks).read_line() == "open"

    with pytest.raises(BackupError, match="open; stop it"):
        restore(path, backup, NOW)
    with open(path, "r+b") as file:
        locked = (
            pytest.raises(BlockingIOError) if locks == "keep locks" else contextlib.nullcontext()
        )
        with locked:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 512, 0x4000_0000)


def list_names(directory):
    return sorted(each.name for each in directory.iterdir())


def execute(path, statement):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()


def test_a_killed_process_s_acknowledged_writes_come_back(path, backup, child):
    """The backup in its place beside the former log restored nothing, or a damaged file."""
    writer = Writer(child, path)
    covered = [f"{number:04}" for number in range(200)]
    writer.write(*covered)
    written = back_up(path, backup, replace=False)
    writer.write("later")
    with pytest.raises(BackupError, match=r"has .*gateway.db open; stop it"):
        restore(path, backup, NOW)
    writer.write("after the refusal")
    writer.kill()
    assert os.path.getsize(f"{path}-wal") > 0

    restored, former = restore(path, backup, NOW)

    assert read_ids(path) == covered
    assert written.size_bytes == backup.stat().st_size
    assert backup.stat().st_mode & 0o777 == 0o600
    assert restored.version == written.version
    kept = "gateway.db.replaced-20260301T120005Z"
    assert [each.name for each in former] == [kept, f"{kept}-wal", f"{kept}-shm"]
    assert list_names(path.parent) == ["gateway.db", *sorted(each.name for each in former)]
    assert read_ids(former[0]) == [*covered, "after the refusal", "later"]
    create(path)
    assert read_ids(path) == covered


def test_a_crash_during_a_restore_is_noticed_at_the_start(path, backup, child, monkeypatch):
    writer = Writer(child, path)
    back_up(path, backup, replace=False)
    writer.write("later")
    writer.kill()
    monkeypatch.setattr(sqlite_backup, "_unlink", lambda _path: None)
    restore(path, backup, NOW)

    with pytest.raises(Exception, match="belongs to another file"):
        create(path)
    monkeypatch.undo()
    _, former = restore(path, backup, NOW)

    assert former[0].name == "gateway.db.replaced-20260301T120005Z-2"
    create(path)
    assert read_ids(path) == []


def test_a_missing_or_damaged_database_is_restored(path, backup):
    back_up(create(path), backup, replace=False)
    mode = 0o640
    path.chmod(mode)
    overwrite_pages(path)
    restore(path, backup, NOW)
    first = path.stat().st_mode & 0o777
    path.unlink()

    _, former = restore(path, backup, NOW)

    assert first == mode
    assert former == []
    assert execute(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_backup_with_a_log_of_its_own_is_restored_with_it(path, backup, child):
    """``cp`` of both files, while no gateway ran."""
    writer = Writer(child, path)
    writer.write("1")
    writer.kill()
    shutil.copy(path, backup)
    shutil.copy(f"{path}-wal", f"{backup}-wal")

    restore(path, backup, NOW)

    assert read_ids(path) == ["1"]


def write_text(backup):
    backup.write_text("something else entirely, and long enough to be a header" * 99)


def set_newer_version(backup):
    execute(backup, "UPDATE alembic_version SET version_num = '9999'")


def make_another_program_s(backup):
    backup.unlink()
    execute(backup, "CREATE TABLE alembic_version AS SELECT '0001' AS version_num")


def put_log_beside(backup):
    Path(f"{backup}-wal").write_bytes(b"log of another file")


def break_an_index(backup):
    execute(backup, "PRAGMA journal_mode = DELETE")
    [(page,)] = execute(
        backup, "SELECT rootpage FROM sqlite_master WHERE type = 'index' ORDER BY name LIMIT 1"
    )
    with open(backup, "r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\x5a" * 4096)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (write_text, "not a database"),
        (overwrite_pages, "cannot copy|is damaged"),
        (break_an_index, "is damaged"),
        (set_newer_version, "newer release"),
        (make_another_program_s, "not a database of balance-gateway"),
        (put_log_beside, "belongs to another file"),
    ],
)
def test_an_unsuitable_backup_changes_nothing(path, backup, spoil, message):
    back_up(create(path), backup, replace=False)
    spoil(backup)
    before, names = path.read_bytes(), list_names(path.parent)

    with pytest.raises(BackupError, match=message) as caught:
        restore(path, backup, NOW)

    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert list_names(path.parent) == names


def test_a_database_is_not_restored_from_itself(path):
    with pytest.raises(BackupError, match="is the database itself"):
        restore(create(path), path, NOW)


def test_an_existing_file_is_replaced_only_by_force(path, backup):
    create(path)
    backup.write_text("precious")

    with pytest.raises(WrongTarget, match=r"exists; name another file, or .* --force"):
        back_up(path, backup, replace=False)
    kept = backup.read_text()
    back_up(path, backup, replace=True)

    assert kept == "precious"
    assert execute(backup, "PRAGMA integrity_check") == [("ok",)]
    assert list_names(backup.parent) == ["backup.db", "data"]


def link_to_database(target, path):
    target.hardlink_to(path)


def make_pipe(target, _path):
    os.mkfifo(target)


def put_log_beside_target(target, _path):
    put_log_beside(target)


@pytest.mark.parametrize(
    ("prepare", "name", "message"),
    [
        (None, "data/gateway.db", "is the database itself"),
        (None, "data/gateway.db-wal", "is the database itself"),
        (link_to_database, "backup.db", "is the database itself"),
        (make_pipe, "backup.db", "not a regular file"),
        (put_log_beside_target, "backup.db", "would be taken for the backup's"),
        (None, "nowhere/backup.db", "there is no directory"),
    ],
)
def test_an_unsuitable_file_for_a_backup_is_refused(path, tmp_path, prepare, name, message):
    create(path)
    target = tmp_path / name
    if prepare is not None:
        prepare(target, path)

    with pytest.raises(WrongTarget, match=message):
        back_up(path, target, replace=True)

    assert execute(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_missing_or_damaged_database_leaves_no_backup(path, backup):
    with pytest.raises(BackupError, match="there is no database at"):
        back_up(path, backup, replace=False)
    overwrite_pages(create(path))
    with pytest.raises(BackupError, match=r"cannot copy .*|is damaged"):
        back_up(path, backup, replace=False)

    assert list_names(backup.parent) == ["data"]


def test_a_backup_is_one_moment_while_others_write(path, backup, child, monkeypatch):
    """Copied in steps that start over at each commit, a busy database was never done."""
    monkeypatch.setattr(sqlite_backup, "_PAGES", 1)
    writer = Writer(child, path)
    writer.write("1")
    steps = []
    copy = sqlite3.Connection.backup

    class Watched(sqlite3.Connection):
        def backup(self, target, *, pages, progress):
            def write(*counts):
                steps.append(counts)
                writer.write(f"later {len(steps)}")

            copy(self, target, pages=pages, progress=write)

    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite_backup.sqlite3,
        "connect",
        lambda *given, **named: connect(*given, factory=Watched, **named),
    )
    back_up(path, backup, replace=False)

    assert len(steps) > 10
    monkeypatch.undo()
    assert read_ids(backup) == ["1"]


def test_a_plan_that_was_being_applied_is_paused_by_a_restore(path, backup):
    """A restored plan went on by itself and sent what had been sent after the backup."""

    async def run(work):
        database = await open_database(f"sqlite:///{path}")
        try:
            return await work(SqlPlanStore(database, lambda: NOW))
        finally:
            await database.aclose()

    async def prepare(store):
        for plan_id in ("p1", "p2"):
            ready = await make_ready(
                store, lambda: NOW, row(1), plan_id=plan_id, needs_approval=False
            )
            if plan_id == "p1":
                await store.start(ready, "carol", NOW)

    async def look(store):
        found = [await store.find("acme", plan_id) for plan_id in ("p1", "p2")]
        claimed = await store.claim("owner", NOW, NOW, 9)
        return found, claimed, await store.start(found[0], "dave", NOW)

    asyncio.run(run(prepare))
    back_up(path, backup, replace=False)
    restored, _ = restore(path, backup, NOW)
    found, claimed, resumed = asyncio.run(run(look))
    [note] = execute(path, "SELECT note FROM write_audit WHERE principal = 'dave'")

    assert restored.paused_plans == 1
    assert [plan.state for plan in found] == [PlanState.PAUSED, PlanState.READY]
    assert claimed == []
    assert (resumed.state, resumed.resumed_at) == (PlanState.APPLYING, NOW)
    assert (resumed.applied_by, json.loads(note[0])["resumed"]) == ("carol", True)
