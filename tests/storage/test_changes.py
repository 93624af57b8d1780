"""Tests that a look shows every change of the storage, on both databases."""

import random
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from sqlalchemy import text

from balance_gateway.domain.accounts import Side
from balance_gateway.domain.balances import OpeningBalanceWrite
from balance_gateway.domain.ledger import Book, Entry
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import (
    SettledBy,
    Settlement,
    WriteIntent,
    WriteOutcome,
    WriteRecord,
)
from balance_gateway.storage.changes import open_storage_changes
from balance_gateway.storage.journal import SqlWriteJournal
from balance_gateway.storage.journal_settlements import SqlWriteSettlements
from balance_gateway.storage.ledger import SqlLedgerStore
from balance_gateway.storage.sides import SqlSideStore
from tests.storage.release_rows import FILES, open_with_rows

INSERT = text("INSERT INTO normal_sides VALUES (:name, 'debit', '2026-03-01')")
COMMIT_ON_SIGNAL = """
import asyncio, sys
from sqlalchemy import text
from balance_gateway.storage.database import open_database

async def main():
    database = await open_database(sys.argv[1])
    print("ready", flush=True)
    while name := sys.stdin.readline().strip():
        async with database.write_transaction() as connection:
            values = {"name": name}
            await connection.execute(
                text("INSERT INTO normal_sides VALUES (:name, 'debit', '2026-03-01')"), values
            )
        print("committed", flush=True)
    await database.aclose()

asyncio.run(main())
"""


@pytest.fixture
async def changes(database):
    async with open_storage_changes(database) as changes:
        yield changes


async def commit(database, name):
    async with database.write_transaction() as connection:
        await connection.execute(INSERT, {"name": name})


async def roll_back(database, name):
    with suppress(ZeroDivisionError):
        async with database.write_transaction() as connection:
            await connection.execute(INSERT, {"name": name})
            raise ZeroDivisionError


async def read(database):
    async with database.read_transaction() as connection:
        return await connection.scalar(text("SELECT count(*) FROM normal_sides"))


async def test_looks_without_a_commit_are_equal(changes, database, other_database):
    first = await changes.look()
    await read(database)
    await roll_back(database, "a")
    await roll_back(other_database, "b")
    async with database.write_transaction() as connection:
        await connection.execute(text("SELECT 1"))
    await read(other_database)

    assert await changes.look() == first


async def test_a_commit_of_any_connection_is_seen(changes, database, other_database):
    versions = [await changes.look()]
    for number, one in enumerate((database, other_database, other_database, database)):
        await commit(one, str(number))
        versions.append(await changes.look())

    assert len(set(versions)) == len(versions)


async def test_a_commit_of_another_process_is_seen(url, changes, child):
    process = child(COMMIT_ON_SIGNAL, url)
    assert process.read_line() == "ready"
    versions = [await changes.look()]
    for name in ("a", "b"):
        process.send_line(name)
        assert process.read_line() == "committed"
        versions.append(await changes.look())

    assert len(set(versions)) == len(versions)


async def test_looks_of_two_databases_see_each_others_commits(changes, database, other_database):
    async with open_storage_changes(other_database) as others:
        before = (await changes.look(), await others.look())
        await commit(database, "a")
        between = (await changes.look(), await others.look())
        await commit(other_database, "b")
        after = (await changes.look(), await others.look())

    assert all(len({*three}) == 3 for three in zip(before, between, after, strict=True))


async def test_an_uncommitted_change_is_not_seen(changes, other_database):
    before = await changes.look()
    async with other_database.write_transaction() as connection:
        await connection.execute(INSERT, {"name": "a"})
        during = await changes.look()
    after = await changes.look()

    assert during == before
    assert after != before


async def test_a_look_after_a_commit_differs_in_200_random_orders(
    changes, database, other_database
):
    choose = random.Random(7)
    stored, looks = 0, [(0, await changes.look())]
    for number in range(200):
        one = choose.choice((database, other_database))
        act = choose.choice((commit, commit, roll_back, None))
        if act is not None:
            await act(one, str(number))
        else:
            await read(one)
        stored += act is commit
        if choose.random() < 0.7:
            looks.append((stored, await changes.look()))

    assert await read(database) == stored
    # One version for each state of the storage, and another for each other state.
    assert len(set(looks)) == len({count for count, _ in looks}) == len({v for _, v in looks})


async def test_every_change_of_ledger_and_journal_is_seen(changes, database, clock, account):
    """A change that a look misses leaves an outdated answer in use."""
    ledger = SqlLedgerStore(database, clock)
    journal = SqlWriteJournal(database, clock)
    settlements = SqlWriteSettlements(database)
    sides = SqlSideStore(database, lambda _account: "remote", clock)
    amount = Money(5, "EUR")
    intent = WriteIntent(
        id="w1",
        tenant="acme",
        account_id=account.id,
        remote_account="old",
        connector="books",
        principal="alice",
        amount=amount,
        effective_at=None,
        memo=None,
        reference_number=None,
        idempotency_key=None,
        fingerprint="f",
        previous=None,
        started_at=clock(),
    )
    started = WriteRecord(intent, WriteOutcome.STARTED)
    doubtful = replace(started, outcome=WriteOutcome.UNCERTAIN, finished_at=clock())
    settled = replace(
        doubtful,
        outcome=WriteOutcome.REJECTED,
        settlement=Settlement(SettledBy.PERSON, clock(), "bob", "checked"),
    )
    day = date(2026, 1, 10)
    opening = OpeningBalanceWrite(account, amount, effective_at=datetime(2026, 1, 1, tzinfo=UTC))
    acts = [
        lambda: ledger.add_entries(account, [Entry("e1", Book.BANK, day, 7, None)]),
        lambda: ledger.add_entries(account, [Entry("e2", Book.LEDGER, day, 0, None)]),
        lambda: ledger.set_opening_balance(opening),
        lambda: journal.begin(intent, lease_s=60),
        lambda: journal.finish(doubtful),
        lambda: journal.rename_remote_accounts({"old": "new"}),
        lambda: settlements.settle(settled, last=None),
        lambda: journal.finish(replace(doubtful, outcome=WriteOutcome.APPLIED)),
        lambda: sides.remember_side(account, Side.CREDIT),
    ]
    versions = [await changes.look()]
    for act in acts:
        await act()
        versions.append(await changes.look())

    assert len(set(versions)) == len(versions)


async def test_repeating_what_is_stored_leaves_the_version_equal(changes, database, account, clock):
    sides = SqlSideStore(database, lambda _account: "remote", clock)
    await sides.remember_side(account, Side.CREDIT)
    before = await changes.look()

    await sides.remember_side(account, Side.CREDIT)

    assert await changes.look() == before


async def test_a_migrated_database_shows_changes(url):
    (path,) = (path for path in FILES if path.name == "release_0_1_0.json")
    async with (
        open_with_rows(url, path) as database,
        open_storage_changes(database) as changes,
    ):
        before = await changes.look()
        async with database.write_transaction() as connection:
            await connection.execute(text("UPDATE writes SET memo = 'changed'"))
        after = await changes.look()

    assert before != after
