"""Tests looks at PostgreSQL: the version that triggers change, and statements that looks share."""

import asyncio
from contextlib import asynccontextmanager

import asyncpg
import pytest

from balance_gateway.storage import changes as changes_module
from balance_gateway.storage.changes import open_storage_changes
from balance_gateway.storage.database import DatabaseError, open_database
from balance_gateway.storage.plan_tables import plans
from tests.storage.test_changes import INSERT, commit, read


@pytest.fixture
def url(postgresql_url):
    return postgresql_url


@pytest.fixture
async def changes(database):
    async with open_storage_changes(database) as changes:
        yield changes


@pytest.fixture
async def person(url, database):
    """A connection without the gateway, as of psql."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest.fixture
def statements(changes):
    """The statements that looks have sent."""
    sent = []
    fetch = changes._fetch_version

    async def note_and_fetch():
        sent.append(changes_module._VERSION)
        return await fetch()

    changes._fetch_version = note_and_fetch
    return sent


async def test_every_table_changes_the_version(person):
    """A new table needs the trigger, in the migration that creates it."""
    rows = await person.fetch(
        "SELECT event_object_table, event_manipulation FROM information_schema.triggers"
        " WHERE action_statement LIKE '%note_storage_change%'"
    )
    found = {(row["event_object_table"], row["event_manipulation"]) for row in rows}

    watched = set(plans.metadata.tables) - {"storage_version", "storage_changes_pending"}
    assert found == {(table, act) for table in watched for act in ("INSERT", "UPDATE", "DELETE")}


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO ledger_currencies VALUES ('a', 'EUR')",
        "TRUNCATE ledger_days",
        "UPDATE ledger_entries SET minor_units = '1'",
        "DELETE FROM writes",
    ],
)
async def test_a_statement_without_the_gateway_is_seen(changes, person, statement):
    """So is one of an earlier release that still runs."""
    before = await changes.look()
    await person.execute(statement)
    assert await changes.look() != before


async def test_a_session_with_another_search_path_changes_the_version(changes, person):
    before = await changes.look()
    await person.execute("SET search_path = pg_catalog")
    await person.execute("INSERT INTO public.ledger_currencies VALUES ('a', 'EUR')")
    assert await changes.look() != before


async def test_a_look_now_is_unknown(changes):
    assert changes.look_now() is None


async def test_an_open_write_does_not_delay_another(changes, database, other_database):
    async with database.write_transaction() as long_import:
        await long_import.execute(INSERT, {"name": "a"})
        before = await changes.look()
        async with asyncio.timeout(10):
            await commit(other_database, "b")
        between = await changes.look()
    after = await changes.look()

    assert len({before, between, after}) == 3


async def test_writers_in_opposite_orders_do_not_deadlock(changes, database, other_database):
    """Each waits for the other's lock if the version is locked before the last statement."""

    async def write(one, number):
        async with one.write_transaction() as connection:
            await connection.execute(INSERT, {"name": f"{one is database} {number}"})
            await asyncio.sleep(0)
            await one.lock(connection, "both")
            await connection.execute(INSERT, {"name": f"{one is database} {number} again"})

    versions = {await changes.look()}
    async with asyncio.timeout(60):
        for number in range(30):
            await asyncio.gather(write(database, number), write(other_database, number))
            versions.add(await changes.look())

    assert len(versions) == 31
    assert await read(database) == 120


async def test_a_savepoint_that_is_rolled_back_loses_no_change(changes, database):
    before = await changes.look()
    async with database.write_transaction() as connection:
        nested = await connection.begin_nested()
        await connection.execute(INSERT, {"name": "a"})
        await nested.rollback()
        await connection.execute(INSERT, {"name": "b"})

    assert await changes.look() != before


async def test_no_note_of_a_transaction_remains(database, person):
    await commit(database, "a")
    assert await person.fetchval("SELECT count(*) FROM storage_changes_pending") == 0


async def test_a_server_with_a_higher_isolation_level_refuses_no_write(url, person):
    await person.execute("ALTER DATABASE postgres SET default_transaction_isolation = serializable")
    try:
        database = await open_database(url)
        async with asyncio.timeout(60):
            await asyncio.gather(*(commit(database, str(number)) for number in range(20)))
        count = await read(database)
        await database.aclose()
    finally:
        await person.execute("ALTER DATABASE postgres RESET default_transaction_isolation")

    assert count == 20


async def test_looks_of_one_turn_share_a_statement(changes, statements):
    versions = await asyncio.gather(*(changes.look() for _ in range(50)))

    assert len(set(versions)) == 1
    assert len(statements) == 1


@asynccontextmanager
async def blocked_looks(person):
    """Let the statements of looks wait at the server."""
    async with person.transaction():
        await person.execute("LOCK TABLE storage_version")
        yield


async def wait_until_blocked(person):
    blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    while not await person.fetchval(blocked):  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def test_a_look_never_shares_a_statement_that_was_sent_before(
    changes, statements, database, person
):
    async with blocked_looks(person):
        early = asyncio.create_task(changes.look())
        await wait_until_blocked(person)
        late = [asyncio.create_task(changes.look()) for _ in range(10)]
        await asyncio.sleep(0.05)
        sent_before = len(statements)
    versions = {await early, *(await asyncio.gather(*late))}

    assert (sent_before, len(statements)) == (1, 2)
    assert len(versions) == 1


async def test_a_cancelled_caller_does_not_cancel_the_others(changes, person):
    async with blocked_looks(person):
        first = asyncio.create_task(changes.look())
        second = asyncio.create_task(changes.look())
        await wait_until_blocked(person)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

    assert await second == await changes.look()


async def test_a_look_without_an_answer_fails_and_the_next_works(changes, person, monkeypatch):
    before = await changes.look()
    monkeypatch.setattr(changes_module, "LOOK_TIMEOUT_S", 0.05)
    async with blocked_looks(person):
        with pytest.raises(DatabaseError, match="no answer in time"):
            await changes.look()
    monkeypatch.undo()

    assert await changes.look() == before


async def test_a_look_after_a_lost_connection_fails_and_the_next_works(changes, person):
    before = await changes.look()
    await person.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    with pytest.raises(DatabaseError):
        await changes.look()
    assert await changes.look() == before


@pytest.mark.parametrize("statement", ["DELETE FROM storage_version", "DROP TABLE storage_version"])
async def test_a_look_without_a_version_fails(changes, person, statement):
    await person.execute(statement)

    results = await asyncio.gather(*(changes.look() for _ in range(3)), return_exceptions=True)

    assert [type(one) for one in results] == [DatabaseError] * 3


async def test_closing_ends_the_looks_under_way(database, person):
    async with blocked_looks(person):
        async with open_storage_changes(database) as changes:
            look = asyncio.create_task(changes.look())
            await wait_until_blocked(person)
        with pytest.raises(asyncio.CancelledError):
            await look


async def test_a_version_lost_in_a_failover_is_not_reached_again(changes, database, person):
    """A counter would have the same number for other contents."""
    await commit(database, "a")
    stored = await person.fetchval("SELECT version FROM storage_version")
    await commit(database, "b")
    lost = await changes.look()
    await person.execute("UPDATE storage_version SET version = $1", stored)
    await commit(database, "c")

    assert await changes.look() not in (stored, lost)
