"""Ctrl-C during an import: the process ends at once, and nothing is imported."""

import asyncio
import os
import signal
import time

import asyncpg
import pytest

from tests.preloaded_processes import PreloadedProcess

CONFIG = """
[storage]
url = "{url}"
[connectors.books]
provider = "local"
[[accounts]]
id = "till"
tenant = "acme"
connector = "books"
name = "Till"
currency = "EUR"
"""


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    """A file that takes seconds to import."""
    path = tmp_path_factory.mktemp("entries") / "entries.csv"
    rows = (f"{number},bank,2026-01-{number % 28 + 1:02},1.00\n" for number in range(400_000))
    path.write_text("id,book,date,amount\n" + "".join(rows))
    return path


@pytest.fixture
def config(url, tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG.format(url=url))
    return path


@pytest.fixture
def running(config, entries):
    arguments = ["local", "import", "--config", str(config), "--account", "till", str(entries)]
    process = PreloadedProcess(arguments, environment=os.environ)
    yield process
    process.kill()
    process.communicate()


async def interrupt(process):
    process.send_signal(signal.SIGINT)
    _, message = await asyncio.to_thread(process.communicate, timeout=10)
    return message


async def wait_for(connection, condition):
    others = "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    others += f" AND datname = current_database() AND ({condition})"
    while await connection.fetchval(others) == 0:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_an_import_that_sends_rows_to_postgresql_is_cancelled(url, running):
    """In 6 of 7 runs the command hung, and its session kept the rows."""
    person = await asyncpg.connect(url)
    try:
        await wait_for(person, "query LIKE 'INSERT INTO staged_entries%'")
        message = await interrupt(running)
        left = await person.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%staged_entries%'"
            " AND pid <> pg_backend_pid()"
        )
        imported = await person.fetchval("SELECT count(*) FROM ledger_entries")
    finally:
        await person.close()

    assert (running.returncode, left, imported) == (130, 0, 0)
    assert "Nothing was imported" in message


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_an_import_that_waits_in_postgresql_is_cancelled(url, running):
    person = await asyncpg.connect(url)
    try:
        await wait_for(person, "query LIKE 'INSERT INTO staged_entries%'")
        async with person.transaction():
            await person.execute("LOCK TABLE ledger_entries IN ACCESS EXCLUSIVE MODE")
            await wait_for(person, "wait_event_type = 'Lock'")
            await interrupt(running)
            waiting = await person.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")
        imported = await person.fetchval("SELECT count(*) FROM ledger_entries")
    finally:
        await person.close()

    assert (running.returncode, waiting, imported) == (130, 0, 0)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_an_import_into_sqlite_is_cancelled(url, running, open_test_database, tmp_path):
    while not (tmp_path / "gateway.db").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)
    await interrupt(running)

    assert running.returncode == 130
    async with open_test_database(url) as database, database.read_transaction() as connection:
        rows = await connection.exec_driver_sql("SELECT count(*) FROM ledger_entries")
        assert rows.scalar_one() == 0


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_an_import_that_waits_for_a_pipe_is_cancelled(url, config):
    arguments = ["local", "import", "--config", str(config), "--account", "till", "-"]
    process = PreloadedProcess(arguments, environment=os.environ)
    try:
        while not (config.parent / "gateway.db").exists():
            time.sleep(0.02)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        # Not communicate, which would end the pipe.
        code = process.wait(10)
    finally:
        process.kill()
        process.communicate()

    assert code == 130
