"""Renaming remote accounts: a write is found under another spelling of the provider's id."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import event, text

from balance_gateway.domain.writes import WriteIntent, WriteOutcome
from balance_gateway.ports.write_journal import AccountBusy, JournalUnavailable
from balance_gateway.storage.audit import SqlAuditLog
from balance_gateway.storage.journal import SqlWriteJournal
from tests.domain.balance_values import fill
from tests.storage.release_rows import FILES, LIGHT_EUR, open_with_rows

LEASE_S = 60


@pytest.fixture
def journal(database, clock):
    return SqlWriteJournal(database, clock)


@pytest.fixture
def other_journal(other_database, clock):
    return SqlWriteJournal(other_database, clock)


@pytest.fixture
def write(journal, clock):
    """Record a write with an outcome; each one starts later than the one before."""

    async def record(write_id, remote_account, outcome=WriteOutcome.APPLIED):
        clock.advance(1)
        fields = {"id": write_id, "remote_account": remote_account, "idempotency_key": write_id}
        intent = replace(fill(WriteIntent), started_at=clock(), previous=None, **fields)
        begun = await journal.begin(intent, lease_s=LEASE_S)
        if outcome is not WriteOutcome.STARTED:
            await journal.finish(replace(begun, outcome=outcome))
        return begun

    return record


async def names(database):
    async with database.read_transaction() as connection:
        rows = await connection.execute(text("SELECT id, remote_account FROM writes"))
        return {row.id: row.remote_account for row in rows}


async def test_the_last_applied_write_is_found_by_the_new_name(journal, write):
    await write("w1", "light:old")
    await write("w2", "light:other")

    await journal.rename_remote_accounts({"light:old": "light:new", "light:unused": "light:x"})

    assert (await journal.last_applied("light:new")).intent.id == "w1"
    assert (await journal.last_applied("light:other")).intent.id == "w2"
    assert await journal.last_applied("light:old") is None


async def test_two_spellings_become_one_account_with_the_newest_write(journal, write):
    await write("w1", "light:OLD")
    await write("w2", "light:new")
    await write("w3", "light:Old")

    await journal.rename_remote_accounts({"light:OLD": "light:new", "light:Old": "light:new"})

    assert (await journal.last_applied("light:new")).intent.id == "w3"


async def test_an_uncertain_write_is_found_once_it_is_applied(journal, write):
    begun = await write("w1", "old", WriteOutcome.UNCERTAIN)

    await journal.rename_remote_accounts({"old": "new"})
    await journal.finish(replace(begun, outcome=WriteOutcome.APPLIED))

    assert (await journal.last_applied("new")).intent.id == "w1"


async def test_a_started_write_makes_the_new_name_busy(journal, write):
    await write("w1", "old", WriteOutcome.STARTED)

    await journal.rename_remote_accounts({"old": "new"})

    with pytest.raises(AccountBusy):
        await write("w2", "new")
    assert (await journal.by_key("some tenant", "w1")).intent.remote_account == "new"


async def test_a_second_started_write_keeps_its_name_until_it_can_change(journal, write, database):
    first = await write("w1", "new", WriteOutcome.STARTED)
    second = await write("w2", "OLD", WriteOutcome.STARTED)
    await write("w3", "Old", WriteOutcome.STARTED)
    await write("w4", "other", WriteOutcome.STARTED)
    changes = {"OLD": "new", "Old": "new", "other": "another"}

    await journal.rename_remote_accounts(changes)
    kept = await names(database)
    await journal.finish(replace(first, outcome=WriteOutcome.REJECTED))
    await journal.rename_remote_accounts(changes)
    one_renamed = await names(database)
    await journal.finish(replace(second, outcome=WriteOutcome.APPLIED))
    await journal.rename_remote_accounts(changes)

    assert kept == {"w1": "new", "w2": "OLD", "w3": "Old", "w4": "another"}
    assert one_renamed == {**kept, "w2": "new"}
    assert await names(database) == {**kept, "w2": "new", "w3": "new"}
    assert (await journal.last_applied("new")).intent.id == "w2"


async def test_a_kept_started_write_does_not_keep_finished_ones(journal, write, database):
    await write("w1", "old")
    await write("w2", "old", WriteOutcome.STARTED)
    await write("w3", "new", WriteOutcome.STARTED)

    await journal.rename_remote_accounts({"old": "new"})

    assert await names(database) == {"w1": "new", "w2": "old", "w3": "new"}


async def test_renaming_again_and_without_names_changes_nothing(journal, write, database):
    await write("w1", "old")
    await write("w2", "new")

    await journal.rename_remote_accounts({})
    await journal.rename_remote_accounts({"old": "new", "new": "new"})
    renamed = await names(database)
    await journal.rename_remote_accounts({"old": "new", "new": "new"})

    assert renamed == await names(database) == {"w1": "new", "w2": "new"}


async def test_renaming_adds_no_audit_row(journal, write, database):
    await write("w1", "old")
    before = await SqlAuditLog(database).rows("some tenant")

    await journal.rename_remote_accounts({"old": "new"})

    assert await SqlAuditLog(database).rows("some tenant") == before


async def test_a_new_name_must_not_be_an_old_name(journal, write, database):
    """Otherwise a second call would change the names a second time."""
    await write("w1", "a")

    with pytest.raises(ValueError, match="must not be an old name"):
        await journal.rename_remote_accounts({"a": "b", "b": "c"})

    assert await names(database) == {"w1": "a"}


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_no_write_transaction_begins_if_no_name_is_used(journal, write, database):
    await write("w1", "new")
    begun = []
    engine = database._engine.sync_engine
    event.listen(
        engine,
        "begin",
        lambda connection: begun.append(
            connection.get_execution_options().get("begin_immediate", False)
        ),
    )

    await journal.rename_remote_accounts({f"old {n}": f"new {n}" for n in range(2_500)})
    only_read = begun.copy()
    await journal.rename_remote_accounts({"new": "newer"})

    assert only_read
    assert not any(only_read)
    assert any(begun)


async def test_several_processes_rename_the_same_accounts_at_once(
    journal, other_journal, write, database
):
    for number in range(10):
        await write(f"w{number}", f"old {number}")
    forwards = {f"old {number}": f"new {number}" for number in range(10)}
    backwards = dict(reversed(forwards.items()))

    await asyncio.gather(
        *(journal.rename_remote_accounts(forwards) for _ in range(5)),
        *(other_journal.rename_remote_accounts(backwards) for _ in range(5)),
    )

    assert await names(database) == {f"w{n}": f"new {n}" for n in range(10)}


async def test_writes_that_begin_meanwhile_leave_one_started_write(
    journal, other_journal, write, database, clock
):
    begun = [await write(f"w{n}", f"old {n}", WriteOutcome.STARTED) for n in range(10)]
    changes = {f"old {number}": f"new {number}" for number in range(10)}
    intents = [
        replace(one.intent, id=f"n{n}", idempotency_key=None, remote_account=f"new {n}")
        for n, one in enumerate(begun)
    ]

    results = await asyncio.gather(
        journal.rename_remote_accounts(changes),
        *(other_journal.begin(intent, lease_s=LEASE_S) for intent in intents),
        return_exceptions=True,
    )

    failures = [one for one in results if isinstance(one, BaseException)]
    assert all(isinstance(one, AccountBusy) for one in failures)
    found = await names(database)
    for number in range(10):
        # Either the write that began is refused, or the older one keeps its name.
        assert found[f"w{number}"] == f"{'old' if f'n{number}' in found else 'new'} {number}"


# PostgreSQL plans by statistics, and an empty table has none.
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_looking_for_used_names_reads_no_rejected_writes(journal, write, database):
    """Old writes do not slow a start down: every statement of renaming uses a partial index."""
    await write("w1", "old")
    statements = []
    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2:4]))

    await journal.rename_remote_accounts({"old": "new"})

    about_writes = [one for one in statements if "writes" in one[0]]
    async with database.read_transaction() as connection:
        for statement, parameters in about_writes:
            plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            assert "USING" in str(steps := plan.all()), statement
            assert "writes_" in str(steps), statement
    assert len(about_writes) == 5


async def test_rows_of_an_earlier_release_are_renamed(url, clock):
    async with open_with_rows(url, FILES[0]) as database:
        journal = SqlWriteJournal(database, clock)
        await journal.rename_remote_accounts({LIGHT_EUR: "light:new"})

        last = await journal.last_applied("light:new")

    assert last.intent.id == "light-applied-2"


async def test_renaming_in_an_unavailable_database_is_an_unavailable_journal(journal, database):
    async with database.write_transaction() as connection:
        await connection.execute(text("ALTER TABLE writes RENAME TO elsewhere"))

    with pytest.raises(JournalUnavailable):
        await journal.rename_remote_accounts({"old": "new"})
