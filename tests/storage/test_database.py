"""Tests opening, migrating and closing databases, and their errors."""

import asyncio
import importlib.util
import sqlite3
import sys
import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from balance_gateway.storage import migrations
from balance_gateway.storage.database import DatabaseError, open_database
from balance_gateway.storage.plan_tables import plans

OPEN_ON_SIGNAL = """
import asyncio, sys
from balance_gateway.storage.database import open_database

async def main():
    database = await open_database(sys.argv[1])
    await database.ping()
    await database.aclose()

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main())
"""


async def test_migrations_create_the_defined_tables(database):
    def differences(connection):
        return compare_metadata(MigrationContext.configure(connection), plans.metadata)

    async with database.read_transaction() as connection:
        found = await connection.run_sync(differences)

    assert found == []


async def test_opening_a_migrated_database_changes_nothing(database, other_database):
    async with other_database.read_transaction() as connection:
        assert await connection.run_sync(migrations.is_current)
        versions = (await connection.execute(text("SELECT * FROM alembic_version"))).all()

    assert len(versions) == 1


def test_several_processes_open_a_new_database_at_once(url, child):
    children = [child(OPEN_ON_SIGNAL, url) for _ in range(4)]
    for started in children:
        assert started.read_line() == "ready"

    for started in children:
        started.send_line("go")

    assert [started.close() for started in children] == [0, 0, 0, 0]


async def test_several_tasks_open_a_new_database_at_once(url):
    databases = await asyncio.gather(*(open_database(url) for _ in range(4)))

    for database in databases:
        await database.ping()
        await database.aclose()


async def test_a_database_of_a_newer_release_is_rejected(url, open_test_database):
    async with open_test_database(url) as database, database.write_transaction() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(DatabaseError, match="newer release"):
        await open_database(url)


async def test_sqlite_is_configured_to_survive_a_loss_of_power(tmp_path, open_test_database):
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")

    async with (
        open_test_database(f"sqlite:///{tmp_path}/a.db") as database,
        database.read_transaction() as connection,
    ):
        pragmas = [await connection.scalar(text(f"PRAGMA {name}")) for name in names]

    full = 2
    assert pragmas == ["wal", full, 1, 30_000]


async def test_a_failed_transaction_is_rolled_back(database):
    async def fail() -> None:
        async with database.write_transaction() as connection:
            await connection.execute(text("DELETE FROM alembic_version"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    async with database.read_transaction() as connection:
        assert await connection.run_sync(migrations.is_current)


async def test_foreign_keys_are_enforced(database):
    statement = text(
        "INSERT INTO write_audit (at, event, tenant, account_id, principal, write_id, intended,"
        " outcome, verified) VALUES ('', '', '', '', '', 'unknown', '', '', FALSE)"
    )

    with pytest.raises(IntegrityError):
        async with database.write_transaction() as connection:
            await connection.execute(statement)


async def test_an_in_memory_database_survives_cancelled_transactions(open_test_database):
    async with open_test_database("sqlite://") as database:

        async def write() -> None:
            async with database.write_transaction() as connection:
                await connection.execute(text("DELETE FROM writes"))
                await asyncio.sleep(0.001)

        for delay in range(20):
            tasks = [asyncio.create_task(write()) for _ in range(3)]
            await asyncio.sleep(delay / 5_000)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        async with database.read_transaction() as connection:
            assert await connection.scalar(text("SELECT count(*) FROM writes")) == 0


async def test_an_in_memory_database_serialises_its_users(open_test_database):
    async with open_test_database("sqlite://") as database:

        async def count_up() -> None:
            async with database.write_transaction() as connection:
                before = await connection.scalar(text("SELECT x FROM counter"))
                await asyncio.sleep(0)
                await connection.execute(text("UPDATE counter SET x = :x"), {"x": before + 1})

        async with database.write_transaction() as connection:
            await connection.execute(text("CREATE TABLE counter AS SELECT 0 AS x"))
        await asyncio.gather(*(count_up() for _ in range(20)))

        async with database.read_transaction() as connection:
            assert await connection.scalar(text("SELECT x FROM counter")) == 20


async def test_closing_waits_for_connections_of_cancelled_users(tmp_path, open_test_database):
    """A thread that outlives the event loop to which it reports breaks later code."""
    for attempt in range(10):
        async with open_test_database(f"sqlite:///{tmp_path}/{attempt}.db") as database:

            async def write(database=database) -> None:
                async with database.write_transaction() as connection:
                    await connection.execute(text("DELETE FROM writes"))

            tasks = [asyncio.create_task(write()) for _ in range(8)]
            await asyncio.sleep(attempt / 2_000)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        names = [thread.name for thread in threading.enumerate()]
        assert not [name for name in names if "_connection_worker_thread" in name]


async def test_in_memory_databases_are_separate(open_test_database):
    async with (
        open_test_database("sqlite://") as one,
        open_test_database("sqlite:///:memory:") as two,
    ):
        async with one.write_transaction() as connection:
            await connection.execute(text("CREATE TABLE only_here (x int)"))
        with pytest.raises(DatabaseError):
            async with two.read_transaction() as connection:
                await connection.execute(text("SELECT * FROM only_here"))


async def test_cancelled_writers_release_the_lock(database, other_database):
    async def write() -> None:
        async with database.write_transaction() as connection:
            await connection.execute(text("DELETE FROM writes"))
            await asyncio.sleep(0.001)

    for delay in range(20):
        tasks = [asyncio.create_task(write()) for _ in range(3)]
        await asyncio.sleep(delay / 2_000)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async with asyncio.timeout(5):
        async with other_database.write_transaction() as connection:
            await connection.execute(text("DELETE FROM writes"))


@pytest.mark.parametrize(
    "bad",
    [
        "mysql://user:hunter2@host/name",
        "postgresql://user:hunter2@127.0.0.1:1/name",
        "postgresql://user:hunter2@127.0.0.1:port/name",
        "postgresql:///name?password=hunter2&host=127.0.0.1&port=1",
        "postgresql+psycopg://user:hunter2@127.0.0.1:1/name",
        "postgresql://user:x@hunter2@127.0.0.1:1/name",
        "postgresql://user:name@127.0.0.1:1/name?hunter2=hunter2",
        "postgresql://user:x/hunter2@127.0.0.1:1/name",
        "postgresql://user:x?hunter2@127.0.0.1:1/name",
        "postgresql://user:x#hunter2@127.0.0.1:1/name",
        "hunter2",
        "",
    ],
)
async def test_the_error_for_a_bad_url_is_one_line_without_secrets(bad):
    with pytest.raises(DatabaseError) as caught:
        await open_database(bad)

    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value.__cause__)


async def test_a_wrong_password_is_reported_but_not_shown(postgresql_url):
    bad = postgresql_url.replace("postgres:@", "unknown:hunter2@")

    with pytest.raises(DatabaseError, match=r"cannot connect .*: .*unknown") as caught:
        await open_database(bad)

    assert "hunter2" not in str(caught.value)


async def test_a_missing_folder_is_reported(tmp_path):
    with pytest.raises(DatabaseError, match="unable to open database file"):
        await open_database(f"sqlite:///{tmp_path}/nowhere/a.db")


async def test_a_file_that_is_not_a_database_is_reported(tmp_path):
    (tmp_path / "a.db").write_text("something else entirely, and long enough to be a header" * 9)

    with pytest.raises(DatabaseError, match="not a database"):
        await open_database(f"sqlite:///{tmp_path}/a.db")


async def test_a_missing_postgresql_driver_is_reported_with_the_fix(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "asyncpg" else found(name)
    )

    with pytest.raises(DatabaseError, match=r"pip install balance-gateway\[postgres\]"):
        await open_database("postgresql://user@host/name")


async def test_values_of_a_failed_statement_are_not_in_the_error(database):
    with pytest.raises(DatabaseError) as caught:
        async with database.read_transaction() as connection:
            await connection.execute(text("SELECT * FROM nowhere WHERE x = :x"), {"x": "hunter2"})

    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in str(caught.value.__cause__)


def test_sqlite_has_json_functions():
    """The ledger's one statement for many accounts needs SQLite's JSON functions."""
    assert sqlite3.sqlite_version_info >= (3, 38), sys.version
