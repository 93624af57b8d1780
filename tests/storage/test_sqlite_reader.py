"""Tests reads in the thread of the event loop: they see every commit, and never wait."""

import sqlite3
from contextlib import closing

import pytest

from balance_gateway.domain.balances import BalanceQuery
from balance_gateway.ports.stored_balances_reader import STORED_BALANCES_MAX
from balance_gateway.storage.database import open_database
from balance_gateway.storage.ledger import SqlLedgerStore
from balance_gateway.storage.sqlite_reader import SqliteReader
from tests.storage.statements import record_statements
from tests.storage.test_ledger import DAY, entry, set_opening

COUNT = "SELECT count(*) FROM t WHERE x >= :least"
ALL = {"least": 0}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
    return str(path)


@pytest.fixture
def errors():
    return []


@pytest.fixture
def reader(path, errors):
    reader = SqliteReader(path, errors.append)
    yield reader
    reader.close()


def test_each_commit_is_seen_and_no_snapshot_is_kept(path, reader):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        counted = []
        for number in range(3):
            other.execute("INSERT INTO t VALUES (?)", [number])
            counted += reader.read_rows(COUNT, ALL)
        # The whole log can be copied only when no reader uses an older state of it.
        [(busy, *_)] = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    assert counted == [(1,), (2,), (3,)]
    assert not busy


def test_a_writer_does_not_keep_it_waiting(path, reader):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO t VALUES (1)")

        assert reader.read_rows(COUNT, ALL) == [(0,)]


def test_a_locked_file_is_not_read(path, reader, errors):
    """Another process has turned WAL mode off, and writes."""
    reader.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        locked_out = SqliteReader(path, errors.append)
        rows = locked_out.read_rows(COUNT, ALL)
        other.execute("COMMIT")
        again = locked_out.read_rows(COUNT, ALL)
        locked_out.close()

    assert rows is None
    assert [str(each) for each in errors] == ["database is locked"]
    assert again == [(0,)]


def test_it_writes_nothing(reader):
    assert reader.read_rows("INSERT INTO t VALUES (:x) RETURNING x", {"x": 1}) is None
    assert reader.read_rows(COUNT, ALL) == [(0,)]


def test_a_closed_one_reads_nothing(reader):
    reader.close()

    assert reader.read_rows(COUNT, ALL) is None


async def test_an_unknown_table_is_reported_by_the_read_that_may_wait(database):
    statement = "SELECT * FROM nowhere"

    assert database.read_rows_now(statement, {}) is None


async def test_a_database_in_memory_is_not_read():
    database = await open_database("sqlite://")
    rows = database.read_rows_now("SELECT 1", {})
    await database.aclose()

    assert rows is None


async def test_a_damaged_file_is_not_read_again(tmp_path):
    database = await open_database(f"sqlite:///{tmp_path}/a.db")
    before = database.read_rows_now("SELECT 1", {})
    database.is_damaged = True
    after = database.read_rows_now("SELECT 1", {})
    await database.aclose()

    assert (before, after) == ([(1,)], None)


async def test_damage_that_is_met_stops_writes(tmp_path, make_account):
    path = tmp_path / "a.db"
    database = await open_database(f"sqlite:///{path}")
    store = SqlLedgerStore(database)
    account = make_account()
    await store.add_entries(account, [entry("a", 5)])
    # The log is part of the file from here on, which is then overwritten in place.
    async with database.connect() as connection:
        await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xff" * (size - 4_096))
    reader = SqliteReader(str(path), database._note_damage)
    database._reader.close()
    database._reader = reader
    found = store.sums_now([BalanceQuery(account, DAY)])
    is_damaged = database.is_damaged
    await database.aclose()

    assert (found, is_damaged) == (None, True)


async def test_many_accounts_are_read_in_another_thread(tmp_path, make_account):
    database = await open_database(f"sqlite:///{tmp_path}/a.db")
    store = SqlLedgerStore(database)
    accounts = [make_account(f"a{number}") for number in range(STORED_BALANCES_MAX + 1)]
    await store.add_entries(accounts[-1], [entry("a", 5)])
    in_loop = []
    database._reader._connection.set_trace_callback(in_loop.append)
    few, many = ([BalanceQuery(one, DAY) for one in some] for some in (accounts[1:], accounts))
    sums = [(await store.sums(few))[-1], (await store.sums(many))[-1]]
    openings = [await store.opening_balances(some) for some in (accounts[1:], accounts)]
    now = store.sums_now(few)[-1], store.sums_now(many)
    await database.aclose()

    # The sums of a few, their opening balances, and the sums without waiting.
    assert len(in_loop) == 3
    assert sums[0] == sums[1] == now[0]
    assert now[1] is None
    assert [len(each) for each in openings] == [STORED_BALANCES_MAX, STORED_BALANCES_MAX + 1]


async def test_sums_are_the_same_with_and_without_waiting(tmp_path, make_account):
    """An opening balance after the first entries needs two statements the first time."""
    database = await open_database(f"sqlite:///{tmp_path}/a.db")
    store = SqlLedgerStore(database)
    plain, early = make_account("plain"), make_account("early")
    await store.add_entries(plain, [entry("a", 5)])
    await store.add_entries(early, [entry("a", 5), entry("b", 7, DAY.replace(year=2025))])
    await set_opening(store, early, 100)
    queries = [BalanceQuery(one, DAY) for one in (plain, early)]
    unknown = store.sums_now(queries)
    waited = await store.sums(queries)
    statements = record_statements(database)
    again = store.sums_now(queries)
    await database.aclose()

    assert unknown is None
    assert again == waited
    assert len(statements) == 1
